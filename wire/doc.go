// Package wire speaks the Kafka protocol where speed or exactness asks for code of our own: error codes, the
// table of API facts, request and response headers, and the bodies of Produce (0) and Fetch (1). All other
// bodies are kmsg's.
//
// It must not know a socket, a file, a clock or a goroutine: bytes in, values out, and back.
//
// Decoding is a view. A decoded request points into the frame it came from, and is good for as long as the
// frame. Nested arrays live in blocks that the next Decode uses again, so a warm decoder allocates nothing.
// Whoever keeps a decoder between requests keeps at most keepElements elements of each kind (see Reset).
//
// No input makes a decoder panic. Before an array is made, its count is held against the bytes that are
// left, and the sum of all counts in one message against MaxElements. So what a request decodes into takes
// at most 22 bytes per byte of the request (its smallest topic, 3 bytes, becomes 64; its smallest partition,
// 6 bytes, becomes 32 and up to four times that when the blocks are cold), and never more than 256 MB. A tag
// section holds at most MaxTags fields.
//
// Encoding is appending: the caller owns the buffer.
//
// Concurrency: a value is for one goroutine at a time.
//
// Entry points: ParseRequestHeader, AppendResponseHeader, ProduceRequest, ProduceResponse, FetchRequest,
// FetchWriter, FetchResponse, ErrorCode, Key.
package wire
