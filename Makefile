# Whitewater: one Makefile for everything. `make help` lists the targets.
#
#   make [MODE=release|fast|debug|sanitize|coverage|fuzz] [CC=gcc|clang] [V=1] [TARGET]
#
# Every pair of mode and compiler has its own objects under build/MODE/CC/, so none ever mixes with another. The release
# programs are also reachable as build/raftd, build/raftctl, build/raftsim and build/raftbench.

ifeq ($(origin CC),default)
CC := gcc
endif
MODE ?= release
CLANG ?= clang
CLANG_TIDY ?= clang-tidy
CLANG_FORMAT ?= clang-format

OUT := build/$(MODE)/$(notdir $(CC))
Q := $(if $(V),,@)

# All cores, unless the caller chose with -j.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory

# ------------------------------------------------------------------------------------------------------------- flags

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wstrict-prototypes \
            -Wmissing-prototypes -Wswitch-enum -Wundef -Wvla -Wformat=2 -Wwrite-strings -Wpointer-arith -Werror
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# No -march: the same source gives the same digests everywhere, and a binary runs on every machine of its architecture.
FLAGS_debug := -O0
FLAGS_release := -O2
FLAGS_fast := -O3
FLAGS_sanitize := -O1 $(SANITIZERS)
FLAGS_coverage := -O0 --coverage
FLAGS_fuzz := -O1 $(SANITIZERS) -fsanitize=fuzzer-no-link
LINK_sanitize := $(SANITIZERS)
LINK_coverage := --coverage
LINK_fuzz := $(SANITIZERS)
ifeq ($(FLAGS_$(MODE)),)
$(error MODE=$(MODE): expected release, fast, debug, sanitize, coverage or fuzz)
endif

# raftsim lives in calls between small functions of many files: a sixth faster when the linker inlines them. Only the
# objects of its rooms and only gcc, whose linker needs nothing more for it; LTO= leaves it out.
ifeq ($(notdir $(CC))-$(MODE),gcc-release)
LTO ?= 1
FLAGS_lto := $(if $(LTO),-flto -ffat-lto-objects)
LINK_lto := -fno-lto
LINK_raftsim := $(if $(LTO),-flto=auto $(FLAGS_release))
endif

# What a room may use: the core and the simulator are plain C11, the rest is Linux.
FLAGS_core := $(FLAGS_lto)
FLAGS_sim := $(FLAGS_lto)
FLAGS_io := -D_GNU_SOURCE
FLAGS_cmd := -D_GNU_SOURCE
FLAGS_tests := -D_GNU_SOURCE
LIBS_core := -lxxhash
LIBS_io := -luring

# raftsim for another architecture, to compare digests under an emulator: static, and with the hash from its header, so
# that nothing of that architecture but the C library must be there.
ARM64_CC ?= aarch64-linux-gnu-gcc
ifeq ($(CC),$(ARM64_CC))
FLAGS_core += -DXXH_INLINE_ALL -isystem $(OUT)/include
LIBS_core :=
LINK_$(MODE) += -static
FOREIGN := $(OUT)/include/xxhash.h
endif

CFLAGS_ALL = -std=c11 -g $(WARNINGS) $(FLAGS_$(MODE)) $(FLAGS_$(firstword $(subst /, ,$*))) -pthread -MMD -MP $(CFLAGS)

# ----------------------------------------------------------------------------------------------------------- sources

LAYERS := io sim core
$(foreach layer,$(LAYERS),$(eval OBJECTS_$(layer) := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard $(layer)/*.c)))))
OBJECTS_sim += $(OUT)/sim/html_template.o
# A program is cmd/NAME.c and its parts, cmd/NAME_*.c.
PROGRAMS := $(foreach main,$(sort $(wildcard cmd/*.c)),$(if $(findstring _,$(notdir $(main))),,$(OUT)/$(basename $(notdir $(main)))))
parts_of = $(1) $(sort $(wildcard $(filter cmd/%,$(1:.c=_*.c))))
TESTS := $(patsubst tests/%.c,$(OUT)/tests/%,$(sort $(wildcard tests/*_test.c)))
# Not a test by itself, but what ctrl_test.sh runs.
EXPERIMENTS := $(OUT)/tests/ctrl
BENCHES := $(patsubst tests/%.c,$(OUT)/tests/%,$(sort $(wildcard tests/bench_*.c)))
FUZZERS := $(patsubst tests/%.c,$(OUT)/tests/%,$(sort $(wildcard tests/fuzz_*.c)))
SOURCES := $(sort $(wildcard core/*.[ch] sim/*.[ch] io/*.[ch] cmd/*.[ch] tests/*.[ch]))

# A program is linked with the layers that its files include, and with the core.
layers_of = $(if $(shell grep -l '"\.\./io/' $(1)),io) $(if $(shell grep -l '"\.\./sim/' $(1)),sim) core
archives_of = $(patsubst %,$(OUT)/lib%.a,$(call layers_of,$(1)))
libs_of = $(foreach layer,$(call layers_of,$(1)),$(LIBS_$(layer)))

# ----------------------------------------------------------------------------------------------------------- building

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all programs tests help deps run test check check-sanitize check-tidy check-compilers format format-check \
        lint purity powerloss ctrl bless scenarios bench bench-wal bench-checkpoint bench-restart bench-away bench-failover \
        bench-record bench-sim coverage explore mutants mutants-explore mutants-scenarios mutants-mechanical fuzz clean

## all: build the programs; release mode is the default, and what build/raftd and its friends point to
all: programs

programs: $(PROGRAMS)
ifeq ($(MODE),release)
	$(Q)for program in $(notdir $(PROGRAMS)); do ln -sfn $(MODE)/$(notdir $(CC))/$$program build/$$program; done
endif

## tests: build the test programs
tests: $(TESTS) $(BENCHES) $(EXPERIMENTS)

$(OUT)/include/xxhash.h: /usr/include/xxhash.h
	@mkdir -p $(@D)
	$(Q)cp $< $@

$(OUT)/%.o: %.c Makefile $(FOREIGN) | build/.deps-build
	@mkdir -p $(@D)
	@$(if $(V),,echo "CC    $(MODE) $<")
	$(Q)$(CC) $(CFLAGS_ALL) -c $< -o $@

# The page of `raftsim replay --html`: one template with style and scripts in it, as an array of bytes.
PAGE_SCRIPTS := $(addprefix sim/html/,data.js scene.js view.js draw.js map.js panel.js main.js)
$(OUT)/sim/html_template.c: sim/html/page.html sim/html/page.css $(PAGE_SCRIPTS) Makefile
	@mkdir -p $(@D)
	$(Q){ echo 'extern const unsigned char html_template[];'; echo 'const unsigned char html_template[] = {'; \
	    sed -e '/^@style@$$/{r sim/html/page.css' -e 'd;}' \
	        -e '/^@script@$$/{' $(foreach script,$(PAGE_SCRIPTS),-e 'r $(script)') -e 'd;}' $< | \
	    od -An -v -tx1 | sed 's/ \(..\)/0x\1,/g'; echo '0};'; } >$@

# What opens it in `make test`.
test: build/.optional-browser

$(OUT)/sim/html_template.o: $(OUT)/sim/html_template.c
	$(Q)$(CC) -std=c11 -g $(WARNINGS) $(FLAGS_$(MODE)) $(CFLAGS) -c $< -o $@

# Rebuilt whole, so that an object whose source is gone does not linger.
$(foreach layer,$(LAYERS),$(eval $(OUT)/lib$(layer).a: $(OBJECTS_$(layer))))
$(OUT)/lib%.a:
	@mkdir -p $(@D)
	@$(if $(V),,echo "AR    $(MODE) $@")
	$(Q)rm -f $@ && ar rcsD $@ $(filter %.o,$^)

define program # output file, source file, extra link flags
$(1): $(patsubst %.c,$(OUT)/%.o,$(call parts_of,$(2))) $(call archives_of,$(call parts_of,$(2)))
	@$(if $(V),,echo "LINK  $(MODE) $$@")
	$(Q)$(CC) -g -pthread $(LINK_$(MODE)) $(or $(3),$(LINK_lto)) $(LDFLAGS) -o $$@ $$^ $(call libs_of,$(call parts_of,$(2)))
endef
$(foreach target,$(PROGRAMS),$(eval $(call program,$(target),cmd/$(notdir $(target)).c,$(LINK_$(notdir $(target))))))
$(foreach target,$(TESTS) $(EXPERIMENTS),$(eval $(call program,$(target),tests/$(notdir $(target)).c)))
$(foreach target,$(BENCHES),$(eval $(call program,$(target),tests/$(notdir $(target)).c)))
$(foreach target,$(FUZZERS),$(eval $(call program,$(target),tests/$(notdir $(target)).c,-fsanitize=fuzzer)))

-include $(wildcard $(OUT)/*/*.d)

## deps: install what is missing for building and testing (Debian packages; asks for nothing else)
deps:
	$(Q).ci/deps build test check

build/.deps-%: .ci/deps
	$(Q).ci/deps $*
	@mkdir -p build && touch $@

# What a test can be skipped without: it says so itself.
build/.optional-%: .ci/deps
	$(Q).ci/deps $* || echo "deps: going on without what $* needs: its tests are skipped"
	@mkdir -p build && touch $@

# ------------------------------------------------------------------------------------------------------------ running

## run: ten seconds of hostile schedules, then three real nodes on loopback until Ctrl-C (RUN_SECONDS=5 ends by itself)
run: programs
	$(Q)tests/demo

## test: everything that decides whether a change is good, from nothing; T="a b" runs those whose name contains a or b
test: programs tests build/.deps-test build/.optional-arm64 build/.optional-fleet
	$(Q)$(MAKE) MODE=debug CC=gcc build/debug/gcc/raftsim
	$(Q)$(MAKE) MODE=fast CC=gcc build/fast/gcc/raftsim
	$(Q)$(MAKE) MODE=debug CC=$(CLANG) build/debug/$(notdir $(CLANG))/raftsim
	$(Q)$(MAKE) MODE=fast CC=$(CLANG) build/fast/$(notdir $(CLANG))/raftsim
	$(Q)! command -v $(ARM64_CC) >/dev/null || $(MAKE) CC=$(ARM64_CC) build/release/$(notdir $(ARM64_CC))/raftsim
	$(Q)BIN=$(OUT) tests/run $(if $(T),--only "$(T)") tests/tidy tests/purity $(TESTS) $(sort $(wildcard tests/*_test.sh)) \
	    tests/determinism tests/replay tests/scenarios tests/schedules

## scenarios: the scripted ones, traces/golden/*.scenario; S=name runs those whose name contains it
scenarios: programs
	$(Q)BIN=$(OUT) tests/scenarios $(S)

## check: warnings as errors on gcc and clang, format, clang-tidy, purity, layers, tests under ASan and UBSan
check: build/.deps-check
	$(Q)for step in lint format-check purity check-compilers check-tidy check-sanitize; do $(MAKE) $$step || exit 1; done
	@echo "check: clean"

check-compilers: build/.deps-check
	@echo "TIDY  headers stand alone"
	$(Q)for header in $(filter %.h,$(SOURCES)); do $(CC) -std=c11 -D_GNU_SOURCE -fsyntax-only -x c $$header || exit 1; done
	$(Q)$(MAKE) MODE=release CC=gcc programs tests
	$(Q)$(MAKE) MODE=fast CC=$(CLANG) programs tests

check-tidy: build/.deps-check
	@echo "TIDY  clang-tidy"
	$(Q)printf '%s\n' $(filter %.c,$(SOURCES)) | xargs -P $$(nproc) -I{} sh -c \
	    '$(CLANG_TIDY) --quiet {} -- -std=c11 -D_GNU_SOURCE 2>/dev/null || { echo "clang-tidy: {}"; exit 1; }'

check-sanitize: build/.deps-build
	$(Q)$(MAKE) MODE=sanitize CC=gcc programs tests
	$(Q)BIN=build/sanitize/gcc SCHEDULES=500 tests/run $(if $(T),--only "$(T)") \
	    $(patsubst $(OUT)/%,build/sanitize/gcc/%,$(TESTS)) $(sort $(wildcard tests/*_test.sh)) tests/replay tests/scenarios tests/schedules

## format: lay out all sources with clang-format
format: build/.deps-check
	$(Q)$(CLANG_FORMAT) -i $(SOURCES)

format-check: build/.deps-check
	@echo "TIDY  clang-format"
	$(Q)$(CLANG_FORMAT) --dry-run --Werror $(SOURCES)

## bless: accept today's behaviour as golden: rewrites traces/golden.digest and the transcripts in traces/golden/
bless: programs
	$(Q)BIN=$(OUT) tests/determinism --bless
	$(Q)BIN=$(OUT) tests/scenarios --bless

## lint: the house rules that no compiler knows (lengths, layers, READMEs, words)
lint:
	$(Q)tests/tidy

## purity: prove that the core is freestanding: headers, undefined symbols, no variables; with gcc and clang
purity: build/.deps-test
	$(Q)tests/purity

POWERLOSS_DEPTH ?= 20
## powerloss: lose power after every disk operation of scripted histories, in 20 orders of events; eight minutes
powerloss: $(OUT)/tests/powerloss_test
	$(Q)POWERLOSS_DEPTH=$(POWERLOSS_DEPTH) $<

## bench: raftbench against three nodes on loopback
bench: programs
	$(Q)tests/bench

## bench-wal: the log against a plain io_uring loop, and every way to make a write durable; quiet, and with busy cores
bench-wal: programs $(BENCHES)
	$(Q)BIN=$(OUT) tests/bench-wal

## bench-checkpoint: put latency with and without a checkpoint of a 1 GiB store under way, the longest step, memory
bench-checkpoint: programs $(BENCHES)
	$(Q)tests/bench-checkpoint

## bench-restart: time to the first read after a restart with 1,000,000 keys; what a follower that was away pulls
bench-restart: programs
	$(Q)tests/bench-restart

## bench-away: a follower is stopped for ten minutes of full load: latencies while it catches up, the leader's memory
bench-away: programs
	$(Q)tests/bench-away

## bench-failover: how long no write is acknowledged when a leader is killed, and when it hands over, ten times each
bench-failover: programs tests
	$(Q)FAILOVER_STRICT=1 BIN=$(OUT) $(OUT)/tests/failover_test

## bench-record: throughput and p99 with raftd --record and without; then a minute with a leader killed, replayed
bench-record: programs
	$(Q)tests/bench-record

## bench-sim: simulator speed: rates, and where the time goes, on one core; then a campaign on all (COUNT=20000)
bench-sim: programs
	$(Q)build/raftsim bench --count $(or $(COUNT),20000)
	$(Q)build/raftsim run --count $(or $(COUNT),20000) --jobs $$(nproc) --quiet

## coverage: which lines and branches of the core schedules reach (C="kv raft" or C=all names the lines that none does)
coverage: build/.deps-build
	$(Q)tests/coverage $(C)

## mutants: plant known bugs one by one in copies of the tree; the simulator must find each (M=E01 for one, M="P W" for groups)
mutants: build/.deps-build
	$(Q)tests/mutants/run $(M)

## explore: everything that can happen to a small cluster within the bounds of tests/explore (E=S1 for some)
explore: programs
	$(Q)tests/explore $(E)

## mutants-explore: the bugs that have bounds to explore, each found with the shortest way there is (M=E03 for one)
mutants-explore: build/.deps-build
	$(Q)tests/mutants/explore $(M)

## mutants-scenarios: the same bugs, and the scenarios that claim to catch them (M=L01 for one)
mutants-scenarios: build/.deps-build
	$(Q)tests/mutants/scenarios $(M)

## mutants-mechanical: a sample of small changes made mechanically all over the core (M="--count 100 --seed 2", or names)
mutants-mechanical: build/.deps-build
	$(Q)tests/mutants/mechanical $(M)

## ctrl: damage every stored block of a cluster of three, one by one and in combinations, and print what came of it
ctrl: $(EXPERIMENTS)
	$(Q)$(OUT)/tests/ctrl

FUZZ_SECONDS ?= 60
## fuzz: every fuzzer for FUZZ_SECONDS (60), starting from tests/corpus/ and from what earlier runs found
fuzz: build/.deps-check
ifneq ($(MODE),fuzz)
	$(Q)$(MAKE) MODE=fuzz CC=$(CLANG) fuzz FUZZ_SECONDS=$(FUZZ_SECONDS)
else
fuzz: $(FUZZERS)
	$(Q)tests/fuzz $(FUZZ_SECONDS) $(FUZZERS)
endif

## clean: remove build/
clean:
	$(Q)rm -rf build

## help: this list
help:
	@awk -F': ' '/^## / { sub(/^## /, ""); printf "  make %-10s %s\n", $$1, substr($$0, length($$1) + 3) }' Makefile
