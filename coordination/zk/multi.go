package zk

// Part is one operation of a multi, or of a multiRead.
type Part struct {
	Op Op
	// Request is *CreateRequest, *VersionRequest (delete, check), *SetDataRequest or *ReadRequest, by Op.
	Request Record
}

// MultiRequest is several operations: of a multi all or none happens, in order, as one transaction; those of a
// multiRead are read at one time.
type MultiRequest struct{ Parts []Part }

// multiEnd closes the list of parts.
func multiEnd(dst []byte) []byte { return multiHeader(dst, OpError, true, -1) }

func multiHeader(dst []byte, op Op, done bool, err Error) []byte {
	return AppendInt(AppendBool(AppendInt(dst, int32(op)), done), int32(err))
}

// Append is part of Record.
func (r *MultiRequest) Append(dst []byte) []byte {
	for _, p := range r.Parts {
		dst = p.Request.Append(multiHeader(dst, p.Op, false, -1))
	}
	return multiEnd(dst)
}

// Decode is part of Record. A part that no multi may have is an error.
func (r *MultiRequest) Decode(d *Decoder) {
	r.Parts = nil
	for {
		op, done := Op(d.Int()), d.Bool()
		d.Int() // error, of no meaning in a request
		if done || d.failed {
			return
		}
		p := Part{op, partRequest(op)}
		if p.Request == nil {
			d.failed = true
			return
		}
		p.Request.Decode(d)
		r.Parts = append(r.Parts, p)
	}
}

func partRequest(op Op) Record {
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer:
		return &CreateRequest{}
	case OpCreateTTL:
		return &CreateRequest{WithTTL: true}
	case OpDelete, OpCheck:
		return &VersionRequest{}
	case OpSetData:
		return &SetDataRequest{}
	case OpGetData, OpGetChildren:
		return &ReadRequest{}
	}
	return nil
}

// PartResult is what became of one operation.
type PartResult struct {
	Op  Op    // OpError if Err is not OK. Containers and nodes with a TTL come back as OpCreate2
	Err Error // in a multi that failed: OK before the part that failed, its error, RuntimeInconsistency after it

	Path     string   // create, create2
	Stat     Stat     // create2, setData, getData
	Data     []byte   // getData
	Children []string // getChildren
}

// MultiResponse answers a multi or a multiRead. The header's error is OK even if the multi failed.
type MultiResponse struct{ Results []PartResult }

// Append is part of Record. A result is encoded as a failed part if its Op is OpError.
func (r *MultiResponse) Append(dst []byte) []byte {
	for i := range r.Results {
		dst = r.Results[i].append(dst)
	}
	return multiEnd(dst)
}

func (p *PartResult) append(dst []byte) []byte {
	if p.Op == OpError {
		return AppendInt(multiHeader(dst, OpError, false, p.Err), int32(p.Err))
	}
	dst = multiHeader(dst, p.Op, false, OK)
	switch p.Op {
	case OpCreate:
		return AppendString(dst, p.Path)
	case OpCreate2:
		return p.Stat.Append(AppendString(dst, p.Path))
	case OpSetData:
		return p.Stat.Append(dst)
	case OpGetData:
		return p.Stat.Append(AppendBuffer(dst, p.Data))
	case OpGetChildren:
		return AppendStrings(dst, p.Children)
	}
	return dst
}

// Decode is part of Record.
func (r *MultiResponse) Decode(d *Decoder) {
	r.Results = nil
	for {
		op, done := Op(d.Int()), d.Bool()
		d.Int() // repeated in the body of a failed part
		if done || d.failed {
			return
		}
		p := PartResult{Op: op}
		p.decode(d)
		r.Results = append(r.Results, p)
	}
}

func (p *PartResult) decode(d *Decoder) {
	switch p.Op {
	case OpError:
		p.Err = Error(d.Int())
	case OpCreate:
		p.Path = d.String()
	case OpCreate2:
		p.Path = d.String()
		p.Stat.Decode(d)
	case OpSetData:
		p.Stat.Decode(d)
	case OpGetData:
		p.Data = d.Buffer()
		p.Stat.Decode(d)
	case OpGetChildren:
		p.Children = d.Strings()
	case OpDelete, OpCheck:
	default:
		d.failed = true
	}
}
