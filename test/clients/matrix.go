package main

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// client is one maker's way to write and to read. write returns when all is acknowledged; read returns the digest
// of n records, and must see all that is there.
type client interface {
	write(bootstrap, topic, codec string, set []record) error
	read(bootstrap, topic string, n int) (*digest, error)
}

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// makers in the order of the table. Every topic is read by its writer and by franz-go; franz-go's by all.
var makers = []struct {
	name string
	client
}{{"franz-go", franz{kgo.AllISRAcks()}}, {"sarama", saramaClient{}}, {"librdkafka-2.15", librdkafka{}}}

// matrix prints one line per write and read, `ok` or `FAIL` last; run.sh counts them.
func matrix(bootstrap string) error {
	set := recordSet()
	want := newDigest()
	for _, r := range set {
		want.add(r)
	}
	sum := want.sum()
	unique := time.Now().UnixNano()
	for i, writer := range makers {
		for _, codec := range codecs {
			topic := fmt.Sprintf("clients-%s-%s-%d", writer.name, codec, unique)
			if !written(bootstrap, topic, codec, writer.name, writer.client, set) {
				continue
			}
			for j, reader := range makers {
				if i == j || i == 0 || j == 0 {
					readBack(bootstrap, topic, codec, writer.name+" -> "+reader.name, reader.client, sum)
				}
			}
		}
	}
	for name, acks := range map[string]kgo.Acks{"acks-1": kgo.LeaderAck(), "acks-0": kgo.NoAck()} {
		topic := fmt.Sprintf("clients-franz-go-%s-%d", name, unique)
		if written(bootstrap, topic, "none", "franz-go "+name, franz{acks}, set) {
			readBack(bootstrap, topic, "none", "franz-go "+name+" -> franz-go", makers[0].client, sum)
		}
	}
	return nil
}

// row is one line of the table; its columns are those of run.sh.
func row(what, codec string, count int, sum string, took time.Duration, err error) bool {
	verdict := "ok"
	if err != nil {
		verdict = "FAIL " + err.Error()
	}
	fmt.Printf("%-44s %-7s %7d %-12.12s %6.1f  %s\n", what, codec, count, sum, took.Seconds(), verdict)
	return err == nil
}

func written(bootstrap, topic, codec, name string, c client, set []record) bool {
	began := time.Now()
	err := createTopic(bootstrap, topic)
	if err == nil {
		err = c.write(bootstrap, topic, codec, set)
	}
	return row(name+" writes", codec, len(set), "", time.Since(began), err)
}

func readBack(bootstrap, topic, codec, what string, c client, want string) {
	began := time.Now()
	d, err := c.read(bootstrap, topic, records)
	count, sum := 0, ""
	if d != nil {
		count, sum = d.count, d.sum()
	}
	if err == nil && (sum != want || count != records) {
		err = fmt.Errorf("%d records of %d, digest %.12s, want %.12s", count, records, sum, want)
	}
	if err == nil && d.codecs != nil {
		err = compressedAs(codec, d.codecs)
	}
	row(what, codec, count, sum, time.Since(began), err)
}

// compressedAs checks that batches are in the codec that the writer was told: a client that finds too few versions
// advertised falls back to none without a word. Single batches may be left as they are, if they do not shrink.
func compressedAs(codec string, found []string) error {
	if last := len(found) - 1; last < 0 || found[last] != codec || last > 0 && (last > 1 || found[0] != "none") {
		return fmt.Errorf("batches are in %v", found)
	}
	return nil
}
