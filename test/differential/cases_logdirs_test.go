//go:build peers

package differential

import "github.com/twmb/franz-go/pkg/kmsg"

func logDirs(v int16, topics ...kmsg.DescribeLogDirsRequestTopic) *kmsg.DescribeLogDirsRequest {
	r := kmsg.NewPtrDescribeLogDirsRequest()
	r.Version = v
	r.Topics = append([]kmsg.DescribeLogDirsRequestTopic{}, topics...)
	return r
}

func logDirsCases() (cs []testCase) {
	each := func(name string, run func(p *pair, v int16)) {
		cs = append(cs, perVersion("DescribeLogDirs/"+name, 1, 4, run)...)
	}
	prepare := func(p *pair) {
		p.topic("logdirs", 3, nil)
		p.once("fill logdirs", func() {
			p.fill("logdirs", 0, batchOf{n: 5}, batchOf{n: 7, size: 100})
			p.fill("logdirs", 2, batchOf{n: 1})
		})
	}
	each("some", func(p *pair, v int16) {
		prepare(p)
		p.ask(logDirs(v, kmsg.DescribeLogDirsRequestTopic{Topic: "logdirs", Partitions: []int32{2, 0, 2}}))
	})
	each("unknown", func(p *pair, v int16) {
		prepare(p)
		p.ask(logDirs(v, kmsg.DescribeLogDirsRequestTopic{Topic: "logdirs", Partitions: []int32{9, -1}},
			kmsg.DescribeLogDirsRequestTopic{Topic: "nowhere", Partitions: []int32{0}}, kmsg.DescribeLogDirsRequestTopic{Topic: "a b"}))
	})
	each("topic without partitions", func(p *pair, v int16) {
		prepare(p)
		p.ask(logDirs(v, kmsg.DescribeLogDirsRequestTopic{Topic: "logdirs"}))
	})
	each("topic twice", func(p *pair, v int16) {
		prepare(p)
		p.ask(logDirs(v, kmsg.DescribeLogDirsRequestTopic{Topic: "logdirs", Partitions: []int32{0}},
			kmsg.DescribeLogDirsRequestTopic{Topic: "logdirs", Partitions: []int32{1}}))
	})
	each("none", func(p *pair, v int16) { p.ask(logDirs(v)) })
	return cs
}
