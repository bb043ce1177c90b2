package coordinator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// kind is what an operation does with a key.
type kind int

const (
	read  kind = iota
	write      // whatever the version is
	swap       // if the version is the expected one
)

// operation is one on a key, with its answer. Times are nanoseconds; an end that is 0 says that no answer came.
type operation struct {
	key        int
	kind       kind
	want       int64 // to be written
	expected   int32 // version
	begin, end int64

	answered bool
	code     zk.Error
	value    int64 // read
	version  int32 // read, or after the write
}

// do asks for it. It tells whether an answer came.
func (o *operation) do(s *session) bool {
	var d *zk.Decoder
	var err error
	if o.kind == read {
		d, o.code, err = s.call(zk.OpGetData, &zk.ReadRequest{Path: key(o.key)})
	} else {
		version := int32(-1)
		if o.kind == swap {
			version = o.expected
		}
		data := strconv.AppendInt(nil, o.want, 10)
		d, o.code, err = s.call(zk.OpSetData, &zk.SetDataRequest{Path: key(o.key), Data: data, Version: version})
	}
	if err != nil {
		return false
	}
	o.answered = true
	if o.code != zk.OK {
		return true
	}
	if o.kind == read {
		o.value, _ = strconv.ParseInt(string(d.Buffer()), 10, 64) // what is no number is no value that was written
	}
	var stat zk.Stat
	stat.Decode(d)
	o.version = stat.Version
	return true
}

// register is a key's state.
type register struct {
	value   int64
	version int32
}

// after are the states that the operation may leave.
func (o *operation) after(r register) []any {
	next := register{o.want, r.version + 1}
	applies := o.kind == write || o.kind == swap && o.expected == r.version
	switch {
	case !o.answered && o.kind != read && applies:
		return []any{r, next}
	case !o.answered:
		return []any{r}
	case o.kind == read && o.code == zk.OK && r == register{o.value, o.version}:
		return []any{r}
	case applies && o.code == zk.OK && o.version == next.version:
		return []any{next}
	case o.kind == swap && !applies && o.code == zk.BadVersion:
		return []any{r}
	}
	return nil
}

// linearizable tells whether the operations can have happened one after the other, each between its begin and its end.
func linearizable(from register, list []operation) bool {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{from} },
		Step: func(state, input, _ any) []any { return input.(*operation).after(state.(register)) },
	}
	var history []porcupine.Operation
	for i := range list {
		history = append(history, porcupine.Operation{ClientId: i, Input: &list[i], Call: list[i].begin, Return: list[i].end})
	}
	return porcupine.CheckOperations(model.ToModel(), history)
}

func describe(list []operation) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b operation) int { return int(a.begin - b.begin) })
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, "%+v\n", o)
	}
	return b.String()
}
