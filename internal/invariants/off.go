//go:build !invariants

package invariants

// Enabled is false in ordinary builds, so that the compiler drops what it guards.
const Enabled = false
