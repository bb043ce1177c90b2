package clock

import (
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Boot is the time since the machine was started. Unlike the clock behind time.Now's differences, which is
// CLOCK_MONOTONIC on Linux, it goes on while the machine is suspended; so whoever holds a lease reads it.
func Boot() time.Duration { return sys.Boottime() }
