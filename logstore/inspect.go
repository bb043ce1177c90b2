package logstore

import (
	"cmp"
	"slices"
)

// Kind is what is wrong with a log directory. The names are stable.
type Kind string

// Kinds of findings in a segment, in its companions, and in the directory.
const (
	KindCut        Kind = "cut"        // the file ends inside a batch
	KindSize       Kind = "size"       // a length field is impossible
	KindMagic      Kind = "magic"      // not a batch of format 2
	KindCRC        Kind = "crc"        // bytes are not those that were appended
	KindOffset     Kind = "offset"     // not the offset that is due here
	KindEpoch      Kind = "epoch"      // not a leader epoch that can be here
	KindRecords    Kind = "records"    // records do not decode, or are not what the header says
	KindTimestamp  Kind = "timestamp"  // the records' largest timestamp is not the header's
	KindSegment    Kind = "segment"    // a segment does not begin where the one before it ends
	KindIndex      Kind = "index"      // .index
	KindTimeIndex  Kind = "timeindex"  // .timeindex
	KindTxnIndex   Kind = "txnindex"   // .txnindex
	KindSnapshot   Kind = "snapshot"   // .snapshot
	KindEpochs     Kind = "epochs"     // leader-epoch-checkpoint
	KindMetadata   Kind = "metadata"   // partition.metadata, meta.properties
	KindCheckpoint Kind = "checkpoint" // one of the directory's checkpoints
	KindLossy      Kind = "lossy"      // sluice-lossy: damage that a broker found
	KindFile       Kind = "file"       // a file that a running broker would not leave, or that nobody knows
)

// Finding is one thing wrong, and where.
type Finding struct {
	Kind    Kind
	Warning bool   // not damage: harmless, or repaired by any start without loss
	File    string // relative to the partition, or to the log directory
	Pos     int64  // byte in the file; -1: the file as a whole
	Offset  int64  // record offset, as far as it is known; -1: not known
	What    string
}

// Findings is a bounded list of findings: the first Limit are kept, all are counted.
type Findings struct {
	Limit    int // 0: 100
	List     []Finding
	Damaged  int // all that are no warnings
	Warnings int
}

const defaultFindings = 100

func (f *Findings) add(x Finding) {
	if x.Warning {
		f.Warnings++
	} else {
		f.Damaged++
	}
	limit := cmp.Or(f.Limit, defaultFindings)
	if len(f.List) < limit {
		f.List = append(f.List, x)
		return
	}
	if x.Warning {
		return
	}
	// Damage takes the place of a warning.
	if i := slices.IndexFunc(f.List, func(y Finding) bool { return y.Warning }); i >= 0 {
		f.List = append(slices.Delete(f.List, i, i+1), x)
	}
}

// First is the first damage, nil if there is none.
func (f *Findings) First() *Finding {
	if i := slices.IndexFunc(f.List, func(x Finding) bool { return !x.Warning }); i >= 0 {
		return &f.List[i]
	}
	return nil
}
