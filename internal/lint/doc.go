// Package lint keeps promises of the source tree true by tests: who may import whom, where system calls live, that
// every package says what it is, that documents name files which exist, and how long files and functions are.
//
// It has no code for others, reads the tree and `go list`, and starts nothing else. layers_test.go holds the import
// table; see its head before touching it.
package lint
