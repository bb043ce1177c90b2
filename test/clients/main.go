// Clients writes and reads the same records with Kafka clients of several makers and compares what comes back.
//
//	clients matrix BOOTSTRAP             franz-go, sarama and librdkafka: each codec, each other's topics; a table
//	clients write-lines BOOTSTRAP TOPIC CODEC   the line set, by franz-go, to partition 0
//	clients read-lines BOOTSTRAP TOPIC   partition 0 as lines, by franz-go; the codecs found on standard error
//	clients lines                        the line set on standard output
//	clients text BYTES                   real text of at least that size, from the Go library's sources
//
// run.sh calls it and does the same with kcat and Kafka's own tools. A module of its own, because these clients and
// the C library among them are no business of the broker's build.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var err error
	switch {
	case verb == "matrix" && len(args) == 1:
		return matrix(args[0])
	case verb == "write-lines" && len(args) == 3:
		return writeLines(args[0], args[1], args[2])
	case verb == "read-lines" && len(args) == 2:
		err = readLines(out, args[0], args[1])
	case verb == "lines" && len(args) == 0:
		for r := range lineSet() {
			writeLine(out, r.key, r.value)
		}
	case verb == "text" && len(args) == 1:
		var size int64
		if size, err = strconv.ParseInt(args[0], 10, 64); err == nil {
			err = text(out, size)
		}
	default:
		return fmt.Errorf("wrong arguments; see the head of main.go")
	}
	if err != nil {
		return err
	}
	return out.Flush()
}
