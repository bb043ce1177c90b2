// Package faults runs the built broker on disks that fail: a file system that is full (tmpfs), and system calls that
// strace has fail with EIO. Clients produce all the while, one record at a time and without sending again, so that each
// record has one of three outcomes: acknowledged (it must be there once, at that offset), refused (for want of space: it
// must not be there), or unknown.
//
// The tests need the build tag `peers`, strace, and the right to mount: as root, or in namespaces of their own, in which
// TestMain then runs them again.
package faults
