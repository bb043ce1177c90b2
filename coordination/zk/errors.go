package zk

import "strconv"

// Error is a code of the protocol (KeeperException.Code), 0 for none.
type Error int32

// The codes. Those between -1 and -99 are troubles of the system, those from -100 on answers to the request.
const (
	OK                                 Error = 0
	SystemError                        Error = -1
	RuntimeInconsistency               Error = -2
	DataInconsistency                  Error = -3
	ConnectionLoss                     Error = -4 // made by clients, never sent
	MarshallingError                   Error = -5
	Unimplemented                      Error = -6
	OperationTimeout                   Error = -7
	BadArguments                       Error = -8
	UnknownSession                     Error = -12 // internal to servers
	NewConfigNoQuorum                  Error = -13
	ReconfigInProgress                 Error = -14
	APIError                           Error = -100
	NoNode                             Error = -101
	NoAuth                             Error = -102
	BadVersion                         Error = -103
	NoChildrenForEphemerals            Error = -108
	NodeExists                         Error = -110
	NotEmpty                           Error = -111
	SessionExpired                     Error = -112
	InvalidCallback                    Error = -113
	InvalidACL                         Error = -114
	AuthFailed                         Error = -115
	SessionMoved                       Error = -118
	NotReadOnly                        Error = -119
	EphemeralOnLocalSession            Error = -120
	NoWatcher                          Error = -121
	RequestTimeout                     Error = -122
	ReconfigDisabled                   Error = -123
	SessionClosedRequireAuthentication Error = -124
	QuotaExceeded                      Error = -125
	ThrottledOp                        Error = -127
)

var errorNames = map[Error]string{
	OK: "ok", SystemError: "system error", RuntimeInconsistency: "runtime inconsistency",
	DataInconsistency: "data inconsistency", ConnectionLoss: "connection loss", MarshallingError: "marshalling error",
	Unimplemented: "unimplemented", OperationTimeout: "operation timeout", BadArguments: "bad arguments",
	UnknownSession: "unknown session", NewConfigNoQuorum: "new config has no quorum",
	ReconfigInProgress: "reconfig in progress", APIError: "API error", NoNode: "no node", NoAuth: "not authorised",
	BadVersion: "bad version", NoChildrenForEphemerals: "ephemerals have no children", NodeExists: "node exists",
	NotEmpty: "node has children", SessionExpired: "session expired", InvalidCallback: "invalid callback",
	InvalidACL: "invalid ACL", AuthFailed: "authentication failed", SessionMoved: "session moved",
	NotReadOnly: "not a read-only call", EphemeralOnLocalSession: "ephemeral on a local session",
	NoWatcher: "no such watcher", RequestTimeout: "request timeout", ReconfigDisabled: "reconfig disabled",
	SessionClosedRequireAuthentication: "session closed: authentication required", QuotaExceeded: "quota exceeded",
	ThrottledOp: "operation throttled",
}

// Error is a short text: the code's meaning, or its number for a code that is not in the protocol.
func (e Error) Error() string {
	if name, ok := errorNames[e]; ok {
		return "zookeeper: " + name
	}
	return "zookeeper: error " + strconv.Itoa(int(e))
}
