package logstore

import "errors"

// Sentinel errors; what is returned wraps one of them and says which directory, log or file.
var (
	// ErrLocked: another process has the directory open.
	ErrLocked = errors.New("log directory is in use by another process")
	// ErrNotWritable: the directory cannot be created, or no file can be created in it.
	ErrNotWritable = errors.New("log directory is not writable")
	// ErrForeign: meta.properties names another cluster or node.
	ErrForeign = errors.New("log directory belongs to another cluster or node")
	// ErrUnsupported: the directory holds something that a Kafka broker has to finish or convert first.
	ErrUnsupported = errors.New("not supported")

	// ErrExists: Create of a partition that is there.
	ErrExists = errors.New("partition exists")
	// ErrBadName: not a topic name or partition number that Kafka allows.
	ErrBadName = errors.New("invalid topic name or partition")
	// ErrClosed: the log was closed or deleted.
	ErrClosed = errors.New("log is closed")
	// ErrFailed: an earlier write or flush of the log failed, or this one did. Appends are refused until the
	// directory is opened anew; reads go on.
	ErrFailed = errors.New("log has failed")
	// ErrNoSpace: the disk is full, or its free space is below Options.FreeBytes. Nothing was appended; appends are taken
	// again once there is space.
	ErrNoSpace = errors.New("no space left for appends")
	// ErrRoll: a new segment could not be created. Nothing was appended; the next append tries again.
	ErrRoll = errors.New("segment roll failed")
	// ErrOpen: the active segment, which was closed since the last append, could not be opened. Nothing was appended;
	// the next append tries again.
	ErrOpen = errors.New("segment cannot be opened")
	// ErrTooLarge: the batch is larger than a segment may be (Kafka's RecordBatchTooLargeException).
	ErrTooLarge = errors.New("batch is larger than a segment")
	// ErrEpoch: the leader epoch is below one the log has seen.
	ErrEpoch = errors.New("leader epoch is fenced")
	// ErrOutOfOrderSequence: the batch does not follow its producer's last one, or a new epoch does not begin with 0.
	ErrOutOfOrderSequence = errors.New("sequence is out of order")
	// ErrProducerEpoch: the producer's epoch is below one the log has seen of it.
	ErrProducerEpoch = errors.New("producer epoch is fenced")
	// ErrTransaction: a batch outside of the transaction that its producer has open.
	ErrTransaction = errors.New("producer has an open transaction")
	// ErrOffsetOutOfRange: the offset is below the log start or above the log end.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrTruncated: the records that were waited for were taken out of the log.
	ErrTruncated = errors.New("records were truncated")
	// ErrLossy: records that were on the device are damaged (Damage). Appends give it, and reads of what is lost.
	ErrLossy = errors.New("log is lossy")
	// ErrCorrupt: bytes of a log file are not what was appended.
	ErrCorrupt = errors.New("log is corrupt")
)

var errShortWrite = errors.New("nothing was written")
