# Sluice: build, run, test. `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO ?= go
GOTEST := $(GO) test -shuffle=on

# every shell script, and the packages that have tests which a race build leaves out (allocations, system calls)
SCRIPTS = $(shell find . -name '*.sh' -not -path './bin/*') .ci/run
COST = $(shell grep -rlE --include='*_test.go' '^//go:build !race' . | xargs -r -n1 dirname | sort -u)

.PHONY: help build run demo test test-cost lint fuzz-smoke faults clients zookeeper bench-kafka bench-storage bench-zookeeper ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/sluice, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.buildVersion=$(VERSION)' -o bin/sluice ./cmd/sluice

run: build ## start a broker on 127.0.0.1:9092, data in ./sluice-data
	bin/sluice serve

demo: build ## start a broker, load it at acks 0, 1 and all, verify every record, write a report; 30 s
	bin/sluice demo

test: ## all Go tests with the race detector and invariants; needs Go and gcc
	$(GOTEST) -race -tags invariants -timeout 5m ./...

test-cost: ## tests of allocations and system calls, in an ordinary build
	$(GOTEST) -timeout 5m $(COST)

lint: ## gofmt, vet, staticcheck, import layers and other rules of the tree, shellcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'not formatted: run gofmt -w on these' >&2; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags peers,invariants ./...
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags peers,invariants ./...
	test/peers/install.sh shellcheck
	shellcheck -x $(SCRIPTS)
	$(GOTEST) -count=1 ./internal/lint

fuzz-smoke: ## each fuzz test for some seconds
	@grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's|/[^/]*:func | |' | sort -u | \
	while read -r package name; do \
		echo "$$package $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime 5s -fuzzminimizetime 10x "$$package"; \
	done

faults: build ## disks that are full (tmpfs) or fail (strace), under load; as root, or in namespaces of their own
	test/peers/install.sh strace
	SLUICE_BIN=$(CURDIR)/bin/sluice $(GO) test -count=1 -tags peers,invariants -timeout 5m ./test/faults

clients: build zookeeper ## real clients and tools, the comparison with Kafka, kafka-dump-log; installs what it needs when root
	test/peers/install.sh
	test/peers/kafka.sh fetch
	cd test/clients && $(GO) vet ./...
	$(GO) test -count=1 -tags peers,invariants -timeout 30m ./test/differential
	$(GO) test -count=1 -tags peers,invariants -timeout 10m -run KafkaReads ./test/restart
	$(GO) test -count=1 -tags peers,invariants -timeout 20m ./test/adopt
	$(GO) test -count=1 -tags peers,invariants -timeout 10m ./test/registry
	SLUICE_BIN=$(CURDIR)/bin/sluice test/clients/run.sh

zookeeper: build ## the coordinator beside a real ZooKeeper, and under ZooKeeper's clients and two clients' own suites; three minutes
	test/peers/install.sh java mvn kazoo
	test/peers/zookeeper.sh fetch
	$(GO) test -count=1 -tags peers,invariants -timeout 10m ./test/zookeeper
	$(GO) test -count=1 -tags peers,invariants -timeout 5m -run 'OnZooKeeper|Ensemble' ./test/coordination
	SLUICE_BIN=$(CURDIR)/bin/sluice test/zookeeper/kazoo.sh
	SLUICE_BIN=$(CURDIR)/bin/sluice test/zookeeper/gozk.sh

bench-kafka: build ## benchmark against Kafka 4.3 on this machine
	test/peers/install.sh java mvn
	$(GO) run ./test/compare -sluice bin/sluice -kafka test/peers/kafka.sh

bench-storage: build ## benchmark of the log: appends, syncs, many partitions, recovery; some ten minutes
	test/peers/install.sh java mvn
	mkdir -p out
	$(GO) build -o bin/storage ./test/storage
	bin/storage -sluice bin/sluice -kafka test/peers/kafka.sh -json out/storage.json

bench-zookeeper: build ## benchmark of the coordinator beside a real ZooKeeper; some five minutes
	test/peers/install.sh java mvn
	mkdir -p out
	$(GO) build -o bin/zookeeper-bench ./test/zookeeper/bench
	bin/zookeeper-bench -sluice bin/sluice -zookeeper test/peers/zookeeper.sh -json out/zookeeper.json

ci: lint test test-cost faults clients ## all that must pass

clean: ## remove what was built
	rm -rf bin
