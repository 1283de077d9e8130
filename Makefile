# Targets are explained by `make help`. Tools are pinned here, built into .tmp/bin once per version and used from there.

GO            ?= go
VERSION       ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TEST_TIMEOUT  ?= 15m
PACKAGES      ?= ./...

BUF_VERSION           := v1.75.0
PROTOC_GEN_GO         := v1.36.12
PROTOC_GEN_CONNECT_GO := v1.21.1
GOLANGCI_LINT_VERSION := v2.12.2
WORKFLOWCHECK_VERSION := v0.6.0

TOOLS  := $(CURDIR)/.tmp/bin
STAMPS := .tmp/stamps
# Git may refuse to describe a checkout that belongs to somebody else; the version is passed in anyway.
BUILD  := $(GO) build -buildvcs=false -trimpath -ldflags "-X main.version=$(VERSION)"

.DEFAULT_GOAL := help
MAKEFLAGS     += --no-print-directory
SHELL         := /bin/sh

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Set up, build and start everything on this machine, and show one webhook from registration to delivery
	@tools/install-redis || echo "Going on without: the in-process Redis is used, which keeps nothing when it stops."
	@$(MAKE) build
	@exec bin/holdfast dev --demo

.PHONY: build
build: ## Build bin/holdfast, with the embedded Temporal and its UI for `holdfast dev`
	@test -x bin/holdfast || echo "The first build compiles an embedded Temporal server: about 4-5 minutes on 2 cores."
	@( while sleep 30 >/dev/null 2>&1; do echo "  still building"; done ) & notice=$$!; trap 'kill $$notice 2>/dev/null' EXIT; \
		CGO_ENABLED=0 $(BUILD) -o bin/holdfast ./cmd/holdfast

.PHONY: build-lean
build-lean: ## Build bin/holdfast-lean for production, without `holdfast dev`
	CGO_ENABLED=0 $(BUILD) -tags lean -o bin/holdfast-lean ./cmd/holdfast

# Vet runs with -race so that both steps use one build of the dependencies.
.PHONY: test
test: ## Set up and run all tests with the race detector
	@tools/install-redis
	$(GO) vet -race $(PACKAGES)
	$(GO) test -race -p 1 -timeout $(TEST_TIMEOUT) $(filter-out %/internal/registry/proof,$(shell $(GO) list $(PACKAGES)))
	$(GO) test -timeout $(TEST_TIMEOUT) ./internal/registry/proof

# Without the race detector, which would make them measure the machine. The longer forms: SOAK_FLAGS="-outage 60s
# -flushed 5000 -edits 1000", with more time. One test builds the node with another standard library, which takes minutes once.
SOAK_FLAGS   ?=
SOAK_TIMEOUT ?= 30m

.PHONY: soak
soak: ## Run the tests of faults, outages and many webhooks, which need the machine for themselves
	@tools/install-redis
	$(GO) test -p 1 -parallel 2 -timeout $(SOAK_TIMEOUT) ./internal/app -soak $(SOAK_FLAGS)

.PHONY: lint
lint: $(STAMPS)/golangci-lint-$(GOLANGCI_LINT_VERSION) $(STAMPS)/workflowcheck-$(WORKFLOWCHECK_VERSION) $(STAMPS)/buf-$(BUF_VERSION) ## Check style, import rules, determinism of workflows and the schema
	$(TOOLS)/golangci-lint run $(PACKAGES)
	$(TOOLS)/workflowcheck -config workflowcheck.config.yaml ./workflows/...
	$(TOOLS)/buf lint proto
	$(TOOLS)/buf format --diff --exit-code proto

GENERATORS := $(STAMPS)/buf-$(BUF_VERSION) $(STAMPS)/protoc-gen-go-$(PROTOC_GEN_GO) $(STAMPS)/protoc-gen-connect-go-$(PROTOC_GEN_CONNECT_GO)

.PHONY: generate
generate: $(GENERATORS) ## Generate Go from proto/
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate

# Nothing in the working tree is touched, so it may hold changes.
.PHONY: verify
verify: $(GENERATORS) ## Check that generated code and go.mod are up to date
	@rm -rf .tmp/verify
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate --output .tmp/verify
	@diff -r .tmp/verify/proto/gen proto/gen || { echo "proto/gen is not what proto/ generates: run make generate and commit the result"; exit 1; }
	@$(GO) mod tidy -diff || { echo "go.mod or go.sum is not tidy: run go mod tidy and commit the result"; exit 1; }
	@echo "generated code and go.mod are up to date"

# A new logic of a workflow gets a new folder; the old ones stay and must still replay.
HISTORIES ?= v6

.PHONY: histories
histories: ## Record the workflow histories of workflows/testdata anew, from the embedded Temporal
	@mkdir -p workflows/testdata/histories/$(HISTORIES)
	$(GO) test -count=1 -run '^TestRecord(Life)?Histories$$' ./internal/app -record-histories $(CURDIR)/workflows/testdata/histories/$(HISTORIES)

.PHONY: bench
bench: ## Measure deliveries per second, latencies and CPU beside a bare workflow; BENCH_FLAGS="--help" lists the choices
	@tools/install-redis
	@$(GO) run ./bench $(BENCH_FLAGS)

.PHONY: bench-go
bench-go: ## Run the Go micro benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)

.PHONY: clean
clean: ## Remove binaries and pinned tools
	rm -rf bin .tmp

# A stamp per tool and version: another version here builds the tool again.
define tool
$(STAMPS)/$(1)-$(2):
	@echo "building $(1) $(2)"
	@mkdir -p $(STAMPS) $(TOOLS) && rm -f $(STAMPS)/$(1)-*
	@GOBIN="$(TOOLS)" GOFLAGS= $(GO) install $(3)@$(2)
	@touch $$@
endef

$(eval $(call tool,buf,$(BUF_VERSION),github.com/bufbuild/buf/cmd/buf))
$(eval $(call tool,protoc-gen-go,$(PROTOC_GEN_GO),google.golang.org/protobuf/cmd/protoc-gen-go))
$(eval $(call tool,protoc-gen-connect-go,$(PROTOC_GEN_CONNECT_GO),connectrpc.com/connect/cmd/protoc-gen-connect-go))
$(eval $(call tool,golangci-lint,$(GOLANGCI_LINT_VERSION),github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,workflowcheck,$(WORKFLOWCHECK_VERSION),go.temporal.io/sdk/contrib/tools/workflowcheck))
