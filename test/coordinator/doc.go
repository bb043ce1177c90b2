// Package coordinator tests the built `sluice coordinator` from outside: what it keeps when it is killed at any time under
// load, when its process or its disk stands still or fails, and what ten thousand quiet sessions cost.
//
// Clients are a few lines on the codec (wire_test.go) that say exactly what they send and when, and share no code with
// the project's own client.
package coordinator
