package registry

import (
	"errors"
	"fmt"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The answers that callers tell apart, with errors.Is.
var (
	// ErrFenced: the controller epoch is not the caller's any more. It has to resign at once.
	ErrFenced = errors.New("registry: another controller was elected")
	// ErrBrokerExists: the broker id is registered by a session that is not the caller's. See BrokerExistsError.
	ErrBrokerExists = errors.New("registry: broker id is in use")
	// ErrEndpointTaken: another broker advertises the same host and port, which no Kafka broker would start beside.
	ErrEndpointTaken = errors.New("registry: host and port are advertised by another broker")
	// ErrNotRegistered: the broker is not registered by the caller's session.
	ErrNotRegistered = errors.New("registry: broker is not registered by this session")
	// ErrTopicExists: a topic of that name is there.
	ErrTopicExists = errors.New("registry: topic exists")
	// ErrTopicDeleting: a topic of that name is marked for deletion.
	ErrTopicDeleting = errors.New("registry: topic is being deleted")
	// ErrNotFound: what was to be read or changed is not there.
	ErrNotFound = errors.New("registry: not found")
	// ErrChanged: somebody else has changed it since it was read; nothing was written.
	ErrChanged = errors.New("registry: changed since it was read")
	// ErrBadName: no node can have that name.
	ErrBadName = errors.New("registry: name not allowed")
	// ErrKRaft: a KRaft controller has taken over the cluster, so that its metadata is not here any more.
	ErrKRaft = errors.New("registry: cluster is under a KRaft controller")
	// ErrExhausted: there are no producer ids left.
	ErrExhausted = errors.New("registry: producer ids are used up")
)

// DecodeError says which node cannot be understood, and why.
type DecodeError struct {
	Path string
	Err  error
}

// Error has the path first.
func (e *DecodeError) Error() string { return fmt.Sprintf("registry: %s: %v", e.Path, e.Err) }

// Unwrap is the reason.
func (e *DecodeError) Unwrap() error { return e.Err }

// BrokerExistsError says who has the broker id. It is an ErrBrokerExists.
type BrokerExistsError struct {
	ID      int32
	Session int64  // that has registered it
	Address string // its endpoints, or what its node says if that cannot be understood
}

// Error names the owner.
func (e *BrokerExistsError) Error() string {
	return fmt.Sprintf("registry: broker id %d is registered by session %#x at %s", e.ID, uint64(e.Session), e.Address)
}

// Unwrap is ErrBrokerExists.
func (e *BrokerExistsError) Unwrap() error { return ErrBrokerExists }

// at says what an error of the session was about, and turns its codes for absent and changed nodes into this
// package's.
func at(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, zk.NoNode):
		return fmt.Errorf("%w: %s", ErrNotFound, path)
	case errors.Is(err, zk.BadVersion):
		return fmt.Errorf("%w: %s", ErrChanged, path)
	case errors.Is(err, ErrFenced):
		return err
	}
	return fmt.Errorf("registry: %s: %w", path, err)
}
