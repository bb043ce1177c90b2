package registry

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func testBroker(id, port int32) BrokerInfo {
	return BrokerInfo{ID: id, Endpoints: []Endpoint{{"PLAINTEXT", "h", port, "PLAINTEXT"}}, JMXPort: NoJMX}
}

func TestPrepareAndClusterID(t *testing.T) {
	var first string
	everyFault(t, nil, func(tr *tree) error {
		r := tr.open(1)
		if err := r.Prepare(t.Context()); err != nil {
			return err
		}
		id, err := r.ClusterID(t.Context())
		if err != nil {
			return err
		}
		first = id
		return nil
	}, func(t *testing.T, tr *tree) {
		for _, p := range Paths() {
			if _, ok := tr.dump()[p]; !ok {
				t.Errorf("no %s", p)
			}
		}
		id, err := tr.open(2).ClusterID(t.Context())
		if err != nil || id != first || len(id) != 22 {
			t.Errorf("cluster id %q, %v, first %q", id, err, first)
		}
	})
}

func TestRegister(t *testing.T) {
	var epoch int64
	everyFault(t, nil, func(tr *tree) (err error) {
		epoch, err = tr.open(1).Register(t.Context(), testBroker(7, 9092), 0)
		return err
	}, func(t *testing.T, tr *tree) {
		b, err := tr.open(2).Broker(t.Context(), 7)
		if err != nil || b.Epoch != epoch || b.Session != 1 || epoch == 0 {
			t.Errorf("%+v, %v, epoch %d", b, err, epoch)
		}
		if v := tr.nodes[BrokerPath(7)].stat.Version; v != 1 {
			t.Errorf("version %d", v)
		}
	})
}

func TestRegisterAgain(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	first, err := r.Register(ctx, testBroker(7, 9092), 0)
	if err != nil {
		t.Fatal(err)
	}
	// By the same session: the same node, with what is new.
	again, err := r.Register(ctx, testBroker(7, 9093), 0)
	if b, getErr := r.Broker(ctx, 7); err != nil || getErr != nil || again != first || b.Endpoints[0].Port != 9093 {
		t.Errorf("%d, %v, %+v, %v", again, err, b, getErr)
	}
	// By another process.
	_, err = tr.open(2).Register(ctx, testBroker(7, 9094), 0)
	var owner *BrokerExistsError
	if !errors.Is(err, ErrBrokerExists) || !errors.As(err, &owner) || owner.Session != 1 || !strings.Contains(err.Error(), "0x1 at PLAINTEXT://h:9093") {
		t.Error(err)
	}
	if err := tr.open(2).Unregister(ctx, 7); !errors.Is(err, ErrNotRegistered) {
		t.Error(err)
	}
	if err := tr.open(2).UpdateBroker(ctx, testBroker(7, 9094)); !errors.Is(err, ErrNotRegistered) {
		t.Error(err)
	}
	// By the same process in its next session: a new node.
	second, err := tr.open(3).Register(ctx, testBroker(7, 9093), 1)
	if err != nil || second <= first {
		t.Errorf("%d after %d, %v", second, first, err)
	}
	tr.expire(1) // late, and about nothing any more
	if b, err := r.Broker(ctx, 7); err != nil || b.Session != 3 {
		t.Error(b, err)
	}
	if err := tr.open(3).Unregister(ctx, 7); err != nil {
		t.Error(err)
	}
	if _, err := r.Broker(ctx, 7); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestTakeOverWithLostReplies(t *testing.T) {
	everyFault(t, func(tr *tree) {
		if _, err := tr.open(1).Register(t.Context(), testBroker(7, 9092), 0); err != nil {
			t.Fatal(err)
		}
	}, func(tr *tree) error {
		_, err := tr.open(2).Register(t.Context(), testBroker(7, 9092), 1)
		return err
	}, func(t *testing.T, tr *tree) {
		tr.expire(1)
		if b, err := tr.open(2).Broker(t.Context(), 7); err != nil || b.Session != 2 {
			t.Error(b, err)
		}
	})
}

func TestRegisterRefusesWhatOthersCannotRead(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	r := tr.open(1)
	with := func(e ...Endpoint) BrokerInfo { return BrokerInfo{ID: 1, Endpoints: e, JMXPort: NoJMX} }
	for why, b := range map[string]BrokerInfo{
		"negative":       {ID: -1, Endpoints: testBroker(1, 1).Endpoints},
		"no endpoint":    with(),
		"is no endpoint": with(Endpoint{"client", "h", 1, "PLAINTEXT"}),
		"no security":    with(Endpoint{"CLIENT", "h", 1, "TLS"}),
		"the name":       with(plain, plain),
		"h:0":            with(Endpoint{"CLIENT", "h", 0, "SSL"}),
		"h,i":            with(Endpoint{"CLIENT", "h,i", 70000, "SSL"}),
	} {
		if _, err := r.Register(ctx, b, 0); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%+v: got %v, want one about %q", b, err, why)
		}
	}
	if _, err := tr.open(2).Register(ctx, testBroker(2, 9092), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Register(ctx, testBroker(1, 9092), 0); !errors.Is(err, ErrEndpointTaken) {
		t.Error(err)
	}
	tr.nodes[BrokerPath(9)] = &node{data: []byte("not JSON")}
	tr.nodes[BrokerIDsPath+"/x"] = &node{}
	if _, err := r.Register(ctx, testBroker(1, 9093), 0); err != nil {
		t.Errorf("a broken registration of somebody else: %v", err)
	}
	list, err := r.Brokers(ctx)
	var bad *DecodeError
	if len(list) != 2 || !errors.As(err, &bad) || !strings.Contains(err.Error(), BrokerPath(9)) || !strings.Contains(err.Error(), "/x") {
		t.Error(list, err)
	}
	if _, err := r.Register(ctx, testBroker(9, 9999), 0); !errors.Is(err, ErrBrokerExists) || !strings.Contains(err.Error(), "not JSON") {
		t.Error(err)
	}
}

func TestNextBrokerID(t *testing.T) {
	tr := newTree()
	r := tr.open(1)
	for want := int32(1); want < 4; want++ {
		if id, err := r.NextBrokerID(t.Context()); err != nil || id != want {
			t.Errorf("got %d, %v, want %d", id, err, want)
		}
	}
}

func TestElect(t *testing.T) {
	var c Controller
	everyFault(t, nil, func(tr *tree) error {
		r := tr.open(1)
		var won bool
		var err error
		if c, won, err = r.Elect(t.Context(), 5); err != nil || !won {
			return errors.Join(err, errors.New("not won"))
		}
		return r.CheckController(t.Context(), c)
	}, func(t *testing.T, tr *tree) {
		r := tr.open(2)
		if now, err := r.Controller(t.Context()); err != nil || now.ID != 5 || now.Session != 1 || c.Epoch != 1 || c.EpochVersion != 1 {
			t.Errorf("%+v, %v; won as %+v", now, err, c)
		}
		if _, won, err := r.Elect(t.Context(), 6); won || err != nil {
			t.Errorf("won against a live controller: %v", err)
		}
	})
}

func TestControllersFollowEachOther(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	one, two := tr.open(1), tr.open(2)
	none, stale, err := two.ControllerW(ctx)
	if err != nil || none.ID != NoController {
		t.Fatal(none, err)
	}
	c1, won, err := one.Elect(ctx, 1)
	if !won || err != nil {
		t.Fatal(won, err)
	}
	if e := <-stale; e.Type != zk.EventCreated {
		t.Error(e)
	}
	now, stale, err := two.ControllerW(ctx)
	if err != nil || now.ID != 1 {
		t.Fatal(now, err)
	}
	tr.expire(1)
	<-stale
	c2, won, err := two.Elect(ctx, 2)
	if !won || err != nil || c2.Epoch != c1.Epoch+1 {
		t.Fatal(c2, won, err)
	}
	// The old one does not know yet.
	if err := one.Resign(ctx, c1); err != nil {
		t.Error(err)
	}
	if now, err := two.Controller(ctx); err != nil || now.ID != 2 {
		t.Error("an old controller has deleted a new one", now, err)
	}
	for name, write := range map[string]func() error{
		"check":  func() error { return one.CheckController(ctx, c1) },
		"states": func() error { return one.CreatePartitionStates(ctx, c1, []StateUpdate{{}}) },
		"update": func() error { return one.UpdatePartitionStates(ctx, c1, []StateUpdate{{}}) },
		"topic":  func() error { return one.SetTopic(ctx, c1, &Topic{Name: "t"}) },
		"delete": func() error { return one.DeleteTopic(ctx, c1, "t") },
		"wish":   func() error { return one.SetReassignments(ctx, c1, []Reassignment{{}}) },
		"log dir": func() error {
			return one.DoneLogDirFailures(ctx, c1, []Change[int32]{{}})
		},
	} {
		before := tr.dump()
		if err := write(); !errors.Is(err, ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
		if after := tr.dump(); len(after) != len(before) {
			t.Errorf("%s of a fenced controller has changed the tree", name)
		}
	}
	if err := two.Resign(ctx, c2); err != nil {
		t.Error(err)
	}
	if now, err := two.Controller(ctx); err != nil || now.ID != NoController {
		t.Error(now, err)
	}
	if e, err := two.ControllerEpoch(ctx); err != nil || e != 2 {
		t.Error(e, err)
	}
}
