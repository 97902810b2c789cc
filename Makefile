# Trunkline: the two commands to know are `make up` and `make test`.

GO ?= go
PACKAGES ?= ./...
# How long each fuzz target runs, and how long the tests may take.
FUZZTIME ?= 30s
FUZZSEED ?= $(shell date +%s)
TIMEOUT ?= 30m

.DEFAULT_GOAL := build

## build: compile bin/trunkline
.PHONY: build
build:
	$(GO) build -o bin/trunkline ./cmd/trunkline

## up: install PostgreSQL if need be, build, start a local cluster, load the demo
.PHONY: up
up: postgres build
	@scripts/up.sh

## down: stop that cluster; its data stay
.PHONY: down
down: build
	@scripts/down.sh

## test: run all tests, against real PostgreSQL servers
.PHONY: test
test: postgres
	$(GO) test -timeout $(TIMEOUT) $(PACKAGES)

## bench: compare with direct PostgreSQL and with PgBouncer, and print ratios
.PHONY: bench
bench: postgres build
	@scripts/install-pgbouncer.sh
	$(GO) run ./internal/bench $(BENCHFLAGS)

## demo-rebalance: add workers under load, rebalance, print what clients noticed, and draw it
.PHONY: demo-rebalance
demo-rebalance: postgres build
	$(GO) run ./internal/demo/rebalancing $(DEMOFLAGS)

## microbench: run the Go benchmarks of the packages
.PHONY: microbench
microbench: postgres
	$(GO) test -run '^$$' -bench . -benchmem -p 1 -timeout $(TIMEOUT) $(PACKAGES)

## fuzz: run every fuzz target, and generated SQL against plain PostgreSQL, for FUZZTIME each; then the long fault tests
.PHONY: fuzz
fuzz: postgres
	scripts/fuzz.sh $(FUZZTIME)
	TRUNKLINE_FUZZ_TIME=$(FUZZTIME) TRUNKLINE_FUZZ_SEED=$(FUZZSEED) $(GO) test -v -count=1 -timeout 24h -run '^TestRandom' ./internal/difftest

## lint: formatting, vet, staticcheck
.PHONY: lint
lint:
	@test -z "$$(gofmt -l cmd internal)" || { echo "not formatted:"; gofmt -l cmd internal; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

## clean: remove what build made
.PHONY: clean
clean:
	rm -rf bin

## help: list these targets
.PHONY: help
help:
	@sed -n 's/^## //p' Makefile

.PHONY: postgres
postgres:
	@scripts/install-postgres.sh
