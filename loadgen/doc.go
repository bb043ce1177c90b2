// Package loadgen measures a Kafka cluster: it produces at a fixed rate whether or
// not the cluster keeps up, reads everything back, verifies every record and reports
// latency percentiles.
//
// # Method
//
// The loop is open. A schedule of intended send times, constant or Poisson, is fixed
// before the first record; latency counts from the intended time. When the cluster
// stalls, records that should have been sent meanwhile are late by the length of the
// stall, and are recorded as such. Each series keeps separate histograms:
//
//	send delay   intended time -> handed to the client
//	service      handed to the client -> acknowledged
//	response     intended time -> acknowledged
//	to socket    intended time -> written to the socket (acks=0, in place of the last two)
//	end to end   intended time -> received by a consumer in this process
//
// Send delay belongs to the generator. Where it is large against the response the run
// is not valid and says so.
//
// # Bounds
//
// Records handed to the client and not completed are bounded ([Spec.InFlight]). At the
// bound the schedule goes on, but the record waits for room; the wait is send delay
// and counts in response, and the number of records it delayed is in the result.
// Memory: the records in flight with their values, 1.6 MB of histograms for each of at
// most eight recorders, and 32 bytes per producer and partition.
//
// # What it must not know
//
// Nothing of the broker under test: any Kafka cluster will do, and no code is shared
// with Sluice's server.
//
// # Threads
//
// The schedule runs on an operating system thread of its own, because Go's timers wake
// up to a millisecond late on a quiet machine. That thread hands records to the client
// and never waits for it. Completions are recorded by the client's goroutines, receipts
// by the consumer's; a collector swaps histograms about once a second.
//
// # Entry points
//
// [Run] measures; [Observer] follows it; [ReadProcess] samples a process. [Raw] drives one broker with requests made in
// advance, for throughput and latencies of requests: see there.
package loadgen
