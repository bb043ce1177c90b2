package client

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A server that has not seen the transactions which a client has seen closes the connection without a word, and so does
// one that is starting, or has too many connections. The word srvr, which servers answer by default, tells which it is.

// maxWord bounds the answer to a four-letter word.
const maxWord = 4 << 10

// explain finds out why a server closed instead of answering.
func (s *Session) explain(addr string, refused error) error {
	seen := s.LastZxid()
	if seen == 0 {
		return refused
	}
	zxid, err := s.askZxid(addr)
	switch {
	case err != nil:
		return fmt.Errorf("%w; it may be behind what was seen before, or starting: %w", refused, err)
	case zxid >= seen:
		return refused
	}
	return fmt.Errorf("%w: it is at transaction 0x%x, and 0x%x was seen", ErrBehind, zxid, seen)
}

// askZxid asks a server for its last transaction.
func (s *Session) askZxid(addr string) (int64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.connectLimit())
	defer cancel()
	raw, err := s.cfg.Dial(ctx, addr)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	c := &conn{s: s, net: raw, raw: raw, address: addr}
	if err := s.secure(ctx, c); err != nil {
		return 0, err
	}
	if _, err := c.net.Write([]byte("srvr")); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(io.LimitReader(c.net, maxWord))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(strings.TrimSpace(line), "Zxid: 0x"); ok {
			return strconv.ParseInt(hex, 16, 64)
		}
	}
	return 0, fmt.Errorf("it does not tell its last transaction")
}
