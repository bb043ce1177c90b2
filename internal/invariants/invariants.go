// Package invariants switches on checks that are too dear for a release build.
//
// Guard such a check with `if invariants.Enabled { … }`: without the build tag
// `invariants` the constant is false and the code is gone. The tag is on in
// `make test`. Checks guard our own state only: bytes from a client get a
// protocol error, never a panic.
package invariants

import "fmt"

// Check panics with a BUG message when ok is false. Call it under Enabled.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("BUG: " + fmt.Sprintf(format, args...))
	}
}
