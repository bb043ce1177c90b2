package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// object reads a JSON object's keys. After the first error everything reads as zero; done tells it, with the path of
// the node. Keys are compared to the letter, unlike encoding/json does with structures; those that nobody asks for
// are passed over.
type object struct {
	path   string
	fields map[string]json.RawMessage
	err    error
}

// parse reads data as an object.
func parse(path string, data []byte) *object {
	o := &object{path: path}
	switch err := json.Unmarshal(data, &o.fields); {
	case len(data) == 0:
		o.err = errors.New("the node is empty")
	case err != nil:
		o.err = err
	case o.fields == nil:
		o.err = errors.New("null is no object")
	}
	return o
}

// done is the first error, as a *DecodeError.
func (o *object) done() error {
	if o.err == nil {
		return nil
	}
	return &DecodeError{o.path, o.err}
}

func (o *object) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

// has tells whether the key is there, and not null.
func (o *object) has(key string) bool {
	raw, ok := o.fields[key]
	return ok && string(raw) != "null"
}

// read puts the key's value into v, which is a pointer. A key that is not there is an error.
func (o *object) read(key string, v any) {
	if o.err != nil {
		return
	}
	if !o.has(key) {
		o.fail("no %q", key)
		return
	}
	if err := json.Unmarshal(o.fields[key], v); err != nil {
		o.fail("%q: %w", key, err)
	}
}

// value is the key's value as a T.
func value[T any](o *object, key string) (v T) {
	o.read(key, &v)
	return v
}

// optional is the key's value, or def if it is not there.
func optional[T any](o *object, key string, def T) T {
	if o.err != nil || !o.has(key) {
		return def
	}
	return value[T](o, key)
}

func (o *object) int32(key string) int32   { return value[int32](o, key) }
func (o *object) string(key string) string { return value[string](o, key) }

// number is a number that is written as a string.
func (o *object) number(key string) int64 {
	s := o.string(key)
	if o.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		o.fail("%q is no number: %q", key, s)
	}
	return n
}

// objects are the items of the key's value, each an object. Their errors are o's once f has returned.
func (o *object) objects(key string, f func(*object)) {
	for _, fields := range value[[]map[string]json.RawMessage](o, key) {
		item := &object{path: o.path, fields: fields}
		f(item)
		if item.err != nil {
			o.fail("%q: %w", key, item.err)
		}
	}
}

// version checks the key "version" against what can be read.
func (o *object) version(low, high int32) int32 {
	v := o.int32("version")
	if o.err == nil && (v < low || v > high) {
		o.fail("version %d, can read %d to %d", v, low, high)
	}
	return v
}
