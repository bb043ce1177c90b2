// Package results holds what a benchmark run found out: its types, their JSON
// form, percentile tables, HdrHistogram files and a self-contained report.
//
// The package imports nothing of the project, so that a run can be read,
// compared and drawn without the code that measured it. It must not know how a
// run is made, nor talk to any broker.
//
// # Units
//
// Histograms record nanoseconds (resolution 100 ns or better, three significant
// digits, at most 60 s). JSON gives latencies in microseconds as floats, .hgrm
// files in milliseconds, .hlog files the encoded nanosecond histograms with the
// maximum in milliseconds: the defaults of the public HdrHistogram tools.
// Megabytes and gigabytes are powers of ten and count record values alone, without
// keys, batch headers or the protocol's framing.
//
// # Percentiles
//
// A percentile with fewer than ten samples above it is not quoted: it is null in
// JSON and a dash in tables. Percentiles are never averaged; histograms are merged.
//
// # Concurrency
//
// No type here is safe for concurrent use. Give every goroutine its own
// [Histogram] and merge them afterwards.
//
// # Entry points
//
// [Run] and [Series] are the data; [Host] describes the machine; [WriteTable],
// [WriteReport] and [Write] (a whole run folder) show them.
package results
