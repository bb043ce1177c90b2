package lint

import (
	"slices"
	"strings"
	"testing"
)

// DO NOT CHANGE THIS DATA TO FIX BUILDS.
//
// It says which packages of this module a package may import, tests included. An import that it forbids is a design
// question: move the code, or turn the dependency round. A new package adds its own line. Nothing is implied: a
// package may not import what the packages on its line may import, unless it stands there too.
const layers = `
# leaves
internal/span:
internal/clock:          internal/sys
internal/invariants:
internal/metrics:
internal/sys:            leaves
internal/testkit:        internal/invariants
internal/crashdisk:      internal/sys
internal/lint:

# formats and storage
wire/batch:              leaves
wire:                    leaves wire/batch
netpoll:                 leaves internal/sys
logstore:                leaves internal/sys wire/batch

# coordination
coordination/zk:         leaves
coordination/server:     leaves coordination/zk internal/sys
coordination/client:     leaves coordination/zk internal/sys
coordination/registry:   leaves coordination/client coordination/zk

# state machines
statelog:                leaves wire/batch
group:                   leaves statelog
txn:                     leaves statelog
replication:             leaves logstore wire wire/batch
controller:              leaves coordination/registry wire

# the broker, and what stands beside it
config:
results:                 leaves
loadgen:                 leaves wire wire/batch results
broker:                  leaves netpoll wire wire/batch logstore coordination/zk coordination/server coordination/client coordination/registry statelog group txn replication controller config
broker/admin:            leaves broker results coordination/server

# programs and end-to-end tests
grafana:                 leaves internal/testkit
cmd/sluice:              anything
test/...:                anything
`

// leaves may be imported by whoever has the word on its line.
var leaves = []string{"internal/span", "internal/clock", "internal/metrics", "internal/invariants"}

// testHelp may be imported by tests of any package besides what its line allows.
var testHelp = []string{"internal/testkit", "internal/crashdisk"}

func TestImportsFollowTheLayers(t *testing.T) {
	table := layerTable()
	for _, p := range packages(t) {
		allowed, ok := allowedFor(table, p.path)
		if !ok {
			t.Errorf("%s has no line in the table of layers", p.path)
			continue
		}
		for _, i := range p.imports {
			if !allowed(i) {
				t.Errorf("%s must not import %s", p.path, i)
			}
		}
		for _, i := range p.testImports {
			if i != p.path && !allowed(i) && !slices.Contains(testHelp, i) {
				t.Errorf("tests of %s must not import %s", p.path, i)
			}
		}
	}
}

// layerTable reads layers: package to the words on its line.
func layerTable() map[string][]string {
	table := map[string][]string{}
	for line := range strings.Lines(layers) {
		name, words, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && !strings.HasPrefix(name, "#") {
			table[name] = strings.Fields(words)
		}
	}
	return table
}

func allowedFor(table map[string][]string, path string) (func(string) bool, bool) {
	words, ok := table[path]
	if !ok && strings.HasPrefix(path, "test/") {
		words, ok = table["test/..."]
	}
	return func(i string) bool {
		return slices.Contains(words, "anything") || slices.Contains(words, i) ||
			slices.Contains(words, "leaves") && slices.Contains(leaves, i)
	}, ok
}

func TestLayersHaveNoCycle(t *testing.T) {
	table := layerTable()
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		if slices.Contains(above, name) {
			t.Fatalf("cycle: %v", append(above, name))
		}
		for _, word := range table[name] {
			visit(word, append(above, name))
		}
	}
	for name := range table {
		visit(name, nil)
	}
}
