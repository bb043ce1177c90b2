package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Exit codes. They are part of the interface: scripts depend on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitUnreachable = 4
	exitKafka       = 5
	exitLost        = 8
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

const exitCodeHelp = `Exit codes:
  0    done
  1    failed for a reason of this machine (file, memory, port) or of the program
  2    the command line is wrong
  3    the configuration is wrong
  4    no broker, or no coordinator, could be reached
  5    a broker or coordinator answered with an error
  6    a measurement was made, but is not valid
  7    a log directory is damaged
  8    a lock or a leadership was lost while the command ran
  130  interrupted by a signal before it was done`

// exitError is an error with the exit code that it leads to. Without an error it is a command's that was run, which has
// said itself what it had to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// usageError marks err as a mistake in the command line.
func usageError(err error) error { return &exitError{exitUsage, err} }

// usagef is usageError of a formatted text.
func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// configError marks err as a mistake in the configuration.
func configError(err error) error { return &exitError{exitConfig, err} }

// report prints err to w and returns the exit code.
func report(ctx context.Context, w io.Writer, cmd *cobra.Command, err error) int {
	code := exitFailed
	var e *exitError
	var k *kerr.Error
	switch {
	case errors.As(err, &e):
		code = e.code
	case errors.As(err, &k):
		code = exitKafka
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		code, err = exitInterrupted, errors.New("interrupted")
	}
	if e != nil && e.err == nil {
		return code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), line)
	}
	if code == exitUsage {
		fmt.Fprintf(w, "Try '%s --help'.\n", cmd.CommandPath())
	}
	return code
}

// advice says what to do about an error of a broker.
var advice = map[int16]string{
	kerr.OffsetOutOfRange.Code:             "ask `sluice topic describe` for the offsets that exist",
	kerr.UnknownTopicOrPartition.Code:      "see `sluice topic list`, or create it with `sluice topic create`",
	kerr.MessageTooLarge.Code:              "send smaller records, or raise max.message.bytes of the topic",
	kerr.NotEnoughReplicas.Code:            "wait for replicas to catch up, or lower min.insync.replicas",
	kerr.TopicAuthorizationFailed.Code:     "ask for the right, or log in as somebody else with -X sasl.username",
	kerr.ClusterAuthorizationFailed.Code:   "ask for the right, or log in as somebody else with -X sasl.username",
	kerr.SaslAuthenticationFailed.Code:     "check -X sasl.mechanism, sasl.username and sasl.password",
	kerr.UnsupportedVersion.Code:           "the broker is too old or too new for this verb",
	kerr.InvalidTopicException.Code:        "use 1 to 249 of the characters a-z, A-Z, 0-9, dot, underscore and minus",
	kerr.TopicAlreadyExists.Code:           "choose another name, or pass --if-not-exists",
	kerr.InvalidPartitions.Code:            "ask for at least one partition",
	kerr.InvalidReplicationFactor.Code:     "ask for no more replicas than there are brokers",
	kerr.InvalidConfig.Code:                "correct it, see `sluice config explain KEY`",
	kerr.CorruptMessage.Code:               "look at network and disk: the data did not match its checksum",
	kerr.KafkaStorageError.Code:            "look at the broker's log: a disk of it has failed",
	kerr.InvalidTimestamp.Code:             "correct the records' time, or the topic's message.timestamp settings",
	kerr.TopicDeletionDisabled.Code:        "set delete.topic.enable=true on the brokers",
	kerr.UnsupportedCompressionType.Code:   "choose another codec with -z",
	kerr.InvalidRequiredAcks.Code:          "use --acks 0, 1 or all",
	kerr.NotEnoughReplicasAfterAppend.Code: "the records are written, but on too few replicas; writing again doubles them",
}

// kafkaError turns an error of the client into what the user reads: what it was
// about, Kafka's name and code, and what to do.
func kafkaError(what string, err error, detail string) error {
	var k *kerr.Error
	if !errors.As(err, &k) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if detail == "" {
		detail = k.Description
	}
	text := fmt.Sprintf("%s: %s (%d): %s", what, k.Message, k.Code, strings.TrimSuffix(detail, "."))
	if a, ok := advice[k.Code]; ok {
		text += "; " + a
	}
	return &exitError{exitKafka, &described{text, err}}
}

// described is an error with a text of its own.
type described struct {
	text  string
	cause error
}

func (d *described) Error() string { return d.text }
func (d *described) Unwrap() error { return d.cause }
