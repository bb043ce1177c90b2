package sys

// ChangeKind is what a Change does.
type ChangeKind uint8

const (
	// ChangeOpen makes a descriptor; the file too, or empties it, as Flags say. n is the descriptor.
	ChangeOpen ChangeKind = iota + 1
	// ChangeClose gives FD up.
	ChangeClose
	// ChangeWrite writes Data at Off of FD. n is how much was written.
	ChangeWrite
	// ChangeTruncate sets the size of FD to Size.
	ChangeTruncate
	// ChangeReserve gives FD blocks for Size bytes from Off on, or takes those that are unused. Neither the file's size nor
	// its content changes.
	ChangeReserve
	// ChangeSync brings the data and the size of FD to the device.
	ChangeSync
	// ChangeSyncDir brings the names in the directory Path to the device.
	ChangeSyncDir
	// ChangeSyncFS brings all data and names of the file system that FD is on to the device.
	ChangeSyncFS
	// ChangeRename gives what is at Path the name To.
	ChangeRename
	// ChangeRemove removes a file or an empty directory.
	ChangeRemove
	// ChangeMkdir makes a directory.
	ChangeMkdir
)

// Change is a system call that changes the file system, or brings changes to the device, as builds with the
// invariants tag report it (see Trace). Whatever in this package does such a thing reports it, but for SetModTime, since
// times decide nothing after a crash, and StartWriteback, which promises nothing.
type Change struct {
	Kind  ChangeKind
	Path  string // of a descriptor: what it was opened by
	To    string
	FD    int
	Flags int // unix.O_…
	Off   int64
	Size  int64
	Data  []byte // the caller's
}
