// Package zk has the messages of ZooKeeper's client protocol: jute encoding, records, operation types, error codes,
// path rules and ACL identities. The coordinator's server and its client share it.
//
// It knows no socket, file, clock or goroutine. Encoders append to a slice of the caller's; decoders read from a
// slice and copy what they keep, so that the caller may reuse it. No decoder allocates by an announced size: a count
// or length beyond the bytes that are left is an error.
//
// Entry points: Decoder and the Append functions (jute.go), the records (records.go, multi.go), Op (op.go), Error
// (errors.go), CheckPath (path.go), ACL (acl.go), frames (frame.go).
//
// The reference is what ZooKeeper 3.8 and 3.9 put on the wire (zookeeper.jute).
package zk
