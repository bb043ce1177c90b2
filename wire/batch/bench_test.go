package batch

import (
	"fmt"
	"testing"
)

// What a leader pays per produced batch: cut, checksum, walk of the records, stamps. For comparing changes on
// one machine; bytes per second are of the whole batch.
func BenchmarkProduceChecks(b *testing.B) {
	for _, n := range []int{1, 10, 150} {
		for _, c := range []Codec{None, Zstd} {
			b.Run(fmt.Sprintf("%v/%d", c, n), func(b *testing.B) {
				one := sample(c, n)
				r := lenient()
				b.SetBytes(int64(len(one)))
				b.ReportAllocs()
				for b.Loop() {
					one.SetBaseOffset(0)
					got, err := Single(one)
					if err != nil {
						b.Fatal(err)
					}
					res, err := Validate(got, &r)
					if err != nil {
						b.Fatal(err)
					}
					got.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
				}
			})
		}
	}
}
