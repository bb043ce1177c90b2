package broker

import (
	"errors"
	"syscall"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// Refusals made once, since the data path may meet them often.
var (
	fencedEpoch  = refuse(wire.FencedLeaderEpoch, "%s", wire.FencedLeaderEpoch.Message())
	unknownEpoch = refuse(wire.UnknownLeaderEpoch, "%s", wire.UnknownLeaderEpoch.Message())
)

// codes is how errors of the packages below become Kafka's; the first that matches counts.
var codes = []struct {
	err  error
	code wire.ErrorCode
}{
	{logstore.ErrOffsetOutOfRange, wire.OffsetOutOfRange},
	{logstore.ErrTooLarge, wire.RecordListTooLarge},
	{logstore.ErrOutOfOrderSequence, wire.OutOfOrderSequenceNumber},
	{logstore.ErrProducerEpoch, wire.InvalidProducerEpoch},
	{logstore.ErrTransaction, wire.InvalidTxnState},
	{logstore.ErrClosed, wire.NotLeaderOrFollower}, // deleted meanwhile: clients look for the topic again
	{logstore.ErrFailed, wire.KafkaStorageError},   // before ErrCorrupt: that is of the log, not of the request
	{logstore.ErrLossy, wire.KafkaStorageError},
	{logstore.ErrNoSpace, wire.KafkaStorageError}, // clients try again, asking for metadata first
	{logstore.ErrCorrupt, wire.CorruptMessage},
	{logstore.ErrEpoch, wire.KafkaStorageError},
	{logstore.ErrRoll, wire.KafkaStorageError},
	{logstore.ErrOpen, wire.KafkaStorageError},
	{batch.ErrTooLarge, wire.MessageTooLarge},
	{batch.ErrInvalidTimestamp, wire.InvalidTimestamp},
	{batch.ErrShort, wire.CorruptMessage},
	{batch.ErrCorrupt, wire.CorruptMessage},
	{batch.ErrMagic, wire.InvalidRecord},
	{batch.ErrCodec, wire.UnknownServerError}, // a codec that does not exist; Kafka has no better word for it
	{batch.ErrInvalidRecord, wire.InvalidRecord},
	{config.ErrInvalid, wire.InvalidConfig},
	{syscall.EIO, wire.KafkaStorageError}, // of a read
}

// codeOf is Kafka's code for err.
func codeOf(err error) wire.ErrorCode {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	for i := range codes {
		if errors.Is(err, codes[i].err) {
			return codes[i].code
		}
	}
	return wire.UnknownServerError
}
