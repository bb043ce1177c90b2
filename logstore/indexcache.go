package logstore

import (
	"os"
	"sync"

	"github.com/sluice-mq/sluice/internal/sys"
)

const (
	// indexBlock is how much of an index file is read and remembered at once: 512 offset entries, the way through
	// 2 MiB of log or more.
	indexBlock = 4096
	// indexSlots bounds the memory of a Dir's cache: 64 blocks, 256 KiB. A search in a full index of 1 GiB of log
	// goes through 9 blocks, 7 of which it shares with the next search.
	indexSlots = 64
)

// indexCache remembers blocks of index files for searches that go beyond the entries in memory, so that a reader
// far behind costs no system call for most of them. Stored entries never change, so neither do blocks, but for the
// last one of a file, which grows.
//
// A slot's mutex is held while its block is read from the file; nobody but searches takes it.
type indexCache struct{ slots [indexSlots]indexSlot }

type indexSlot struct {
	mu    sync.Mutex
	x     *sparseIndex
	block int
	buf   []byte // entries that are known; capacity indexBlock
}

// openedIndex is an index file that a search has open, and the name it was opened by; fd -1: none.
type openedIndex struct {
	fd   int
	name *string // as in sparseIndex.moved
}

func (f *openedIndex) close() {
	if f.fd >= 0 {
		sys.CloseFile(f.fd)
		f.fd = -1
	}
}

// entry returns entry i of x, which is stored. f is opened if it is needed and is not.
func (c *indexCache) entry(x *sparseIndex, i int, f *openedIndex) (indexEntry, error) {
	per := indexBlock / x.entrySize
	block, at := i/per, i%per*x.entrySize
	s := &c.slots[(uint(x.seed)+uint(block)*2654435761)%indexSlots]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.x != x || s.block != block || at >= len(s.buf) {
		if err := s.load(x, block, f); err != nil {
			return indexEntry{}, err
		}
		if at+x.entrySize > len(s.buf) {
			return indexEntry{}, &os.PathError{Op: "read", Path: x.file(), Err: os.ErrNotExist}
		}
	}
	return x.decode(s.buf[at:]), nil
}

// load reads a block. Compaction may give the file another name meanwhile, and its old one to another index: what was
// read by a name that is not the file's any more is read again.
func (s *indexSlot) load(x *sparseIndex, block int, f *openedIndex) error {
	if s.buf == nil {
		s.buf = make([]byte, 0, indexBlock)
	}
	s.x = nil
	size := indexBlock / x.entrySize * x.entrySize
	for {
		if f.fd < 0 {
			f.name = x.moved.Load()
			fd, err := sys.OpenFile(x.file(), os.O_RDONLY, 0)
			if err != nil {
				if x.moved.Load() != f.name {
					continue
				}
				return &os.PathError{Op: "open", Path: x.file(), Err: err}
			}
			f.fd = fd
		}
		n, err := sys.Pread(f.fd, s.buf[:size], int64(block)*int64(size))
		if err != nil {
			return &os.PathError{Op: "read", Path: x.file(), Err: err}
		}
		if x.moved.Load() == f.name {
			s.x, s.block, s.buf = x, block, s.buf[:n/x.entrySize*x.entrySize]
			return nil
		}
		f.close()
	}
}
