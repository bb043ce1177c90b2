package zk

import "strconv"

// Op is a request's type (ZooDefs.OpCode).
type Op int32

// The types. Those a client may not send are not here.
const (
	OpNotification         Op = 0
	OpCreate               Op = 1
	OpDelete               Op = 2
	OpExists               Op = 3
	OpGetData              Op = 4
	OpSetData              Op = 5
	OpGetACL               Op = 6
	OpSetACL               Op = 7
	OpGetChildren          Op = 8
	OpSync                 Op = 9
	OpPing                 Op = 11
	OpGetChildren2         Op = 12
	OpCheck                Op = 13 // only within a multi
	OpMulti                Op = 14
	OpCreate2              Op = 15
	OpReconfig             Op = 16
	OpCheckWatches         Op = 17
	OpRemoveWatches        Op = 18
	OpCreateContainer      Op = 19
	OpDeleteContainer      Op = 20 // a server's own
	OpCreateTTL            Op = 21
	OpMultiRead            Op = 22
	OpAuth                 Op = 100
	OpSetWatches           Op = 101
	OpSASL                 Op = 102
	OpGetEphemerals        Op = 103
	OpGetAllChildrenNumber Op = 104
	OpSetWatches2          Op = 105
	OpAddWatch             Op = 106
	OpWhoAmI               Op = 107
	OpCloseSession         Op = -11
	OpError                Op = -1 // of a failed part in the answer to a multi
)

var opNames = map[Op]string{
	OpNotification: "notification", OpCreate: "create", OpDelete: "delete", OpExists: "exists", OpGetData: "getData",
	OpSetData: "setData", OpGetACL: "getACL", OpSetACL: "setACL", OpGetChildren: "getChildren", OpSync: "sync",
	OpPing: "ping", OpGetChildren2: "getChildren2", OpCheck: "check", OpMulti: "multi", OpCreate2: "create2",
	OpReconfig: "reconfig", OpCheckWatches: "checkWatches", OpRemoveWatches: "removeWatches",
	OpCreateContainer: "createContainer", OpDeleteContainer: "deleteContainer", OpCreateTTL: "createTTL",
	OpMultiRead: "multiRead", OpAuth: "auth", OpSetWatches: "setWatches", OpSASL: "sasl",
	OpGetEphemerals: "getEphemerals", OpGetAllChildrenNumber: "getAllChildrenNumber", OpSetWatches2: "setWatches2",
	OpAddWatch: "addWatch", OpWhoAmI: "whoAmI", OpCloseSession: "closeSession", OpError: "error",
}

// String is ZooKeeper's name of the operation, or the number of one that has none.
func (o Op) String() string {
	if name, ok := opNames[o]; ok {
		return name
	}
	return "op " + strconv.Itoa(int(o))
}

// Transaction ids (xid) of the messages that are no numbered request. A server echoes whatever came, so that clients
// which number these too are served.
const (
	XidNotification int32 = -1
	XidPing         int32 = -2
	XidAuth         int32 = -4
	XidSetWatches   int32 = -8
)

// CreateMode is what kind of node a create makes (CreateMode's flags).
type CreateMode int32

// The kinds. A TTL is only taken by OpCreateTTL. What makes a container is OpCreateContainer, whatever the kind says:
// with another create, Container is Persistent, but within a multi.
const (
	Persistent           CreateMode = 0
	Ephemeral            CreateMode = 1
	PersistentSequential CreateMode = 2
	EphemeralSequential  CreateMode = 3
	Container            CreateMode = 4
	TTL                  CreateMode = 5
	TTLSequential        CreateMode = 6
)

// Valid tells whether m is one of the kinds.
func (m CreateMode) Valid() bool { return m >= Persistent && m <= TTLSequential }

// Ephemeral tells whether the node ends with its session.
func (m CreateMode) Ephemeral() bool { return m == Ephemeral || m == EphemeralSequential }

// Sequential tells whether the server completes the name with a number.
func (m CreateMode) Sequential() bool {
	return m == PersistentSequential || m == EphemeralSequential || m == TTLSequential
}

// HasTTL tells whether the node ends when it is not changed for a time.
func (m CreateMode) HasTTL() bool { return m == TTL || m == TTLSequential }

// EventType is what happened to a watched node (Watcher.Event.EventType).
type EventType int32

// The events.
const (
	EventNone            EventType = -1 // of the connection, made by clients
	EventCreated         EventType = 1
	EventDeleted         EventType = 2
	EventDataChanged     EventType = 3
	EventChildrenChanged EventType = 4
)

var eventNames = map[EventType]string{
	EventNone: "None", EventCreated: "NodeCreated", EventDeleted: "NodeDeleted",
	EventDataChanged: "NodeDataChanged", EventChildrenChanged: "NodeChildrenChanged",
}

// String is ZooKeeper's name of the event.
func (e EventType) String() string {
	if name, ok := eventNames[e]; ok {
		return name
	}
	return "event " + strconv.Itoa(int(e))
}

// StateConnected is the only connection state that servers put into events (KeeperState.SyncConnected).
const StateConnected int32 = 3

// WatchMode is the mode of OpAddWatch.
type WatchMode int32

// The modes.
const (
	WatchPersistent          WatchMode = 0
	WatchPersistentRecursive WatchMode = 1
)

// WatcherType says which watches OpCheckWatches and OpRemoveWatches mean.
type WatcherType int32

// The types; the last two are of 3.9 and later.
const (
	WatcherChildren            WatcherType = 1
	WatcherData                WatcherType = 2
	WatcherAny                 WatcherType = 3
	WatcherPersistent          WatcherType = 4
	WatcherPersistentRecursive WatcherType = 5
)
