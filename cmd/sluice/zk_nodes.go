package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// zkNode is a node as the zk verbs show it; the JSON names are stable. Data that is a JSON object or list is in json,
// other text in data, bytes that are no text in data_base64, and all three are null for a node without data.
type zkNode struct {
	Path       string          `json:"path"`
	JSON       json.RawMessage `json:"json,omitempty"`
	Data       *string         `json:"data,omitempty"`
	DataBase64 []byte          `json:"data_base64,omitempty"`
	ACL        []string        `json:"acl,omitempty"`
	Stat       *zkStat         `json:"stat,omitempty"`
	Children   []*zkNode       `json:"children,omitempty"`

	raw   []byte
	names []string
}

// zkStat is a node's stat. Transactions and the session are hexadecimal, as ZooKeeper's tools have them.
type zkStat struct {
	Czxid          string    `json:"czxid"`
	Mzxid          string    `json:"mzxid"`
	Pzxid          string    `json:"pzxid"`
	Ctime          time.Time `json:"ctime"`
	Mtime          time.Time `json:"mtime"`
	Version        int32     `json:"version"`
	Cversion       int32     `json:"cversion"`
	Aversion       int32     `json:"aversion"`
	EphemeralOwner string    `json:"ephemeral_owner,omitempty"`
	DataLength     int32     `json:"data_length"`
	NumChildren    int32     `json:"num_children"`
}

func newZKStat(s *zk.Stat) *zkStat {
	v := &zkStat{Czxid: zkHex(s.Czxid), Mzxid: zkHex(s.Mzxid), Pzxid: zkHex(s.Pzxid), Ctime: zkTime(s.Ctime), Mtime: zkTime(s.Mtime),
		Version: s.Version, Cversion: s.Cversion, Aversion: s.Aversion, DataLength: s.DataLength, NumChildren: s.NumChildren}
	if s.EphemeralOwner != 0 {
		v.EphemeralOwner = zkHex(s.EphemeralOwner)
	}
	return v
}

func zkHex(n int64) string          { return "0x" + strconv.FormatUint(uint64(n), 16) }
func zkTime(millis int64) time.Time { return time.UnixMilli(millis).UTC() }

// setData files the data under the field that it can be read in.
func (n *zkNode) setData(b []byte) {
	n.raw = b
	trimmed := strings.TrimSpace(string(b))
	switch {
	case b == nil:
	case strings.HasPrefix(trimmed, "{") && json.Valid(b), strings.HasPrefix(trimmed, "[") && json.Valid(b):
		n.JSON = b
	case utf8.Valid(b):
		s := string(b)
		n.Data = &s
	default:
		n.DataBase64 = b
	}
}

// text is the data for a cell of a table.
func (n *zkNode) text() string {
	const most = 120
	if n.raw == nil {
		return ""
	}
	s := string(n.raw)
	if !utf8.Valid(n.raw) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		s = strconv.Quote(s)
	}
	if cut := []rune(s); len(cut) > most {
		s = string(cut[:most]) + "…"
	}
	return s
}

// zkWant is what to read of each node besides its path.
type zkWant struct {
	data, acl, names bool
	depth            int // how far below the first one, -1 for all
}

// zkSide is how many nodes are asked for at the same time, and so in memory with their data.
const zkSide = 64

// zkRead reads one node; nil if there is none.
func zkRead(ctx context.Context, s *client.Session, path string, want zkWant) (*zkNode, error) {
	n := &zkNode{Path: path}
	err := client.Retry(ctx, func() error {
		var data []byte
		var stat zk.Stat
		var found = true
		var err error
		if want.data {
			data, stat, err = s.Get(ctx, path)
		} else {
			stat, found, err = s.Exists(ctx, path)
		}
		if err != nil || !found {
			if !found {
				n = nil
			}
			return err
		}
		n.Stat = newZKStat(&stat)
		n.setData(data)
		if want.acl {
			list, _, err := s.ACL(ctx, path)
			if err != nil {
				return err
			}
			n.ACL = formatACL(list)
		}
		if want.names && stat.NumChildren > 0 {
			n.names, _, err = s.Children(ctx, path)
			slices.Sort(n.names)
		}
		return err
	})
	if errors.Is(err, zk.NoNode) {
		return nil, nil
	}
	return n, err
}

// zkWalk visits a node and those below it, parents first, in the order of their names. What goes meanwhile is left out.
func zkWalk(ctx context.Context, s *client.Session, path string, want zkWant, visit func(n *zkNode, depth int) error) error {
	want.names = want.depth != 0
	n, err := zkRead(ctx, s, path, want)
	if err != nil {
		return err
	}
	if n == nil {
		return &client.OpError{Op: zk.OpExists, Path: path, Err: zk.NoNode}
	}
	return zkVisit(ctx, s, n, want, 0, visit)
}

func zkVisit(ctx context.Context, s *client.Session, n *zkNode, want zkWant, depth int, visit func(n *zkNode, depth int) error) error {
	if err := visit(n, depth); err != nil {
		return err
	}
	if depth == want.depth {
		return nil
	}
	below := want
	below.names = depth+1 != want.depth
	for names := range slices.Chunk(n.names, zkSide) {
		nodes, err := zkReadAll(ctx, s, n.Path, names, below)
		if err != nil {
			return err
		}
		for _, c := range nodes {
			if c == nil {
				continue
			}
			if err := zkVisit(ctx, s, c, want, depth+1, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// zkReadAll reads nodes below a path at the same time.
func zkReadAll(ctx context.Context, s *client.Session, parent string, names []string, want zkWant) ([]*zkNode, error) {
	nodes, errs := make([]*zkNode, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { nodes[i], errs[i] = zkRead(ctx, s, zk.Join(parent, name), want) })
	}
	wg.Wait()
	return nodes, firstError(errs...)
}

// parseACL reads scheme:id:perms, as zkCli has it; the id may have colons.
func parseACL(list []string) ([]zk.ACL, error) {
	var acl []zk.ACL
	for _, text := range list {
		i, j := strings.IndexByte(text, ':'), strings.LastIndexByte(text, ':')
		if i < 0 || i == j {
			return nil, usagef("--acl %s: want scheme:id:perms, such as world:anyone:r", text)
		}
		var perms zk.Perms
		for _, c := range text[j+1:] {
			p, ok := map[rune]zk.Perms{'c': zk.PermCreate, 'd': zk.PermDelete, 'r': zk.PermRead, 'w': zk.PermWrite, 'a': zk.PermAdmin}[c]
			if !ok {
				return nil, usagef("--acl %s: permissions are letters of cdrwa", text)
			}
			perms |= p
		}
		acl = append(acl, zk.ACL{Perms: perms, ID: zk.ID{Scheme: text[:i], ID: text[i+1 : j]}})
	}
	return acl, nil
}

func formatACL(acl []zk.ACL) []string {
	list := make([]string, len(acl))
	for i, a := range acl {
		list[i] = fmt.Sprintf("%s:%s:%v", a.ID.Scheme, a.ID.ID, a.Perms)
	}
	return list
}
