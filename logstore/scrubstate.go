package logstore

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// scrubFile says where the scrub of a log directory stands. It is ours; Kafka looks at directories only, and leaves
// files alone that it does not know.
const scrubFile = "sluice-scrub.json"

// scrubSaveInterval is how often the file is written in the middle of a pass: so much is read again after a crash.
const scrubSaveInterval = time.Minute

// scrubState is the file's content. Times are Unix milliseconds, 0 for none.
type scrubState struct {
	Version   int
	Began     int64 // the pass that is under way
	Position  ScrubPosition
	Found     int64 // damages in it so far
	LastBegan int64 // the last whole pass: its begin, its end, its damages
	LastPass  int64
	LastFound int64
}

// readScrubState: whatever is wrong with the file, a pass from the beginning makes up for it.
func readScrubState(d *Dir) (s scrubState) {
	b, err := os.ReadFile(filepath.Join(d.path, scrubFile))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return scrubState{}
	case err != nil || s.Version != 0:
		d.opts.Logger.Warn("the scrub begins anew", "file", scrubFile, "version", s.Version, "err", err)
		return scrubState{}
	}
	return s
}

func (x *scrubber) save() {
	x.saved = x.d.now()
	if x.d.Err() != nil {
		return // nothing is written there any more
	}
	b, err := json.Marshal(x.state)
	if err == nil {
		err = WriteFileAtomic(filepath.Join(x.d.path, scrubFile), append(b, '\n'))
	}
	if err != nil {
		x.d.opts.Logger.Warn("the scrub's position was not written", "dir", x.d.path, "err", err)
	}
}
