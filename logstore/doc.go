// Package logstore keeps partitions' logs on disk in Kafka's own format: log directories, segments, indexes,
// checkpoints, recovery. FORMAT.md has the layout of each file and the crash argument of each operation.
//
// It stores batches, not requests, and never learns of leaders or high watermarks: a reader passes the upper
// bound. It validates nothing that a producer sent, whoever appends has done so, but for the order of an idempotent
// producer's batches, which only the log knows.
//
// Entry points: OpenDir for a Dir (one entry of log.dirs), Dir.Create and Dir.Logs for a Log, Log.Append and
// Log.Read, which answers with spans.
//
// Without owning a directory, and changing nothing: InspectDir, VerifyDir and VerifyPartition, OpenSegment, ReadIndex
// and other Read functions. RecoverDir is recovery offline.
//
// Concurrency: all exported methods may be called from any goroutine. One append at a time per log; readers wait
// neither for appenders nor for each other (see Log). A Dir has three goroutines of its own: one for syncing rolled
// segments, checkpoints, retention and removals (flusher), one for what appends wait for (committer), one for compaction
// (cleaner).
package logstore
