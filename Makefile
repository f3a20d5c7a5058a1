# The only entry: developers, CI and the README use these targets and nothing else.
# CARGO_TARGET_DIR is respected; logs of `test` and `check` lie below it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

BUILD_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
CARGO_HOME_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
# Of `install`; its script has the defaults.
export PREFIX SYSCONFDIR DESTDIR
# Where rustup puts cargo, and where Debian puts mosquitto; neither is on every user's PATH.
export PATH := $(PATH):$(CARGO_HOME_DIR)/bin:/usr/sbin:/sbin

.PHONY: help setup build build-compiler build-host guests demo test test-guests first-plugin check bench torture clean test-fresh install uninstall test-service e2e-protocol fuzz-smoke torture-reload torture-hostile torture-ota

help: ## Print this list
	@printf 'make TARGET, where TARGET is one of\n\n'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS=$$'\t' read -r target text; do \
		printf '  %-15s %s\n' "$$target" "$$text"; done

setup: ## Install what is missing: Debian packages and the guests' toolchains; does nothing when all is there
	@scripts/setup.sh

# These need no guests but Rust's.
demo torture torture-reload torture-hostile torture-ota e2e-protocol: export EDGEPLUG_GUEST_LANGUAGES =

build: build-compiler build-host guests ## Build the compiler, the daemon with all other programs, and the Rust guests

# Two calls on purpose: Cargo unifies features within a call, and one for both would link Cranelift into the daemon.
build-compiler: ## ... only the compiler program
	@cargo build -p edgeplug-compiler

build-host: ## ... only the daemon, the cloud simulator and the demo
	@cargo build --workspace --exclude edgeplug-compiler --bins

guests: ## ... only the Rust guests, as wasm32-wasip2 components
	@EDGEPLUG_GUEST_TOOLCHAIN="$${EDGEPLUG_GUEST_TOOLCHAIN:-$$(cat '$(BUILD_DIR)/guest-toolchain' 2>/dev/null || true)}" scripts/guests.sh

# The program that `build` made: `cargo run -p` would choose other features and build half the workspace again.
demo: setup build ## A software TPM, a simulated cloud and the daemon with a real plugin, until Ctrl-C or for DEMO_S seconds
	@exec '$(BUILD_DIR)/debug/edgeplug-demo'

test: ## Set up, build and run every test; prints how long each phase took and how many tests ran
	@scripts/test.sh

test-guests: setup build ## One plugin in every language against one transcript; LANGUAGES="rust c" chooses
	@scripts/test-guests.sh

first-plugin: setup build ## The tutorial, timed, in every language; LANGUAGES="rust c" chooses
	@scripts/first-plugin.sh

check: setup ## Formatting, clippy, rustdoc, and cargo-deny (which is installed when missing); no test is run
	@scripts/check.sh

bench: setup guests ## Release builds, then the figures of the README, measured on this machine; ROWS_MAX=100000 is short
	@scripts/bench-python.sh
	@cargo build --release -p edgeplug-compiler
	@cargo build --release -p edgeplug
	@cargo run --release -p edgeplug-bench

# CYCLES, CUTS, SEEDS, JOBS, MINUTES, ROWS, SEED, DIR (a directory on the disk to be tested) and SYNC_MS (0: the disk as it is)
# are passed on where the mode knows them.
MODE ?= kill
TORTURE_kill = $(if $(CYCLES),--cycles $(CYCLES)) $(if $(SYNC_MS),--sync-ms $(SYNC_MS))
TORTURE_powercut = $(if $(CUTS),--cuts $(CUTS))
TORTURE_chaos = $(if $(SEEDS),--seeds $(SEEDS)) $(if $(JOBS),--jobs $(JOBS))
TORTURE_soak = $(if $(MINUTES),--minutes $(MINUTES))
TORTURE_backlog = $(if $(ROWS),--rows $(ROWS))
TORTURE_SEED = $(if $(filter kill powercut chaos,$(MODE)),$(if $(SEED),--seed $(SEED)))
TORTURE_DIR = $(if $(filter-out powercut,$(MODE)),$(if $(DIR),--dir '$(DIR)'))

torture: setup guests ## Release builds, then MODE=kill|powercut|chaos|soak|backlog: nothing accepted is lost (docs/reliability.md)
	@cargo build --release -p edgeplug-compiler
	@cargo build --release -p edgeplug
	@cargo build --release -p edgeplug-torture
	@exec '$(BUILD_DIR)/release/edgeplug-torture' $(MODE) $(TORTURE_$(MODE)) $(TORTURE_SEED) $(TORTURE_DIR)

torture-reload: setup guests ## Release builds, then RELOADS (10000) new versions of a plugin, good and bad: no reading lost or doubled
	@cargo build --release -p edgeplug-compiler
	@cargo build --release -p edgeplug
	@cargo build --release -p edgeplug-torture
	@exec '$(BUILD_DIR)/release/edgeplug-torture' reload $(if $(RELOADS),--reloads $(RELOADS)) $(if $(SEED),--seed $(SEED)) $(if $(DIR),--dir '$(DIR)')

torture-hostile: setup guests ## Release builds, then every hostile component against its wall, and what it costs its neighbour
	@cargo build --release -p edgeplug-compiler
	@cargo build --release -p edgeplug
	@cargo build --release -p edgeplug-torture
	@exec '$(BUILD_DIR)/release/edgeplug-torture' hostile

torture-ota: setup guests ## Release builds, then CYCLES (100) firmware updates with kills and faults: each ends once, no bad file gets anywhere
	@cargo build --release -p edgeplug-compiler
	@cargo build --release -p edgeplug
	@cargo build --release -p edgeplug-torture
	@exec '$(BUILD_DIR)/release/edgeplug-torture' ota $(if $(CYCLES),--cycles $(CYCLES)) $(if $(RESUMES),--resumes $(RESUMES)) $(if $(SEED),--seed $(SEED)) $(if $(DIR),--dir '$(DIR)')

install: ## Release builds, then programs, unit and an example configuration below PREFIX (/usr/local); enables nothing
	@scripts/install.sh install

uninstall: ## Remove what install laid, but for configuration, plugins and state
	@scripts/install.sh uninstall

e2e-protocol: setup build ## Both protocols against the simulator: every message of the cloud, windows, rules, twin, hard stop; ends with JSON
	@exec '$(BUILD_DIR)/debug/edgeplug-e2e-protocol'

fuzz-smoke: setup ## Hostile bytes for each parser, FUZZ_S seconds (60) each
	@scripts/fuzz-smoke.sh

clean: ## Remove everything that was built here
	@cargo clean
	@rm -rf guests/*/target examples/*/target tests/fixtures/target

test-fresh: ## Prove the README on a bare Debian 12 in FRESH_DIR (default below /var/tmp); needs root and debootstrap
	@scripts/test-fresh.sh

test-service: ## Run the installed unit under a real systemd in a throw-away machine; needs root and systemd-container
	@scripts/test-service.sh
