package registry

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func TestUpdateConfig(t *testing.T) {
	e := UserClientEntity("u v", "c")
	for name, before := range map[string]map[string]string{"new": nil, "changed": {"a": "0", "b": "2"}} {
		t.Run(name, func(t *testing.T) {
			everyFault(t, func(tr *tree) {
				if before == nil {
					return
				}
				if err := tr.open(1).SetConfig(t.Context(), e, before); err != nil {
					t.Fatal(err)
				}
			}, func(tr *tree) error {
				return tr.open(1).UpdateConfig(t.Context(), e, func(values map[string]string) (map[string]string, error) {
					values["a"] += "1" // would show if it were done twice
					return values, nil
				})
			}, func(t *testing.T, tr *tree) {
				want := before["a"] + "1"
				if values, err := tr.open(1).Config(t.Context(), e); err != nil || values["a"] != want || values["b"] != before["b"] {
					t.Error(values, err)
				}
				list, _, err := tr.open(1).ConfigChanges(t.Context(), -1)
				if err != nil || len(list) == 0 || list[0].What != e {
					t.Error(list, err)
				}
			})
		})
	}
}

func TestUpdateConfigOfTwo(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	one, two, e := tr.open(1), tr.open(2), BrokerEntity(1)
	tries := 0
	err := one.UpdateConfig(ctx, e, func(values map[string]string) (map[string]string, error) {
		if tries++; tries == 1 {
			if err := two.SetConfig(ctx, e, map[string]string{"b": "2"}); err != nil {
				t.Error(err)
			}
		}
		values["a"] = "1"
		return values, nil
	})
	values, getErr := one.Config(ctx, e)
	if err != nil || getErr != nil || tries != 2 || !reflect.DeepEqual(values, map[string]string{"a": "1", "b": "2"}) {
		t.Error(values, tries, err, getErr)
	}
	stop := errors.New("stop")
	if err := one.UpdateConfig(ctx, e, func(map[string]string) (map[string]string, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	for _, bad := range []Entity{"", "topics", "topics/", "topics/a/b", "x/y", "users/u/clients", "topics/.."} {
		if err := one.SetConfig(ctx, bad, nil); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := one.DeleteConfig(ctx, e); err != nil {
		t.Error(err)
	}
	if values, err := one.Config(ctx, e); err != nil || len(values) != 0 {
		t.Error(values, err)
	}
	tr.nodes[ControllerPath] = &node{data: []byte(`{"version":2,"brokerid":3000,"timestamp":"1","kraftControllerEpoch":4}`)}
	if err := one.SetConfig(ctx, e, nil); !errors.Is(err, ErrKRaft) {
		t.Error(err)
	}
}

func TestEntities(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	want := map[Entity]map[string]string{UserEntity("a/b"): {"x": "1"}, UserClientEntity("a/b", "c d"): {"x": "2"}, UserClientEntity(Default, Default): {"x": "3"}}
	for e, values := range want {
		if err := r.SetConfig(ctx, e, values); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Configs(ctx, UserType)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Error(got, err)
	}
	pair, user := UserClientEntity("a/b", "c d"), UserEntity("a/b")
	if pair.User() != "a/b" || pair.Name() != "c d" || pair.Type() != UserType || user.User() != "" || user.Name() != "a/b" ||
		pair.Path() != "/config/users/a%2Fb/clients/c%20d" {
		t.Error(pair.User(), pair.Name(), pair.Path())
	}
	if err := r.DeleteConfig(ctx, user); err != nil {
		t.Fatal(err)
	}
	if got, err = r.Configs(ctx, UserType); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	tr.nodes[ConfigPath+"/users/broken"] = &node{data: []byte("{")}
	var bad *DecodeError
	if got, err = r.Configs(ctx, UserType); !errors.As(err, &bad) || len(got) != 1 {
		t.Error(got, err)
	}
	c, err := r.LoadCluster(ctx)
	if err != nil || len(c.Broken) != 1 || len(c.Configs) != 1 {
		t.Error(c, err)
	}
}

// Nodes of users and clients that have no settings left go, with those above them; others stay.
func TestEmptyQuotasGo(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	pair, second, user := UserClientEntity("u", "c"), UserClientEntity("u", "d"), UserEntity("u")
	set := func(e Entity, values map[string]string) {
		t.Helper()
		if err := r.SetConfig(ctx, e, values); err != nil {
			t.Fatal(err)
		}
	}
	some := map[string]string{"x": "1"}
	for _, e := range []Entity{pair, second, user, ClientEntity("c"), TopicEntity("t")} {
		set(e, some)
	}
	left := func(want ...string) {
		t.Helper()
		nodes := tr.dump()
		for _, path := range want {
			if _, ok := nodes[path]; !ok {
				t.Errorf("%s is gone", path)
			}
		}
		for path := range nodes {
			if strings.HasPrefix(path, "/config/users/") && !slices.Contains(want, path) {
				t.Errorf("%s is left", path)
			}
		}
	}
	set(user, nil) // has clients yet
	set(pair, nil)
	left("/config/users/u", "/config/users/u/clients", second.Path())
	set(user, some)
	set(second, nil)
	left("/config/users/u")
	set(second, some)
	set(user, nil)
	set(second, nil)
	set(TopicEntity("t"), nil)
	left("/config/users", "/config/topics/t", "/config/clients/c")
}

func TestChangesAreAQueue(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	list, more, err := r.ConfigChanges(ctx, -1)
	if err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
	for _, name := range []string{"a", "b"} {
		if err := r.NotifyConfig(ctx, TopicEntity(name)); err != nil {
			t.Fatal(err)
		}
	}
	if e := <-more; e.Type != zk.EventChildrenChanged {
		t.Error(e)
	}
	tr.nodes[ConfigChangesPath+"/not_a_change"] = &node{}
	tr.nodes[ConfigChangesPath+"/config_change_0000000002"] = &node{data: []byte("?"), stat: zk.Stat{Ctime: tr.now.UnixMilli()}}
	tr.nodes[ConfigChangesPath].created++
	if list, more, err = r.ConfigChanges(ctx, 0); err != nil || len(list) != 2 || list[0].Number != 1 || list[0].What != TopicEntity("b") || list[0].Err != nil || list[1].Err == nil {
		t.Fatal(list, err)
	}
	// Old ones go, wherever they came from; younger ones stay.
	tr.now = tr.now.Add(PurgeAge + time.Second)
	if err := r.NotifyConfig(ctx, TopicEntity("c")); err != nil {
		t.Fatal(err)
	}
	<-more
	if err := r.PurgeChanges(ctx); err != nil {
		t.Fatal(err)
	}
	if list, _, err = r.ConfigChanges(ctx, -1); err != nil || len(list) != 1 || list[0].Number != 3 {
		t.Error(list, err)
	}
}

func TestNotificationsToTheController(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r, c := elected(t, tr)
	want := []TopicPartition{{"t", 1}, {"u", 2}}
	if err := r.AddISRChange(ctx, want); err != nil {
		t.Fatal(err)
	}
	isr, more, err := r.ISRChanges(ctx)
	if err != nil || len(isr) != 1 || !reflect.DeepEqual(isr[0].What, want) {
		t.Fatal(isr, err)
	}
	if err := r.AddISRChange(ctx, want); err != nil {
		t.Fatal(err)
	}
	<-more
	// What came after it was read stays; what is gone already does not matter.
	for range 2 {
		if err := r.DoneISRChanges(ctx, c, isr); err != nil {
			t.Fatal(err)
		}
	}
	if isr, _, err = r.ISRChanges(ctx); err != nil || len(isr) != 1 || isr[0].Number != 1 {
		t.Error(isr, err)
	}
	if err := r.AddLogDirFailure(ctx, 4); err != nil {
		t.Fatal(err)
	}
	dirs, _, err := r.LogDirFailures(ctx)
	if err != nil || len(dirs) != 1 || dirs[0].What != 4 {
		t.Fatal(dirs, err)
	}
	if err := r.DoneLogDirFailures(ctx, c, dirs); err != nil {
		t.Fatal(err)
	}
	if dirs, _, err = r.LogDirFailures(ctx); err != nil || len(dirs) != 0 {
		t.Error(dirs, err)
	}
}

func TestProducerIDBlocks(t *testing.T) {
	given := map[*tree][]ProducerIDBlock{}
	everyFault(t, nil, func(tr *tree) error {
		for range 3 {
			b, err := tr.open(1).AllocateProducerIDs(t.Context(), 7)
			if err != nil {
				return err
			}
			given[tr] = append(given[tr], b)
		}
		return nil
	}, func(t *testing.T, tr *tree) {
		var end int64 = -1
		for _, b := range given[tr] {
			if b.First <= end || b.Last != b.First+999 || b.Broker != 7 {
				t.Errorf("blocks %v", given[tr])
			}
			end = b.Last
		}
		if end > 3999 {
			t.Errorf("more than one block was skipped: %v", given[tr])
		}
	})
}

// Two processes that take themselves for the same broker write the same bytes: only one may have the block.
func TestProducerIDBlockIsNotTakenForOurs(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	one, two := tr.open(1), tr.open(2)
	if _, err := one.AllocateProducerIDs(ctx, 7); err != nil {
		t.Fatal(err)
	}
	var other ProducerIDBlock
	read := tr.calls
	tr.before = func(call int) {
		if call != read+1 { // between the first one's read and its write
			return
		}
		var err error
		if other, err = two.AllocateProducerIDs(ctx, 7); err != nil {
			t.Error(err)
		}
	}
	b, err := one.AllocateProducerIDs(ctx, 7)
	if err != nil || b.First == other.First || other.First != 1000 || b.First != 2000 {
		t.Error(b, other, err)
	}
	last := ProducerIDBlock{7, 0, math.MaxInt64 - 999}
	tr.nodes[ProducerIDsPath].data = last.encode()
	if _, err := one.AllocateProducerIDs(ctx, 7); !errors.Is(err, ErrExhausted) {
		t.Error(err)
	}
}

func TestUpdateACLs(t *testing.T) {
	res := Resource{"Topic", "t", true}
	acl := ACL{"User:a", "Allow", "*", "Read"}
	everyFault(t, nil, func(tr *tree) error {
		return tr.open(1).UpdateACLs(t.Context(), res, func(list []ACL) []ACL { return append(list, acl) })
	}, func(t *testing.T, tr *tree) {
		ctx, r := t.Context(), tr.open(1)
		if all, err := r.AllACLs(ctx); err != nil || !reflect.DeepEqual(all, map[Resource][]ACL{res: {acl}}) {
			t.Error(all, err)
		}
		if list, _, err := r.ACLChanges(ctx, true, -1); err != nil || len(list) == 0 || list[0].What != res {
			t.Error(list, err)
		}
		if err := r.UpdateACLs(ctx, res, func([]ACL) []ACL { return nil }); err != nil {
			t.Error(err)
		}
		if _, ok := tr.dump()[res.Path()]; ok {
			t.Error("a node without ACLs is left")
		}
	})
	r := newTree().open(1)
	if err := r.PrepareACLs(t.Context()); err != nil {
		t.Error(err)
	}
	for _, bad := range []Resource{{"Thing", "x", false}, {"Topic", "", false}, {"Group", "a/b", true}} {
		if err := r.UpdateACLs(t.Context(), bad, func(l []ACL) []ACL { return l }); !errors.Is(err, ErrBadName) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestTokens(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	token := &Token{ID: "i", Owner: "User:a", Requester: "User:b", Renewers: []string{"User:c"}, Issued: 1, Expires: 2, Ends: 3}
	for range 2 {
		if err := r.SetToken(ctx, token); err != nil {
			t.Fatal(err)
		}
	}
	tr.nodes[TokenPath("x")] = &node{data: []byte("{}")}
	var bad *DecodeError
	if list, err := r.Tokens(ctx); !errors.As(err, &bad) || len(list) != 1 || !reflect.DeepEqual(list[0], token) {
		t.Error(list, err)
	}
	if err := r.DeleteToken(ctx, "i"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Token(ctx, "i"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if list, _, err := r.TokenChanges(ctx, 1); err != nil || len(list) != 1 || list[0].What != "i" {
		t.Error(list, err)
	}
}

func TestWishes(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r, c := elected(t, tr)
	want := []Reassignment{{TopicPartition{"t", 0}, []int32{1, 2}}, {TopicPartition{"t", 1}, []int32{3}}}
	_, found, come, err := r.Reassignments(ctx)
	if found || err != nil {
		t.Fatal(found, err)
	}
	if err := r.RequestReassignment(ctx, want); err != nil {
		t.Fatal(err)
	}
	<-come
	if err := r.RequestReassignment(ctx, want); !errors.Is(err, zk.NodeExists) {
		t.Error(err)
	}
	list, found, changed, err := r.Reassignments(ctx)
	if !found || err != nil || !reflect.DeepEqual(list, want) {
		t.Fatal(list, found, err)
	}
	for left := 1; left >= 0; left-- {
		if err := r.SetReassignments(ctx, c, want[:left]); err != nil {
			t.Fatal(err)
		}
		<-changed
		if list, found, changed, err = r.Reassignments(ctx); err != nil || found != (left > 0) || len(list) != left {
			t.Error(list, found, err)
		}
	}
	if err := r.SetReassignments(ctx, c, want); err != nil {
		t.Error("without a node", err)
	}
	partitions := []TopicPartition{{"t", 0}}
	if err := r.RequestPreferredElection(ctx, partitions); err != nil {
		t.Fatal(err)
	}
	if got, found, _, err := r.PreferredElection(ctx); err != nil || !found || !reflect.DeepEqual(got, partitions) {
		t.Error(got, found, err)
	}
	if err := r.DonePreferredElection(ctx, c); err != nil {
		t.Error(err)
	}
}

func TestOldConsumers(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	one, two := tr.open(1), tr.open(2)
	none, changed, err := two.ConsumersW(ctx, "g")
	if err != nil || len(none) != 0 {
		t.Fatal(none, err)
	}
	c := &Consumer{ID: "g_h-1-a", Subscription: map[string]int32{"t": 2}, Pattern: StaticPattern}
	for range 2 { // the second time with another subscription, by the same session
		if err := one.RegisterConsumer(ctx, "g", c); err != nil {
			t.Fatal(err)
		}
		c.Subscription["u"] = 1
	}
	<-changed
	if err := two.RegisterConsumer(ctx, "g", c); !errors.Is(err, zk.NodeExists) {
		t.Error(err)
	}
	members, changed, err := two.ConsumersW(ctx, "g")
	if err != nil || len(members) != 1 || !reflect.DeepEqual(members[0], c) {
		t.Fatal(members, err)
	}
	p := TopicPartition{"t", 3}
	for range 2 {
		if err := one.ClaimPartition(ctx, "g", p, c.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := two.ClaimPartition(ctx, "g", p, "x", 0); !errors.Is(err, zk.NodeExists) {
		t.Error(err)
	}
	if owner, err := two.Owner(ctx, "g", p); err != nil || owner != "g_h-1-a-0" {
		t.Error(owner, err)
	}
	if _, found, err := one.Offset(ctx, "g", p); found || err != nil {
		t.Error(found, err)
	}
	for want := int64(5); want < 7; want++ {
		if err := one.SetOffset(ctx, "g", p, want); err != nil {
			t.Fatal(err)
		}
		if got, found, err := two.Offset(ctx, "g", p); err != nil || !found || got != want {
			t.Error(got, found, err)
		}
	}
	tr.expire(1)
	<-changed
	if err := two.ClaimPartition(ctx, "g", p, "x", 0); err != nil {
		t.Error(err)
	}
	if err := errors.Join(two.ReleasePartition(ctx, "g", p), two.UnregisterConsumer(ctx, "g", "x")); err != nil {
		t.Error(err)
	}
	tr.nodes[OffsetPath("g", p)].data = []byte("x")
	var bad *DecodeError
	if _, _, err := two.Offset(ctx, "g", p); !errors.As(err, &bad) {
		t.Error(err)
	}
}

func TestACLsOfNodes(t *testing.T) {
	r := newTree().open(1)
	for _, p := range []string{"/brokers/ids", "/config/users/x"} {
		if got := r.acl(p); !reflect.DeepEqual(got, zk.OpenACL) {
			t.Errorf("%s: %v", p, got)
		}
	}
	r.opt.SecureACLs = true
	// As Kafka 3.9.1 gives them (ZkData.defaultAcls).
	for p, want := range map[string]string{
		"/consumers": "world:anyone=cdrwa", "/consumers/g": "auth:=cdrwa world:anyone=r", "/brokers/ids": "auth:=cdrwa world:anyone=r",
		"/config/topics": "auth:=cdrwa world:anyone=r", "/config/users/x": "auth:=cdrwa", "/config/brokers": "auth:=cdrwa",
		"/delegation_token/tokens/x": "auth:=cdrwa", "/delegation_token": "auth:=cdrwa world:anyone=r",
	} {
		var got []string
		for _, a := range r.acl(p) {
			got = append(got, a.ID.Scheme+":"+a.ID.ID+"="+a.Perms.String())
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", p, s, want)
		}
	}
}

// Without a connection a call ends with its context, and says so.
func TestCallsEndWithTheirContext(t *testing.T) {
	tr := newTree()
	ctx, cancel := context.WithCancel(t.Context())
	tr.fault = func(call int) (bool, bool) {
		if call == 10 {
			cancel()
		}
		return false, true
	}
	if err := tr.open(1).Prepare(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The writes that no other test loses answers of.
func TestTheRestWithLostReplies(t *testing.T) {
	p := TopicPartition{"t", 3}
	var c Controller
	everyFault(t, func(tr *tree) {
		_, c = elected(t, tr)
		if _, err := tr.open(1).Register(t.Context(), testBroker(1, 9092), 0); err != nil {
			t.Fatal(err)
		}
	}, func(tr *tree) error {
		ctx, r := t.Context(), tr.open(1)
		wish := []Reassignment{{p, []int32{1}}, {TopicPartition{"t", 4}, []int32{2}}}
		token := &Token{ID: "i", Owner: "User:a", Requester: "User:a", Renewers: []string{}}
		if err := errors.Join(r.RequestReassignment(ctx, wish), r.SetReassignments(ctx, c, wish[:1]),
			r.RequestPreferredElection(ctx, []TopicPartition{p}), r.DonePreferredElection(ctx, c),
			r.SetToken(ctx, token), r.UpdateBroker(ctx, testBroker(1, 9093)),
			r.RegisterConsumer(ctx, "g", &Consumer{ID: "c", Pattern: StaticPattern}), r.ClaimPartition(ctx, "g", p, "c", 0),
			r.SetOffset(ctx, "g", p, 5), r.SetOffset(ctx, "g", p, 6), r.AddISRChange(ctx, []TopicPartition{p})); err != nil {
			return err
		}
		isr, _, err := r.ISRChanges(ctx)
		if err != nil {
			return err
		}
		_, err = r.NextBrokerID(ctx)
		return errors.Join(err, r.DoneISRChanges(ctx, c, isr), r.PurgeChanges(ctx))
	}, func(t *testing.T, tr *tree) {
		ctx, r := t.Context(), tr.open(2)
		wish, found, _, err := r.Reassignments(ctx)
		if err != nil || !found || len(wish) != 1 {
			t.Error(wish, found, err)
		}
		if _, found, _, err := r.PreferredElection(ctx); found || err != nil {
			t.Error(found, err)
		}
		if list, err := r.Tokens(ctx); err != nil || len(list) != 1 {
			t.Error(list, err)
		}
		if b, err := r.Broker(ctx, 1); err != nil || b.Endpoints[0].Port != 9093 || b.Session != 1 {
			t.Error(b, err)
		}
		if owner, err := r.Owner(ctx, "g", p); err != nil || owner != "c-0" {
			t.Error(owner, err)
		}
		if offset, _, err := r.Offset(ctx, "g", p); err != nil || offset != 6 {
			t.Error(offset, err)
		}
		if isr, _, err := r.ISRChanges(ctx); err != nil || len(isr) != 0 {
			t.Error(isr, err)
		}
		if id, err := r.NextBrokerID(ctx); err != nil || id < 2 || id > 3 {
			t.Error(id, err)
		}
	})
}
