package broker

import (
	"errors"
	"fmt"
)

// maxProblems bounds what health tells one by one.
const maxProblems = 20

var (
	errStopping  = errors.New("the broker is stopping")
	errNoLogDirs = errors.New("every log directory is offline")
)

// Ready tells why the broker cannot serve; nil when it can.
func (b *Broker) Ready() error {
	if b.draining.Load() {
		return errStopping
	}
	return b.Live()
}

// Live tells why only a new start can help, nil while the broker does some good: without any log directory Kafka stops
// too (LogDirFailureChannel).
func (b *Broker) Live() error {
	for _, d := range b.dirs {
		if d.Err() == nil {
			return nil
		}
	}
	return errNoLogDirs
}

// Problems are the faults that the broker lives with, in words: a coordinator that is away, directories that are offline
// or short of space, logs that take no appends.
func (b *Broker) Problems() (list []string) {
	if b.coordinated != nil {
		list = append(list, b.coordinated.problems()...)
	}
	for _, x := range b.broken {
		list = append(list, fmt.Sprintf("log directory %s is offline: %v", x.path, x.err))
	}
	for _, d := range b.dirs {
		if err := d.Err(); err != nil {
			list = append(list, fmt.Sprintf("log directory %s is offline: %v", d.Path(), err))
		} else if s := d.Space(); s.Low {
			list = append(list, fmt.Sprintf("log directory %s takes no produce: %d bytes are free, the floor is %d", d.Path(), s.Free, s.Floor))
		}
	}
	more := 0
	for _, t := range b.catalog.Image().Topics() {
		for _, p := range t.Partitions {
			problem := p.problem()
			switch {
			case problem == "":
			case len(list) >= maxProblems:
				more++
			default:
				list = append(list, problem)
			}
		}
	}
	if more > 0 {
		list = append(list, fmt.Sprintf("and %d more logs", more))
	}
	return list
}

// problem is what is wrong with the log alone; p may be nil.
func (p *Partition) problem() string {
	if p == nil || p.offline() {
		return ""
	}
	if x := p.log.Damage(); x != nil {
		return fmt.Sprintf("log %s is lossy and takes no appends: %v", p.log.Name(), x)
	}
	if err := p.log.Err(); err != nil {
		return err.Error()
	}
	return ""
}

// offline tells whether the partition's directory is.
func (p *Partition) offline() bool { return p.log.Dir().Err() != nil }
