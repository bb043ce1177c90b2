package server

import (
	"fmt"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func TestWhichACLsMayBeSet(t *testing.T) {
	u1, u2 := zk.DigestID("u1", "p1"), zk.DigestID("u2", "p2")
	ids := []zk.ID{{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: superScheme}, u1, u2}
	one := func(scheme, id string) []zk.ACL {
		return []zk.ACL{{Perms: zk.PermAll, ID: zk.ID{Scheme: scheme, ID: id}}}
	}
	for _, k := range []struct {
		acl  []zk.ACL
		want string // "" for an invalid one
	}{
		{nil, ""}, {[]zk.ACL{}, ""},
		{one("world", "anyone"), "[{cdrwa {world anyone}}]"}, {one("world", "someone"), ""}, {one("none", "x"), ""}, {one("", ""), ""},
		{one("super", ""), ""}, {one("sasl", "x"), ""},
		{one("digest", "u:h"), "[{cdrwa {digest u:h}}]"}, {one("digest", ":h"), "[{cdrwa {digest :h}}]"}, {one("digest", "u"), ""},
		{one("digest", "u:"), ""}, {one("digest", ""), ""}, {one("digest", "a:b:c"), ""}, {one("digest", "a:b:"), "[{cdrwa {digest a:b:}}]"},
		{one("ip", "10.1.2.3"), "[{cdrwa {ip 10.1.2.3}}]"}, {one("ip", "10.1.2.3/8"), "[{cdrwa {ip 10.1.2.3/8}}]"}, {one("ip", "::1/64"), "[{cdrwa {ip ::1/64}}]"},
		{one("ip", "host"), ""}, {one("ip", "1.2.3"), ""}, {one("ip", "1.2.3.4/33"), ""}, {one("ip", "1.2.3.4/-1"), ""}, {one("ip", "fe80::1%lo"), ""},
		{one("x509", "CN=a"), "[{cdrwa {x509 CN=a}}]"}, {one("x509", "a"), ""},
		// auth is all that the connection has shown, but no address, and not that it may do everything
		{one("auth", "whatever"), fmt.Sprint([]zk.ACL{{Perms: zk.PermAll, ID: u1}, {Perms: zk.PermAll, ID: u2}})},
		{append(one("world", "anyone"), one("none", "")...), ""},
		// doubles go before auth becomes what it stands for
		{append(one("digest", u1.ID), append(one("auth", ""), one("auth", "")...)...),
			fmt.Sprint([]zk.ACL{{Perms: zk.PermAll, ID: u1}, {Perms: zk.PermAll, ID: u1}, {Perms: zk.PermAll, ID: u2}})},
		{append(one("world", "anyone"), one("world", "anyone")...), "[{cdrwa {world anyone}}]"},
	} {
		got, ok := resolve(k.acl, ids)
		if ok != (k.want != "") || ok && fmt.Sprint(got) != k.want {
			t.Errorf("%v: %v, %v; want %s", k.acl, got, ok, k.want)
		}
	}
	if _, ok := resolve(one("auth", ""), ids[:2]); ok {
		t.Error("auth of somebody who has shown nothing")
	}
}

func TestWhoIsAllowed(t *testing.T) {
	u1 := zk.DigestID("u1", "p1")
	entry := func(p zk.Perms, scheme, id string) []zk.ACL {
		return []zk.ACL{{Perms: p, ID: zk.ID{Scheme: scheme, ID: id}}}
	}
	me := []zk.ID{{Scheme: "ip", ID: "127.0.0.1"}, u1}
	for _, k := range []struct {
		acl  []zk.ACL
		perm zk.Perms
		ids  []zk.ID
		want bool
	}{
		{nil, zk.PermAdmin, nil, true},
		{entry(zk.PermRead, "world", "anyone"), zk.PermRead, nil, true},
		{entry(zk.PermRead, "world", "anyone"), zk.PermWrite, me, false},
		{entry(zk.PermRead, "world", "anyone"), zk.PermRead | zk.PermAdmin, me, true}, // one of them is enough
		{entry(zk.PermAll, "digest", u1.ID), zk.PermWrite, me, true},
		{entry(zk.PermAll, "digest", u1.ID), zk.PermWrite, me[:1], false},
		{entry(zk.PermAll, "ip", "127.0.0.1"), zk.PermWrite, me, true},
		{entry(zk.PermAll, "ip", "127.9.9.9/8"), zk.PermWrite, me, true},
		{entry(zk.PermAll, "ip", "127.0.0.0/0"), zk.PermWrite, me, true},
		{entry(zk.PermAll, "ip", "10.0.0.0/8"), zk.PermWrite, me, false},
		{entry(zk.PermAll, "ip", "::1"), zk.PermWrite, me, false},
		{entry(0, "world", "anyone"), zk.PermRead, []zk.ID{{Scheme: superScheme}}, true},
	} {
		if got := allowed(k.acl, k.perm, k.ids); got != k.want {
			t.Errorf("%v, %s, %v: %v", k.acl, k.perm, k.ids, got)
		}
	}
}

func TestAuth(t *testing.T) {
	c := testCore()
	c.limits.SuperDigest = zk.DigestID("super", "test").ID
	for _, k := range []struct {
		scheme string
		auth   []byte
		want   zk.Error
		ids    string // whoAmI, behind the address
	}{
		{"digest", []byte("u1:p1"), zk.OK, "[{digest u1}]"},
		{"digest", []byte("name alone"), zk.OK, "[{digest name alone}]"},
		{"digest", []byte{}, zk.OK, "[{digest }]"},
		{"digest", []byte("super:test"), zk.OK, "[{super } {digest super}]"},
		{"ip", nil, zk.OK, "[]"},
		{"digest", nil, zk.AuthFailed, ""},
		{"world", []byte("anyone"), zk.AuthFailed, ""},
		{"auth", []byte("u1:p1"), zk.AuthFailed, ""},
		{"super", []byte(""), zk.AuthFailed, ""},
		{"sasl", []byte("x"), zk.AuthFailed, ""},
		{"", []byte("x"), zk.AuthFailed, ""},
	} {
		x := dial(t, c, zk.ConnectRequest{})
		if err := x.code(zk.OpAuth, &zk.AuthRequest{Scheme: k.scheme, Auth: k.auth}); err != k.want || x.end != (err != zk.OK) {
			t.Errorf("%s %q: %v, end %v; want %v", k.scheme, k.auth, err, x.end, k.want)
			continue
		}
		if k.want != zk.OK {
			continue
		}
		x.code(zk.OpAuth, &zk.AuthRequest{Scheme: k.scheme, Auth: k.auth}) // again changes nothing
		_, _, d := x.call(zk.OpWhoAmI, nil)
		if ids := d.IDs(); fmt.Sprint(ids[1:]) != k.ids || ids[0] != (zk.ID{Scheme: "ip", ID: "127.0.0.1"}) {
			t.Errorf("%s %q: %v", k.scheme, k.auth, ids)
		}
	}
	// what has no colon is hashed as it is
	if got, want := zk.DigestOf("u"), zk.DigestID("u", ""); got == want {
		t.Error(got)
	}
}

// TestGetACL: READ or ADMIN, and hashes only for who has ADMIN.
func TestGetACL(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{})
	u := zk.ACL{Perms: zk.PermAll, ID: zk.DigestID("u", "p")}
	x.made("/r", zk.Persistent, u, zk.ACL{Perms: zk.PermRead, ID: zk.Anyone})
	x.made("/w", zk.Persistent, u, zk.ACL{Perms: zk.PermWrite, ID: zk.Anyone})
	x.made("/a", zk.Persistent, u, zk.ACL{Perms: zk.PermAdmin, ID: zk.Anyone})
	for _, k := range []struct {
		path, id string
		err      zk.Error
	}{{"/r", "u:x", zk.OK}, {"/w", "", zk.NoAuth}, {"/a", u.ID.ID, zk.OK}, {"/none", "", zk.NoNode}} {
		_, err, d := x.call(zk.OpGetACL, &zk.PathRequest{Path: k.path})
		if err != k.err || err == zk.OK && d.ACLs()[0].ID.ID != k.id {
			t.Errorf("%s: %v", k.path, err)
		}
	}
	x.auth("u:p")
	_, _, d := x.call(zk.OpGetACL, &zk.PathRequest{Path: "/r"})
	if got := d.ACLs()[0]; got != u {
		t.Error(got)
	}
}

// TestRights: which one each operation asks for, and on which node.
func TestRights(t *testing.T) {
	c := testCore()
	x := dial(t, c, zk.ConnectRequest{}).super()
	for _, p := range []zk.Perms{zk.PermRead, zk.PermWrite, zk.PermCreate, zk.PermDelete, zk.PermAdmin} {
		x.made("/"+p.String(), zk.Persistent, zk.ACL{Perms: p, ID: zk.Anyone})
		x.made("/"+p.String()+"/c", zk.Persistent)
	}
	y := dial(t, c, zk.ConnectRequest{})
	read := func(path string) zk.Record { return &zk.ReadRequest{Path: path} }
	for _, k := range []struct {
		op    zk.Op
		r     func(path string) zk.Record
		needs string
	}{
		{zk.OpExists, read, "r"}, {zk.OpGetData, read, "r"}, {zk.OpGetChildren, read, "r"}, {zk.OpGetChildren2, read, "r"},
		{zk.OpGetAllChildrenNumber, func(p string) zk.Record { return &zk.PathRequest{Path: p} }, "r"},
		{zk.OpSetData, func(p string) zk.Record { return &zk.SetDataRequest{Path: p, Version: -1} }, "w"},
		{zk.OpSetACL, func(p string) zk.Record {
			return &zk.SetACLRequest{Path: p, ACL: []zk.ACL{{Perms: zk.PermAdmin, ID: zk.Anyone}}, Version: -1}
		}, "a"},
		{zk.OpCreate, func(p string) zk.Record { return &zk.CreateRequest{Path: p + "/new", ACL: zk.OpenACL} }, "c"},
		{zk.OpDelete, func(p string) zk.Record { return &zk.VersionRequest{Path: p + "/c", Version: -1} }, "d"},
	} {
		for _, has := range []string{"r", "w", "c", "d", "a"} {
			want := zk.NoAuth
			if has == k.needs {
				want = zk.OK
			}
			if err := y.code(k.op, k.r("/"+has)); err != want {
				t.Errorf("%s with %s: %v, want %v", k.op, has, err, want)
			}
		}
	}
	// a check in a multi reads
	_, _, d := y.call(zk.OpMulti, &zk.MultiRequest{Parts: []zk.Part{{Op: zk.OpCheck, Request: &zk.VersionRequest{Path: "/w", Version: -1}}}})
	var m zk.MultiResponse
	if m.Decode(d); m.Results[0].Err != zk.NoAuth {
		t.Error(m)
	}
}
