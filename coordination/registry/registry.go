package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// Options are how a Registry writes. The zero value will do.
type Options struct {
	// SecureACLs is zookeeper.set.acl: nodes may be changed only by who made them. The session has to have shown an
	// identity.
	SecureACLs bool
	// MaxPacket is jute.maxbuffer of the servers, 0 for ZooKeeper's default. Transactions stay well below.
	MaxPacket int
	// Now is the wall clock, for the timestamps in nodes and for the age of notifications; nil: time.Now.
	Now func() time.Time
}

// Registry is Kafka's tree of znodes, by way of one session. It keeps no state of its own.
type Registry struct {
	s   session
	opt Options
}

// New returns the registry that the session shows.
func New(s *client.Session, o Options) *Registry { return newOn(clientSession{s}, o) }

func newOn(s session, o Options) *Registry {
	if o.MaxPacket == 0 {
		o.MaxPacket = zk.DefaultMaxPacket
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Registry{s, o}
}

// Session is the id of the session.
func (r *Registry) Session() int64 { return r.s.ID() }

// The entries that nodes get.
var (
	openACL      = zk.OpenACL
	secureACL    = []zk.ACL{{Perms: zk.PermAll, ID: zk.ID{Scheme: "auth"}}, {Perms: zk.PermRead, ID: zk.Anyone}}
	sensitiveACL = secureACL[:1]
)

// acl is what a node gets (ZkData.defaultAcls): with SecureACLs its creator may do anything and the world may read,
// unless there may be secrets in it. The old consumers' root stays open, since they write below it themselves.
func (r *Registry) acl(path string) []zk.ACL {
	if !r.opt.SecureACLs || path == ConsumersPath {
		return openACL
	}
	for _, p := range [...]string{ConfigPath + "/" + UserType, ConfigPath + "/" + BrokerType, TokensPath} {
		if strings.HasPrefix(path, p) {
			return sensitiveACL
		}
	}
	return secureACL
}

// Paths are the nodes that Prepare makes, in order, without their parents (ZkData.PersistentZkPaths).
func Paths() []string {
	paths := []string{ConsumersPath, BrokerIDsPath, TopicsPath, ConfigChangesPath, DeleteTopicsPath, BrokerSequencePath,
		ISRChangesPath, ProducerIDsPath, LogDirEventsPath}
	for _, t := range [...]string{TopicType, ClientType, UserType, BrokerType, IPType} {
		paths = append(paths, ConfigPath+"/"+t)
	}
	return paths
}

// Prepare makes the nodes that a broker wants to find at its start, as far as they are not there.
func (r *Registry) Prepare(ctx context.Context) error {
	for _, p := range Paths() {
		if err := r.ensure(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// ClusterID is the cluster's id, made up if there is none yet.
func (r *Registry) ClusterID(ctx context.Context) (string, error) {
	for {
		data, _, err := r.get(ctx, ClusterIDPath)
		if err == nil {
			return decodeClusterID(data)
		}
		if !errors.Is(err, zk.NoNode) {
			return "", at(ClusterIDPath, err)
		}
		id := newUUID()
		err = r.createDeep(ctx, ClusterIDPath, encodeClusterID(id))
		if err != nil && !errors.Is(err, zk.NodeExists) {
			return "", at(ClusterIDPath, err)
		}
		// Read it back: it is there now, by us or by somebody else.
	}
}

// newUUID is a random UUID in Kafka's form. One that begins with a dash would look like an option to command line
// tools, and is not made (Uuid.randomUuid).
func newUUID() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		if s := base64.RawURLEncoding.EncodeToString(b[:]); s[0] != '-' {
			return s
		}
	}
}

// NewTopicID makes up a topic's id.
func NewTopicID() TopicID {
	b, err := base64.RawURLEncoding.DecodeString(newUUID())
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return TopicID(b)
}

// NextBrokerID is a number that no other call gets, 1 or more, for brokers that have no id of their own. Kafka adds
// reserved.broker.max.id to it.
func (r *Registry) NextBrokerID(ctx context.Context) (int32, error) {
	for {
		// Repeated after a lost reply, this skips a number.
		stat, err := r.set(ctx, BrokerSequencePath, []byte{}, -1)
		if !errors.Is(err, zk.NoNode) {
			return stat.Version, at(BrokerSequencePath, err)
		}
		if err := r.ensure(ctx, BrokerSequencePath); err != nil {
			return 0, err
		}
	}
}

// Feature reads /feature; found is false if there is none. This package never writes it.
func (r *Registry) Feature(ctx context.Context) (f Feature, found bool, err error) {
	data, _, err := r.get(ctx, FeaturePath)
	if errors.Is(err, zk.NoNode) {
		return f, false, nil
	}
	if err != nil {
		return f, false, at(FeaturePath, err)
	}
	f, err = decodeFeature(data)
	return f, true, err
}
