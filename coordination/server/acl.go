package server

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// superScheme marks a connection that passes every check.
const superScheme = "super"

// allowed tells whether a connection with these identities has any of the rights perm on a node with that ACL. A node
// without entries is open, as in ZooKeeper.
func allowed(acl []zk.ACL, perm zk.Perms, ids []zk.ID) bool {
	if len(acl) == 0 {
		return true
	}
	for _, a := range acl {
		if a.Perms&perm != 0 && a.ID == zk.Anyone {
			return true
		}
	}
	for _, id := range ids {
		if id.Scheme == superScheme {
			return true
		}
		for _, a := range acl {
			if a.Perms&perm != 0 && a.ID.Scheme == id.Scheme && matches(a.ID, id.ID) {
				return true
			}
		}
	}
	return false
}

func matches(entry zk.ID, id string) bool {
	if entry.Scheme != "ip" {
		return entry.ID == id
	}
	addr, err := netip.ParseAddr(id)
	if err != nil {
		return false
	}
	network, ok := parseNetwork(entry.ID)
	return ok && network.Contains(addr.Unmap())
}

// parseNetwork reads an address or address/bits.
func parseNetwork(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// resolve is the ACL that a request's becomes: doubles go, and scheme auth stands for what the connection has shown to
// be. ok is false for an ACL that nobody may set (PrepRequestProcessor.fixupACL).
func resolve(acl []zk.ACL, ids []zk.ID) (list []zk.ACL, ok bool) {
	for i, a := range acl {
		if slices.Contains(acl[:i], a) {
			continue
		}
		if a.ID.Scheme != "auth" {
			if !validID(a.ID) {
				return nil, false
			}
			list = append(list, a)
			continue
		}
		before := len(list)
		for _, id := range ids {
			if id.Scheme != "ip" && id.Scheme != superScheme { // an address proves nobody, and super is none to give to
				list = append(list, zk.ACL{Perms: a.Perms, ID: id})
			}
		}
		if len(list) == before {
			return nil, false
		}
	}
	if len(list) == 1 && list[0] == zk.OpenACL[0] {
		return zk.OpenACL, true // shared by most nodes
	}
	return list, len(list) > 0
}

// validID tells whether an entry may name that (AuthenticationProvider.isValid).
func validID(id zk.ID) bool {
	switch id.Scheme {
	case "world":
		return id == zk.Anyone
	case "digest":
		// two parts between colons, when those at the end are left out
		return strings.Count(strings.TrimRight(id.ID, ":"), ":") == 1
	case "ip":
		_, ok := parseNetwork(id.ID)
		return ok
	case "x509":
		return strings.Contains(id.ID, "=")
	}
	return false
}

// masked is acl as those see it who may not administer the node: without the hashes of passwords.
func masked(acl []zk.ACL) []zk.ACL {
	list := slices.Clone(acl)
	for i, a := range list {
		if user, _, found := strings.Cut(a.ID.ID, ":"); found && a.ID.Scheme == "digest" {
			list[i].ID.ID = user + ":x"
		}
	}
	return list
}
