package netpoll

import (
	"context"
	"fmt"
	"log/slog"
)

// gnetLog takes gnet's log lines. Theirs are of interest to somebody who looks into the network path, so each is one
// level lower here than there. gnet keeps one logger per process: that of the server opened last.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) at(level slog.Level, format string, args []any) {
	if ctx := context.Background(); g.log.Enabled(ctx, level) {
		g.log.Log(ctx, level, fmt.Sprintf(format, args...), "from", "gnet")
	}
}

func (g gnetLog) Debugf(format string, args ...any) { g.at(slog.LevelDebug, format, args) }
func (g gnetLog) Infof(format string, args ...any)  { g.at(slog.LevelDebug, format, args) }
func (g gnetLog) Warnf(format string, args ...any)  { g.at(slog.LevelDebug, format, args) }
func (g gnetLog) Errorf(format string, args ...any) { g.at(slog.LevelWarn, format, args) }
func (g gnetLog) Fatalf(format string, args ...any) { g.at(slog.LevelError, format, args) }
