# Everything a developer calls. The make files for Buildroot are external.mk and package/*.mk.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# Half a target is none.
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The demo's parameters: see docs/development.md.
export BUNDLE PLATFORM MACHINE

TSX := node --import tsx
# npm writes it last.
INSTALLED := node_modules/.package-lock.json
SOURCES := $(shell find src schema -type f)

.PHONY: help demo test soak conformance bench build dist lint format clean setup-build setup-demo setup-test

help:
	@echo 'make demo     from a sample bundle to a verified data image, and boots it'
	@echo '              BUNDLE=bundle.yaml PLATFORM=linux/arm64 MACHINE=… take your own'
	@echo 'make test     all checks and tests; installs what this machine lacks'
	@echo 'make soak     the same with the full counts of rounds, cases and mutations'
	@echo 'make conformance'
	@echo '              real engines judge what the loaders write; ENGINE_IMAGE=… takes yours: docs/direct.md'
	@echo 'make bench    what fetching and building cost, against the usual ways: docs/benchmarks.md'
	@echo 'make build    dist/stowage.mjs'
	@echo 'make dist     build/release/stowage-….tar.gz of the last commit: needs no npm; and its hashes'
	@echo 'make lint     the linter, the formatter, the types'
	@echo 'make format   lets the formatter and the linter mend what they can'
	@echo 'make clean    removes dist/ and build/'

demo: export DEMO_STARTED := $(shell date +%s)
demo: setup-demo
	@$(MAKE) --no-print-directory build
	@$(TSX) demo/demo.ts

test: setup-test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory build
	@$(TSX) test/run.ts

soak: export STOWAGE_SOAK = 1
soak: test

conformance: export STOWAGE_SOAK = 1
conformance: export STOWAGE_TEST_ENGINE_IMAGE = $(ENGINE_IMAGE)
conformance: setup-test
	@$(MAKE) --no-print-directory build
	@$(TSX) test/run.ts test/conformance/loaders.test.ts

bench: setup-test
	@$(MAKE) --no-print-directory build
	@status=0; for bench in fetch build direct farm ext4; do echo "bench/$$bench" >&2; $(TSX) bench/$$bench.ts || status=1; done; exit $$status

build: setup-build
	@$(MAKE) --no-print-directory dist/stowage.mjs

dist: setup-build
	@$(MAKE) --no-print-directory $(INSTALLED)
	@node scripts/dist.mjs

lint: setup-build
	@$(MAKE) --no-print-directory $(INSTALLED)
	npx eslint .
	npx prettier --check --log-level warn .
	npx tsc --noEmit

format: $(INSTALLED)
	npx prettier --write --log-level warn .
	npx eslint --fix .

clean:
	rm -rf dist build

setup-build setup-demo setup-test: setup-%:
	@scripts/setup.sh $*

$(INSTALLED): package.json package-lock.json
	npm ci
	@touch $@

dist/stowage.mjs: $(INSTALLED) $(SOURCES) scripts/build.mjs
	node scripts/build.mjs
