package registry

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// ProducerIDBlock is a range of producer ids that nobody else gets.
type ProducerIDBlock struct {
	Broker      int32
	First, Last int64
}

func (b ProducerIDBlock) encode() []byte {
	return fmt.Appendf(nil, `{"version":1,"broker":%d,"block_start":"%d","block_end":"%d"}`, b.Broker, b.First, b.Last)
}

func decodeProducerIDs(data []byte) (ProducerIDBlock, error) {
	o := parse(ProducerIDsPath, data)
	b := ProducerIDBlock{o.int32("broker"), o.number("block_start"), o.number("block_end")}
	if o.err == nil && (b.First < 0 || b.Last < b.First) {
		o.fail("block from %d to %d", b.First, b.Last)
	}
	return b, o.done()
}

// producerIDBlock is how many ids a block has (ProducerIdsBlock).
const producerIDBlock = 1000

// AllocateProducerIDs takes the next block of producer ids for a broker. A block is never given twice: if a reply was
// lost, one may be skipped, since from the node alone nobody could tell which of two processes of that broker wrote it.
// ErrExhausted.
func (r *Registry) AllocateProducerIDs(ctx context.Context, broker int32) (ProducerIDBlock, error) {
	var b ProducerIDBlock
	err := r.swap(ctx, ProducerIDsPath, false, func(old []byte) ([]byte, error) {
		b = ProducerIDBlock{Broker: broker, Last: producerIDBlock - 1}
		if len(old) > 0 {
			last, err := decodeProducerIDs(old)
			if err != nil {
				return nil, err
			}
			if last.Last > math.MaxInt64-producerIDBlock {
				return nil, ErrExhausted
			}
			b.First, b.Last = last.Last+1, last.Last+producerIDBlock
		}
		return b.encode(), nil
	})
	return b, err
}

// ProducerIDs is the block that was given last; found is false if there was none.
func (r *Registry) ProducerIDs(ctx context.Context) (b ProducerIDBlock, found bool, err error) {
	data, _, err := r.get(ctx, ProducerIDsPath)
	if errors.Is(err, zk.NoNode) || err == nil && len(data) == 0 {
		return b, false, nil
	}
	if err != nil {
		return b, false, at(ProducerIDsPath, err)
	}
	b, err = decodeProducerIDs(data)
	return b, true, err
}
