package broker

import "sync"

// producerIDs gives out producer ids from blocks that the catalogue reserves. Ids of a block that is not used up
// at a stop are lost, never given twice.
type producerIDs struct {
	catalog Catalog

	mu   sync.Mutex
	id   int64 // the next one
	left int64
}

func (p *producerIDs) next() (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		first, n, err := p.catalog.ProducerIDs()
		if err != nil {
			return 0, err
		}
		p.id, p.left = first, n
	}
	id := p.id
	p.id++
	p.left--
	return id, nil
}
