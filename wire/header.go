package wire

// RequestHeader is what precedes every request body.
//
//	int16 key, int16 version, int32 correlation id   all versions
//	nullable string client id (int16 length always)  all but ControlledShutdown 0
//	tag section                                      flexible versions
type RequestHeader struct {
	Key           Key
	Version       int16
	CorrelationID int32
	ClientID      []byte // view; empty when null
	HasClientID   bool   // false: null, or not in this header
}

// ParseRequestHeader takes the header off a frame (without its length) and returns the body, a view.
//
// Key, Version and CorrelationID are set as far as they could be read also when there is an error, so that a
// refusal can be addressed. The version is not held against any range: an ApiVersions request of a version
// yet unknown has a header all the same, and is answered in version 0. An unknown key gives ErrKey, since it
// does not tell how its header ends.
func ParseRequestHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	r := reader{src: frame}
	h.Key = Key(r.int16())
	h.Version = r.int16()
	h.CorrelationID = r.int32()
	if r.err == nil && !h.Key.Known() {
		return h, nil, ErrKey
	}
	if h.Key == KeyControlledShutdown && h.Version == 0 {
		return h, r.src, r.err
	}
	h.ClientID = r.nullableString() // not yet flexible: the length is an int16 in every header
	h.HasClientID = h.ClientID != nil
	r.flexible = Flexible(h.Key, h.Version)
	r.skipTags()
	if r.err != nil {
		return h, nil, r.err
	}
	return h, r.src, nil
}

// AppendRequestHeader appends h, with an empty tag section if the version has one.
func AppendRequestHeader(dst []byte, h *RequestHeader) []byte {
	dst = appendInt16(dst, int16(h.Key))
	dst = appendInt16(dst, h.Version)
	dst = appendInt32(dst, h.CorrelationID)
	if h.Key == KeyControlledShutdown && h.Version == 0 {
		return dst
	}
	if h.HasClientID {
		dst = appendString(dst, false, h.ClientID)
	} else {
		dst = appendNull(dst, false)
	}
	return appendTags(dst, Flexible(h.Key, h.Version))
}

// flexibleResponse tells whether the response header has a tag section. ApiVersions' never has: its reader
// may not know yet which version the server chose (KIP-511).
func flexibleResponse(k Key, version int16) bool {
	return k != KeyApiVersions && Flexible(k, version)
}

// AppendResponseHeader appends the correlation id and, in flexible versions of all but ApiVersions, an empty
// tag section.
func AppendResponseHeader(dst []byte, k Key, version int16, correlationID int32) []byte {
	dst = appendInt32(dst, correlationID)
	return appendTags(dst, flexibleResponse(k, version))
}

// ParseResponseHeader takes the header off a response frame (without its length) and returns the body, a view.
func ParseResponseHeader(frame []byte, k Key, version int16) (correlationID int32, body []byte, err error) {
	r := reader{src: frame, flexible: flexibleResponse(k, version)}
	correlationID = r.int32()
	r.skipTags()
	if r.err != nil {
		return correlationID, nil, r.err
	}
	return correlationID, r.src, nil
}
