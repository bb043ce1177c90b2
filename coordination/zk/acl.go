package zk

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// Perms are the rights of an ACL entry (ZooDefs.Perms).
type Perms int32

// The rights. Delete is about a node's children: removing a node asks for it on the parent.
const (
	PermRead   Perms = 1
	PermWrite  Perms = 2
	PermCreate Perms = 4
	PermDelete Perms = 8
	PermAdmin  Perms = 16
	PermAll    Perms = 31
)

// String has a letter for each right, as zkCli prints them: cdrwa.
func (p Perms) String() string {
	var s strings.Builder
	for _, r := range []struct {
		p Perms
		c byte
	}{{PermCreate, 'c'}, {PermDelete, 'd'}, {PermRead, 'r'}, {PermWrite, 'w'}, {PermAdmin, 'a'}} {
		if p&r.p != 0 {
			s.WriteByte(r.c)
		}
	}
	return s.String()
}

// ID is who an ACL entry is for, or who a connection has shown to be.
type ID struct{ Scheme, ID string }

// Anyone is everybody.
var Anyone = ID{"world", "anyone"}

// ACL gives rights to somebody.
type ACL struct {
	Perms Perms
	ID    ID
}

// OpenACL gives all rights to everybody (ZooDefs.Ids.OPEN_ACL_UNSAFE). Not to be changed.
var OpenACL = []ACL{{PermAll, Anyone}}

// DigestID is the ID of scheme digest for a name and a password: user:base64(sha1(user:password)).
func DigestID(user, password string) ID { return DigestOf(user + ":" + password) }

// DigestOf is the ID for what an AuthRequest of scheme digest has, which is user:password, or anything: the name is what
// stands before the first colon.
func DigestOf(auth string) ID {
	user, _, _ := strings.Cut(auth, ":")
	sum := sha1.Sum([]byte(auth))
	return ID{"digest", user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}

func (i ID) append(dst []byte) []byte {
	return AppendString(AppendString(dst, i.Scheme), i.ID)
}

func (d *Decoder) id() ID { return ID{d.String(), d.String()} }

// AppendACLs appends a vector of entries; nil has the count -1.
func AppendACLs(dst []byte, list []ACL) []byte {
	if list == nil {
		return AppendInt(dst, -1)
	}
	dst = AppendInt(dst, int32(len(list)))
	for _, a := range list {
		dst = a.ID.append(AppendInt(dst, int32(a.Perms)))
	}
	return dst
}

// ACLs reads a vector of entries, nil for null.
func (d *Decoder) ACLs() []ACL {
	if d.atNull() {
		d.take(4)
		return nil
	}
	list := make([]ACL, d.count(12))
	for i := range list {
		list[i] = ACL{Perms(d.Int()), d.id()}
	}
	return list
}
