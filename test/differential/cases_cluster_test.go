//go:build peers

package differential

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersions(v int16, name, version string) *kmsg.ApiVersionsRequest {
	r := kmsg.NewPtrApiVersionsRequest()
	r.Version, r.ClientSoftwareName, r.ClientSoftwareVersion = v, name, version
	return r
}

func versionsCases() (cs []testCase) {
	cs = append(cs, perVersion("ApiVersions", 0, 4, func(p *pair, v int16) { p.ask(apiVersions(v, "name", "1.2.3")) })...)
	cs = append(cs, testCase{"ApiVersions/twice on a connection", func(p *pair) {
		p.ask(apiVersions(3, "a", "1"))
		p.ask(apiVersions(0, "", ""))
	}})
	for _, v := range []int16{-1, 5, 6, 99, 32767} {
		cs = append(cs, testCase{fmt.Sprintf("ApiVersions/unsupported %d", v), func(p *pair) {
			p.frame(frameOf(18, v, []byte{0, 1, 'c', 0, 5, 'n', 'a', 'm', 'e', 2, '1', 0}), &kmsg.ApiVersionsResponse{Version: v})
		}})
	}
	for _, n := range []string{"", "-a", "a-", "a b", "a.b-c.1", "ä", ".", "A1"} {
		cs = append(cs, perVersion(fmt.Sprintf("ApiVersions/name %q", n), 3, 4, func(p *pair, v int16) {
			p.ask(apiVersions(v, n, "1"))
			p.ask(apiVersions(v, "a", n))
		})...)
	}
	return cs
}

func findCoordinator(v int16, kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	r := kmsg.NewPtrFindCoordinatorRequest()
	r.Version, r.CoordinatorType, r.CoordinatorKeys = v, kind, keys
	if len(keys) > 0 {
		r.CoordinatorKey = keys[0]
	}
	return r
}

func clusterCases() (cs []testCase) {
	for _, all := range []bool{false, true} {
		cs = append(cs, testCase{fmt.Sprintf("DescribeCluster/v0 operations %v", all), func(p *pair) {
			r := kmsg.NewPtrDescribeClusterRequest()
			r.IncludeClusterAuthorizedOperations = all
			p.ask(r)
		}})
	}
	initID := func(v int16, id *string, producer int64, epoch int16) *kmsg.InitProducerIDRequest {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version, r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = v, id, 1000, producer, epoch
		return r
	}
	cs = append(cs, perVersion("InitProducerId/new", 0, 4, func(p *pair, v int16) {
		p.warm("producer ids", initID(v, nil, -1, -1))
		first := p.ask(initID(v, nil, -1, -1))
		second := p.ask(initID(v, nil, -1, -1))
		for i := range first {
			a, aok := first[i].(*kmsg.InitProducerIDResponse)
			b, bok := second[i].(*kmsg.InitProducerIDResponse)
			if aok && bok && a.ErrorCode == 0 && a.ProducerID == b.ProducerID {
				p.Errorf("%s gives the id %d twice", p.sides[i].name, a.ProducerID)
			}
		}
	})...)
	cs = append(cs, perVersion("InitProducerId/empty transactional id", 0, 4, func(p *pair, v int16) {
		p.ask(initID(v, new(string), -1, -1))
	})...)
	cs = append(cs, perVersion("InitProducerId/with an id", 3, 4, func(p *pair, v int16) {
		p.ask(initID(v, nil, 5, -1))
		p.ask(initID(v, nil, -1, 5))
		p.ask(initID(v, nil, 5, 5))
	})...)
	cs = append(cs, perVersion("FindCoordinator/group", 0, 4, func(p *pair, v int16) {
		p.warm("coordinator", findCoordinator(2, 0, "g"))
		p.ask(findCoordinator(v, 0, "g"))
	})...)
	cs = append(cs, perVersion("FindCoordinator/unknown kind", 1, 4, func(p *pair, v int16) {
		p.ask(findCoordinator(v, 9, "g"))
		p.ask(findCoordinator(v, -1, "g"))
	})...)
	cs = append(cs, perVersion("FindCoordinator/share group", 1, 4, func(p *pair, v int16) { p.ask(findCoordinator(v, 2, "g")) })...)
	cs = append(cs, testCase{"FindCoordinator/several", func(p *pair) { p.ask(findCoordinator(4, 0, "a", "b")) }})
	cs = append(cs, testCase{"FindCoordinator/none", func(p *pair) { p.ask(findCoordinator(4, 0)) }})
	return cs
}

// warm repeats a request to each Kafka until it has no error: Kafka makes its offsets topic and takes its first
// block of producer ids when first asked, and answers errors meanwhile.
func (p *pair) warm(what string, r kmsg.Request) {
	p.once("warm "+what, func() {
		kafkas := p.sides[1:]
		if p.twins {
			kafkas = p.sides[:]
		}
		for _, s := range kafkas {
			eventually(p.T, what+" of "+s.name, func() bool { return s.exchange(r, answerLimit).fields["ErrorCode"] == "0" })
		}
	})
}
