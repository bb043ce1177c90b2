package server

import "log/slog"

// Restored is what Restore has accepted.
type Restored struct {
	Nodes, Sessions int
	Was, Zxid       int64 // the last transaction: as it was found, and now
}

// Restore accepts the state that lies in a directory, which a start would refuse since it is older than what was
// acknowledged, or another's. The directory becomes a new incarnation, so that a copy of what it was is refused from now on; and
// its transaction ids go on in the next epoch (the upper half), above all that were given out before, so that whoever compares
// them, or versions made of them, takes nothing old for new. Errors are those of Open.
func Restore(dir string) (r *Restored, err error) {
	s, err := lockStore(dir, slog.Default())
	if err != nil {
		return nil, err
	}
	c := newCore(Limits{Tick: 1}, nil)
	if err := s.read(c); err != nil {
		s.abandon()
		return nil, err
	}
	r = &Restored{Nodes: len(c.tree.nodes), Sessions: len(c.sessions.byID), Was: c.tree.zxid}
	r.Zxid = (max(c.tree.zxid, s.mark.Zxid)>>32 + 1) << 32
	// The epoch begins with a transaction that changes nothing, in a file of its own. Until the marker names the
	// new incarnation, a start refuses the directory as before, and this can be done again.
	if err := s.roll(r.Zxid); err != nil {
		s.abandon()
		return nil, err
	}
	x := txn{zxid: r.Zxid, changes: []change{{op: opNothing}}}
	if err = s.append(x.append(nil)); err == nil {
		s.id.Incarnation = randomHex(16)
		err = replaceJSON(s.identityPath(), s.id)
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	return r, s.close(r.Zxid)
}
