package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// The figures of these are for comparing two versions on one machine: clients and server share its cores. What users see
// is measured by the driver that also loads a real ZooKeeper.

func BenchmarkGet16x16(b *testing.B)  { benchmark(b, 16, 16, false) }
func BenchmarkSet16x16(b *testing.B)  { benchmark(b, 16, 16, true) }
func BenchmarkSetSerial(b *testing.B) { benchmark(b, 1, 1, true) }
func BenchmarkGetSerial(b *testing.B) { benchmark(b, 1, 1, false) }

// benchmark has so many connections with so many requests under way each.
func benchmark(b *testing.B, conns, inFlight int, set bool) {
	s, err := Open(testConfig(b.TempDir() + "/c"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data := make([]byte, 100)
	var wires []net.Conn
	for i := range conns {
		nc, err := net.Dial("tcp", s.Addrs()[0])
		if err != nil {
			b.Fatal(err)
		}
		defer nc.Close()
		path := fmt.Sprintf("/n%d", i)
		nc.Write(packet(&zk.ConnectRequest{TimeoutMillis: 40_000}))
		nc.Write(packet(&zk.RequestHeader{Xid: 1, Op: zk.OpCreate}, &zk.CreateRequest{Path: path, Data: data, ACL: zk.OpenACL}))
		for range 2 {
			if _, err := zk.ReadPacket(nc, nil, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
		wires = append(wires, nc)
	}
	b.ResetTimer()
	b.ReportAllocs()
	var wg sync.WaitGroup
	for i, nc := range wires {
		request := packet(&zk.RequestHeader{Xid: 2, Op: zk.OpGetData}, &zk.ReadRequest{Path: fmt.Sprintf("/n%d", i)})
		if set {
			request = packet(&zk.RequestHeader{Xid: 2, Op: zk.OpSetData}, &zk.SetDataRequest{Path: fmt.Sprintf("/n%d", i), Data: data, Version: -1})
		}
		n := b.N / conns
		room := make(chan struct{}, inFlight)
		wg.Go(func() {
			for range n {
				room <- struct{}{}
				if _, err := nc.Write(request); err != nil {
					b.Error(err)
				}
			}
		})
		wg.Go(func() {
			r := bufio.NewReader(nc)
			var head [4]byte
			for range n {
				if _, err := io.ReadFull(r, head[:]); err != nil {
					b.Error(err)
					return
				}
				if _, err := r.Discard(packetLen(head[:])); err != nil {
					b.Error(err)
					return
				}
				<-room
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
