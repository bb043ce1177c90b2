package wire

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestErrorCodesAgreeWithKerr(t *testing.T) {
	for c := UnknownServerError; c <= ShareSessionLimitReached; c++ {
		if c == None {
			continue
		}
		var ke *kerr.Error
		if !errors.As(kerr.ErrorForCode(int16(c)), &ke) || ke.Code != int16(c) {
			t.Errorf("kerr has no code %d", c)
			continue
		}
		if c.String() != ke.Message && c != NotLeaderOrFollower { // kerr has the name it had before Kafka 2.6
			t.Errorf("code %d is %s, kerr has %s", c, c, ke.Message)
		}
		if c.Retriable() != ke.Retriable && !retriableDiffers[c] {
			t.Errorf("%v: retriable %v, kerr says %v", c, c.Retriable(), ke.Retriable)
		}
		if c.Retriable() == ke.Retriable && retriableDiffers[c] {
			t.Errorf("%v: no difference to kerr any more", c)
		}
		if c.Message() == "" {
			t.Errorf("%v has no message", c)
		}
	}
}

// retriableDiffers are the codes that Kafka's exceptions and kerr see differently.
var retriableDiffers = map[ErrorCode]bool{
	BrokerNotAvailable:       true, // an ApiException, not a RetriableException
	ConcurrentTransactions:   true,
	ShareSessionNotFound:     true,
	InvalidShareSessionEpoch: true,
}

func TestErrorCodesOutside(t *testing.T) {
	if None.String() != "NONE" || None.Message() != "" || None.Retriable() {
		t.Error("facts of NONE")
	}
	for _, c := range []ErrorCode{-2, 134, -32768, 32767} {
		if c.Retriable() || c.Message() == "" {
			t.Errorf("facts of %d", c)
		}
	}
	if ErrorCode(134).String() != "134" || ErrorCode(-2).String() != "-2" {
		t.Error("names of unknown codes")
	}
	seen := map[string]ErrorCode{}
	for c := UnknownServerError; c <= ShareSessionLimitReached; c++ {
		if other, ok := seen[c.Message()]; ok {
			t.Errorf("%v and %v have the same message", c, other)
		}
		seen[c.Message()] = c
	}
}
