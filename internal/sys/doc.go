// Package sys is the one address of system calls and of unsafe: one file per capability, named after it.
//
// It knows nothing of frames, logs or connections; it only makes a call of the kernel usable. Everything works on
// plain descriptors, which belong to the caller. Functions of the network path return a syscall.Errno (0: no error)
// instead of an error, since that costs no allocation; the others return an error that names what failed.
//
// Functions are safe for concurrent use as far as the kernel is; nothing here holds state, but for the Trace of test
// builds. Linux only.
package sys
