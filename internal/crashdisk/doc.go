// Package crashdisk makes what a crash leaves on a disk, for tests: it records the changes that package sys reports of a
// directory and gives every state that a kill or a power cut between any two of them may leave there.
//
// It knows nothing of what the files mean, and takes no part in the program. All of it is in builds with the invariants tag.
//
// Entry points: Start, Disk.Crash, Tree.WriteTo.
package crashdisk
