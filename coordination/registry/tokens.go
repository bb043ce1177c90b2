package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Token is a delegation token without its secret, which brokers compute from the id. Times are milliseconds since
// 1970, principals like "User:alice".
type Token struct {
	ID               string
	Owner, Requester string
	Renewers         []string
	Issued           int64
	Expires          int64 // unless it is renewed
	Ends             int64 // in any case
}

// encode is the node's content, version 3.
func (t *Token) encode() []byte {
	dst := appendInt([]byte(`{"issueTimestamp":`), t.Issued)
	dst = appendList(append(dst, `,"renewers":`...), t.Renewers, func(dst []byte, p string) []byte {
		return appendString(dst, sanitizeAll(p))
	})
	dst = appendString(append(dst, `,"tokenRequester":`...), sanitizeAll(t.Requester))
	dst = appendString(append(dst, `,"tokenId":`...), t.ID)
	dst = appendString(append(dst, `,"owner":`...), sanitizeAll(t.Owner))
	dst = appendInt(append(dst, `,"expiryTimestamp":`...), t.Expires)
	dst = appendInt(append(dst, `,"maxTimestamp":`...), t.Ends)
	return append(dst, `,"version":3}`...)
}

// decodeToken reads the versions 1 to 3; before 3 the requester is the owner.
func decodeToken(path string, data []byte) (*Token, error) {
	o := parse(path, data)
	version := o.version(1, 3)
	t := &Token{ID: o.string("tokenId"), Owner: desanitize(o.string("owner")), Renewers: value[[]string](o, "renewers"),
		Issued: value[int64](o, "issueTimestamp"), Expires: value[int64](o, "expiryTimestamp"),
		Ends: value[int64](o, "maxTimestamp")}
	for i := range t.Renewers {
		t.Renewers[i] = desanitize(t.Renewers[i])
	}
	if t.Requester = t.Owner; version >= 3 {
		t.Requester = desanitize(o.string("tokenRequester"))
	}
	return t, o.done()
}

// Tokens are all delegation tokens. If some cannot be understood, the others are returned with the error, which has a
// *DecodeError for each.
func (r *Registry) Tokens(ctx context.Context) ([]*Token, error) {
	ids, err := r.children(ctx, TokensPath)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	list, broken := make([]*Token, len(ids)), make([]error, len(ids))
	err = each(len(ids), inFlight, func(i int) (err error) {
		var bad *DecodeError
		switch list[i], err = r.Token(ctx, ids[i]); {
		case errors.Is(err, ErrNotFound):
			return nil
		case errors.As(err, &bad):
			list[i], broken[i] = nil, err
			return nil
		}
		return err
	})
	list = slices.DeleteFunc(list, func(t *Token) bool { return t == nil })
	return list, errors.Join(append(broken, err)...)
}

// Token is one delegation token; ErrNotFound.
func (r *Registry) Token(ctx context.Context, id string) (*Token, error) {
	if err := checkName(id); err != nil {
		return nil, err
	}
	data, _, err := r.get(ctx, TokenPath(id))
	if err != nil {
		return nil, at(TokenPath(id), err)
	}
	return decodeToken(TokenPath(id), data)
}

// SetToken creates or replaces a delegation token and notifies all brokers.
func (r *Registry) SetToken(ctx context.Context, t *Token) error {
	if err := checkName(t.ID); err != nil {
		return err
	}
	err := r.swap(ctx, TokenPath(t.ID), true, func([]byte) ([]byte, error) { return t.encode(), nil })
	if err != nil {
		return err
	}
	return r.append(ctx, TokenChangesPath+"/"+tokenChangePrefix, []byte(t.ID))
}

// DeleteToken removes a delegation token, if it is there, and notifies all brokers.
func (r *Registry) DeleteToken(ctx context.Context, id string) error {
	if err := checkName(id); err != nil {
		return err
	}
	if err := r.remove(ctx, TokenPath(id), -1); err != nil && !errors.Is(err, zk.NoNode) {
		return err
	}
	return r.append(ctx, TokenChangesPath+"/"+tokenChangePrefix, []byte(id))
}
