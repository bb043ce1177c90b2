package broker

import (
	"fmt"

	"github.com/sluice-mq/sluice/wire"
)

// Refusal is why a request, or one part of it, was not done: Kafka's error code and a sentence for a person.
type Refusal struct {
	Code    wire.ErrorCode
	Message string
}

func (r *Refusal) Error() string { return r.Message }

func refuse(code wire.ErrorCode, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// answered marks, where the times that a request names a thing are counted, what was refused for being named more
// than once: Kafka answers it once.
const answered = -1
