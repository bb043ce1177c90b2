package zk

// Record is a message or a part of one. Decode reads what Append wrote; Decoder.Err tells whether it was all there.
type Record interface {
	Append(dst []byte) []byte
	Decode(d *Decoder)
}

// PasswordSize is the length of a session's password in bytes.
const PasswordSize = 16

// ConnectRequest is a connection's first packet. It has no header.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    int64
	TimeoutMillis   int32
	SessionID       int64 // 0: a new one
	Password        []byte
	ReadOnly        bool
	// HasReadOnly is false for clients of 3.3 and before, whose packet ends earlier, and whose answer has to.
	HasReadOnly bool
}

// Append is part of Record.
func (r *ConnectRequest) Append(dst []byte) []byte {
	dst = AppendLong(AppendInt(dst, r.ProtocolVersion), r.LastZxidSeen)
	dst = AppendLong(AppendInt(dst, r.TimeoutMillis), r.SessionID)
	dst = AppendBuffer(dst, r.Password)
	if r.HasReadOnly {
		dst = AppendBool(dst, r.ReadOnly)
	}
	return dst
}

// Decode is part of Record.
func (r *ConnectRequest) Decode(d *Decoder) {
	r.ProtocolVersion, r.LastZxidSeen = d.Int(), d.Long()
	r.TimeoutMillis, r.SessionID = d.Int(), d.Long()
	r.Password = d.Buffer()
	if r.HasReadOnly = len(d.Left()) > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
}

// ConnectResponse answers it. A session that cannot be resumed gets zero for time-out and id, and zeros for a
// password: that is how a client learns that its session has expired.
type ConnectResponse struct {
	ProtocolVersion int32
	TimeoutMillis   int32
	SessionID       int64
	Password        []byte
	ReadOnly        bool
	HasReadOnly     bool // as in the request
}

// Append is part of Record.
func (r *ConnectResponse) Append(dst []byte) []byte {
	dst = AppendInt(AppendInt(dst, r.ProtocolVersion), r.TimeoutMillis)
	dst = AppendBuffer(AppendLong(dst, r.SessionID), r.Password)
	if r.HasReadOnly {
		dst = AppendBool(dst, r.ReadOnly)
	}
	return dst
}

// Decode is part of Record.
func (r *ConnectResponse) Decode(d *Decoder) {
	r.ProtocolVersion, r.TimeoutMillis = d.Int(), d.Int()
	r.SessionID, r.Password = d.Long(), d.Buffer()
	if r.HasReadOnly = len(d.Left()) > 0; r.HasReadOnly {
		r.ReadOnly = d.Bool()
	}
}

// RequestHeader begins every packet of a client but the first.
type RequestHeader struct {
	Xid int32
	Op  Op
}

// Append is part of Record.
func (r *RequestHeader) Append(dst []byte) []byte {
	return AppendInt(AppendInt(dst, r.Xid), int32(r.Op))
}

// Decode is part of Record.
func (r *RequestHeader) Decode(d *Decoder) { r.Xid, r.Op = d.Int(), Op(d.Int()) }

// ReplyHeader begins every packet of a server but the first. With an error no body follows, except a multi's, whose
// errors are in the body.
type ReplyHeader struct {
	Xid  int32
	Zxid int64
	Err  Error
}

// Append is part of Record.
func (r *ReplyHeader) Append(dst []byte) []byte {
	return AppendInt(AppendLong(AppendInt(dst, r.Xid), r.Zxid), int32(r.Err))
}

// Decode is part of Record.
func (r *ReplyHeader) Decode(d *Decoder) { r.Xid, r.Zxid, r.Err = d.Int(), d.Long(), Error(d.Int()) }

// Stat is what is known of a node besides its data. Times are milliseconds since 1970.
type Stat struct {
	Czxid          int64 // transaction that created it
	Mzxid          int64 // that last changed the data
	Ctime, Mtime   int64
	Version        int32 // changes of the data
	Cversion       int32 // creations and deletions of children
	Aversion       int32 // changes of the ACL
	EphemeralOwner int64 // session, 0 for a node that outlives it
	DataLength     int32
	NumChildren    int32
	Pzxid          int64 // transaction that last created or deleted a child
}

// Append is part of Record.
func (s *Stat) Append(dst []byte) []byte {
	for _, v := range [...]int64{s.Czxid, s.Mzxid, s.Ctime, s.Mtime} {
		dst = AppendLong(dst, v)
	}
	dst = AppendInt(AppendInt(AppendInt(dst, s.Version), s.Cversion), s.Aversion)
	dst = AppendLong(dst, s.EphemeralOwner)
	dst = AppendInt(AppendInt(dst, s.DataLength), s.NumChildren)
	return AppendLong(dst, s.Pzxid)
}

// Decode is part of Record.
func (s *Stat) Decode(d *Decoder) {
	s.Czxid, s.Mzxid, s.Ctime, s.Mtime = d.Long(), d.Long(), d.Long(), d.Long()
	s.Version, s.Cversion, s.Aversion = d.Int(), d.Int(), d.Int()
	s.EphemeralOwner = d.Long()
	s.DataLength, s.NumChildren = d.Int(), d.Int()
	s.Pzxid = d.Long()
}

// PathRequest has a path alone: sync, getACL, getEphemerals (a prefix), getAllChildrenNumber.
type PathRequest struct{ Path string }

// Append is part of Record.
func (r *PathRequest) Append(dst []byte) []byte { return AppendString(dst, r.Path) }

// Decode is part of Record.
func (r *PathRequest) Decode(d *Decoder) { r.Path = d.path() }

// ReadRequest is exists, getData, getChildren or getChildren2.
type ReadRequest struct {
	Path  string
	Watch bool
}

// Append is part of Record.
func (r *ReadRequest) Append(dst []byte) []byte {
	return AppendBool(AppendString(dst, r.Path), r.Watch)
}

// Decode is part of Record.
func (r *ReadRequest) Decode(d *Decoder) { r.Path, r.Watch = d.path(), d.Bool() }

// CreateRequest is any of the creates.
type CreateRequest struct {
	Path string
	Data []byte // nil and empty are kept apart
	ACL  []ACL
	Mode CreateMode
	// TTLMillis is on the wire if WithTTL is set, as it is for OpCreateTTL.
	TTLMillis int64
	WithTTL   bool
}

// Append is part of Record.
func (r *CreateRequest) Append(dst []byte) []byte {
	dst = AppendACLs(AppendBuffer(AppendString(dst, r.Path), r.Data), r.ACL)
	dst = AppendInt(dst, int32(r.Mode))
	if r.WithTTL {
		dst = AppendLong(dst, r.TTLMillis)
	}
	return dst
}

// Decode is part of Record. WithTTL is to be set before.
func (r *CreateRequest) Decode(d *Decoder) {
	r.Path, r.Data, r.ACL, r.Mode = d.path(), d.Buffer(), d.ACLs(), CreateMode(d.Int())
	if r.WithTTL {
		r.TTLMillis = d.Long()
	}
}

// VersionRequest is delete or, within a multi, check. Version -1 is any.
type VersionRequest struct {
	Path    string
	Version int32
}

// Append is part of Record.
func (r *VersionRequest) Append(dst []byte) []byte {
	return AppendInt(AppendString(dst, r.Path), r.Version)
}

// Decode is part of Record.
func (r *VersionRequest) Decode(d *Decoder) { r.Path, r.Version = d.path(), d.Int() }

// SetDataRequest is setData. Version -1 is any.
type SetDataRequest struct {
	Path    string
	Data    []byte
	Version int32
}

// Append is part of Record.
func (r *SetDataRequest) Append(dst []byte) []byte {
	return AppendInt(AppendBuffer(AppendString(dst, r.Path), r.Data), r.Version)
}

// Decode is part of Record.
func (r *SetDataRequest) Decode(d *Decoder) {
	r.Path, r.Data, r.Version = d.path(), d.Buffer(), d.Int()
}

// SetACLRequest is setACL. Version, of the ACL, -1 is any.
type SetACLRequest struct {
	Path    string
	ACL     []ACL
	Version int32
}

// Append is part of Record.
func (r *SetACLRequest) Append(dst []byte) []byte {
	return AppendInt(AppendACLs(AppendString(dst, r.Path), r.ACL), r.Version)
}

// Decode is part of Record.
func (r *SetACLRequest) Decode(d *Decoder) { r.Path, r.ACL, r.Version = d.path(), d.ACLs(), d.Int() }

// AuthRequest adds an identity to the connection.
type AuthRequest struct {
	Type   int32 // 0
	Scheme string
	Auth   []byte // digest: "user:password"
}

// Append is part of Record.
func (r *AuthRequest) Append(dst []byte) []byte {
	return AppendBuffer(AppendString(AppendInt(dst, r.Type), r.Scheme), r.Auth)
}

// Decode is part of Record.
func (r *AuthRequest) Decode(d *Decoder) { r.Type, r.Scheme, r.Auth = d.Int(), d.String(), d.Buffer() }

// SetWatchesRequest has the watches of a connection that was lost, and the last transaction that was seen there:
// OpSetWatches without, OpSetWatches2 with the persistent ones.
type SetWatchesRequest struct {
	RelativeZxid        int64
	Data, Exist, Child  []string
	Persistent          []string
	PersistentRecursive []string
	WithPersistent      bool // to be set before Decode
}

// Append is part of Record.
func (r *SetWatchesRequest) Append(dst []byte) []byte {
	dst = AppendLong(dst, r.RelativeZxid)
	dst = AppendStrings(AppendStrings(AppendStrings(dst, r.Data), r.Exist), r.Child)
	if r.WithPersistent {
		dst = AppendStrings(AppendStrings(dst, r.Persistent), r.PersistentRecursive)
	}
	return dst
}

// Decode is part of Record.
func (r *SetWatchesRequest) Decode(d *Decoder) {
	r.RelativeZxid = d.Long()
	r.Data, r.Exist, r.Child = d.paths(), d.paths(), d.paths()
	if r.WithPersistent {
		r.Persistent, r.PersistentRecursive = d.paths(), d.paths()
	}
}

// WatchRequest is addWatch, with a WatchMode, or checkWatches and removeWatches, with a WatcherType.
type WatchRequest struct {
	Path string
	Kind int32
}

// Append is part of Record.
func (r *WatchRequest) Append(dst []byte) []byte { return AppendInt(AppendString(dst, r.Path), r.Kind) }

// Decode is part of Record.
func (r *WatchRequest) Decode(d *Decoder) { r.Path, r.Kind = d.path(), d.Int() }

// ReconfigRequest changes an ensemble's members.
type ReconfigRequest struct {
	Joining, Leaving, Members string
	ConfigID                  int64
}

// Append is part of Record.
func (r *ReconfigRequest) Append(dst []byte) []byte {
	dst = AppendString(AppendString(AppendString(dst, r.Joining), r.Leaving), r.Members)
	return AppendLong(dst, r.ConfigID)
}

// Decode is part of Record.
func (r *ReconfigRequest) Decode(d *Decoder) {
	r.Joining, r.Leaving, r.Members, r.ConfigID = d.String(), d.String(), d.String(), d.Long()
}

// Event tells of a change that was watched. Its header has XidNotification.
type Event struct {
	Type  EventType
	State int32
	Path  string
}

// Append is part of Record.
func (e *Event) Append(dst []byte) []byte {
	return AppendString(AppendInt(AppendInt(dst, int32(e.Type)), e.State), e.Path)
}

// Decode is part of Record.
func (e *Event) Decode(d *Decoder) { e.Type, e.State, e.Path = EventType(d.Int()), d.Int(), d.String() }

// AppendIDs appends the answer to whoAmI: who the connection has shown to be.
func AppendIDs(dst []byte, ids []ID) []byte {
	dst = AppendInt(dst, int32(len(ids)))
	for _, i := range ids {
		dst = i.append(dst)
	}
	return dst
}

// IDs reads it.
func (d *Decoder) IDs() []ID {
	n := d.count(8)
	if n == 0 {
		return nil
	}
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = d.id()
	}
	return ids
}
