package results

// Kind names one of the histograms of a series, in JSON, file names and tags.
type Kind string

// The kinds of latency, see the fields of [Series].
const (
	Response  Kind = "response"
	Service   Kind = "service"
	SendDelay Kind = "send_delay"
	ToSocket  Kind = "to_socket"
	EndToEnd  Kind = "end_to_end"
)

const kinds = 5

// Kinds lists every kind in the order in which they are shown.
func Kinds() [kinds]Kind { return [kinds]Kind{Response, ToSocket, Service, SendDelay, EndToEnd} }

func (k Kind) index() int {
	for i, o := range Kinds() {
		if o == k {
			return i
		}
	}
	panic("BUG: unknown kind of latency: " + string(k))
}

// Title is the kind in words.
func (k Kind) Title() string {
	switch k {
	case SendDelay:
		return "send delay"
	case ToSocket:
		return "to socket"
	case EndToEnd:
		return "end to end"
	}
	return string(k)
}

// SetHistogram gives s the histogram of one kind and its summary; h belongs to s
// from then on.
func (s *Series) SetHistogram(k Kind, h *Histogram) {
	s.histograms[k.index()] = h
	*s.summary(k) = h.Summary()
}

// Histogram returns the histogram of a kind. It is nil where the kind was not
// measured, and in a run that was read from JSON.
func (s *Series) Histogram(k Kind) *Histogram { return s.histograms[k.index()] }

// Latency returns the summary of a kind, nil where it was not measured.
func (s *Series) Latency(k Kind) *Latency { return *s.summary(k) }

func (s *Series) summary(k Kind) **Latency {
	switch k {
	case Response:
		return &s.Response
	case Service:
		return &s.Service
	case SendDelay:
		return &s.SendDelay
	case ToSocket:
		return &s.ToSocket
	default:
		return &s.EndToEnd
	}
}
