// Package batch reads, checks, stamps and builds Kafka record batches of format 2 (KIP-98).
//
// A Batch is a view over the bytes a client sent: nothing is copied or decoded to stamp, check or store
// it. Records are walked only where Kafka's rules need their contents, and decompressed only under a bound.
//
// The layout, big-endian, as Kafka's DefaultRecordBatch has it on the wire and on disk:
//
//	at size field
//	 0    8 base offset            stamped by the leader; outside the checksum
//	 8    4 length                 of everything after this field
//	12    4 partition leader epoch stamped by the leader; outside the checksum
//	16    1 magic                  2
//	17    4 CRC-32C                of byte 21 to the end
//	21    2 attributes             bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
//	23    4 last offset delta
//	27    8 base timestamp         milliseconds since 1970
//	35    8 max timestamp
//	43    8 producer id            -1: none
//	51    2 producer epoch
//	53    4 base sequence
//	57    4 record count
//	61      records, or one compressed block of them
//
// The package knows no request, connection, file, partition or clock: "now" and every limit come in Rules.
//
// Concurrency: a Batch is plain memory; whoever may write it alone may call the Set methods. Builder and
// Walker are for one goroutine at a time. Compress and Decompress may be called from anywhere; they draw
// from pools.
//
// Entry points: First to cut a batch off a byte slice, Batch for its fields, Validate for what a leader
// checks of a produced batch, Walker for the records, Builder to write a batch.
package batch
