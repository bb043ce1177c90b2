// Package metrics holds the counters, gauges and histograms that the hot path
// writes to.
//
// It knows no names, labels or exposition format: whoever owns a metric keeps the
// value here, and the HTTP edge turns values into text when asked. All types are
// ready to use at their zero value, may be written and read by any number of
// goroutines, and never allocate or lock. They must not be copied after first use.
//
// Writing is cheap when one thread writes, so hot metrics exist once per event loop
// and are summed by the reader (Histogram.AddTo, Snapshot). A reading is not one
// instant: writes during it may be in one figure and not yet in another.
package metrics
