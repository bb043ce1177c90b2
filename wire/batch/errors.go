package batch

import (
	"errors"
	"strconv"
)

// Errors. A broker turns them into codes with errors.Is.
var (
	// ErrShort says that the bytes end inside a batch: more bytes might make it whole.
	ErrShort = errors.New("batch: cut short")
	// ErrCorrupt says that the bytes cannot be a batch: impossible length or format, wrong checksum
	// (CORRUPT_MESSAGE).
	ErrCorrupt = errors.New("batch: corrupt")
	// ErrMagic says that the batch is of format 0 or 1.
	ErrMagic = errors.New("batch: unsupported record format")
	// ErrTooLarge says that the batch is larger than the topic takes, or would be so when decompressed
	// (MESSAGE_TOO_LARGE).
	ErrTooLarge = errors.New("batch: too large")
	// ErrInvalidRecord says that the batch or one of its records breaks a rule (INVALID_RECORD).
	ErrInvalidRecord = errors.New("batch: invalid record")
	// ErrInvalidTimestamp says that a record's timestamp is out of the topic's limits (INVALID_TIMESTAMP).
	ErrInvalidTimestamp = errors.New("batch: invalid timestamp")
	// ErrCodec says that the codec is unknown, or not allowed (UNSUPPORTED_COMPRESSION_TYPE).
	ErrCodec = errors.New("batch: unsupported compression")
)

// RecordError says what is wrong with one record of a batch.
type RecordError struct {
	Index   int32 // of the record in its batch, from 0
	Message string
}

// MaxRecordErrors bounds the records named in one RuleError. Kafka names all.
const MaxRecordErrors = 1000

// RuleError is a broken rule, with the records that break it if there are such. It is found with errors.As;
// errors.Is finds the sentinel it wraps.
type RuleError struct {
	Err     error // ErrInvalidRecord or ErrInvalidTimestamp
	Reason  string
	Records []RecordError // the first MaxRecordErrors
	Failed  int           // how many records failed, named or not
}

// Error is what the client is told.
func (e *RuleError) Error() string {
	if e.Failed == 0 {
		return e.Reason
	}
	return e.Reason + " (" + strconv.Itoa(e.Failed) + " records)"
}

// Unwrap returns Err.
func (e *RuleError) Unwrap() error { return e.Err }

func invalid(reason string) error { return &RuleError{Err: ErrInvalidRecord, Reason: reason} }
