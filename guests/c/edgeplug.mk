# How a plugin in C is built. A plugin's Makefile says, before it includes this file:
#
#   NAME      the plugin's name: NAME.wasm is made
#   SOURCES   its own .c files
#   EXPORTS   the interfaces it has, out of: sensor commands twin_events connection_events firmware transform lifecycle
#
# and may set CLANG, CFLAGS, LDFLAGS, EDGEPLUG and OUT, the directory to build in. It gives PLUGIN, the file that is
# made. `make DEBUG=1` keeps files and lines for the backtrace of a trap.

EDGEPLUG_SDK := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
EDGEPLUG ?= edgeplug
CLANG ?= $(firstword $(foreach name,clang-22 clang-19 clang,$(if $(shell command -v $(name)),$(name))) clang-22)
ifeq ($(DEBUG),1)
CFLAGS ?= -g -O1 -Wall -Wextra
LDFLAGS ?=
endif
CFLAGS ?= -Os -flto -Wall -Wextra
# Function names stay for the backtrace of a trap; `--strip-all` makes it smaller.
LDFLAGS ?= -Wl,--strip-debug
BUILD ?= $(if $(OUT),$(OUT)/)build
PLUGIN := $(if $(OUT),$(OUT)/)$(NAME).wasm

EDGEPLUG_SOURCES = $(wildcard $(EDGEPLUG_SDK)/src/*.c $(EDGEPLUG_SDK)/generated/*.c) \
    $(EXPORTS:%=$(EDGEPLUG_SDK)/exports/%.c)
EDGEPLUG_HEADERS = $(wildcard *.h $(EDGEPLUG_SDK)/*.h $(EDGEPLUG_SDK)/src/*.h $(EDGEPLUG_SDK)/generated/*)
# Clang would run whatever wasm-opt lies on PATH.
EDGEPLUG_NO_OPT = $(if $(shell $(CLANG) --help 2>/dev/null | grep -e --no-wasm-opt),--no-wasm-opt)

$(PLUGIN): $(BUILD)/core.wasm
	$(EDGEPLUG) plugin build $< -o $@

$(BUILD)/core.wasm: $(SOURCES) $(EDGEPLUG_SOURCES) $(EDGEPLUG_HEADERS) $(EDGEPLUG_SDK)/edgeplug.mk $(BUILD)/flags
	@command -v $(CLANG) >/dev/null || { \
	    echo "$(CLANG) is missing; on Debian:" \
	        "apt-get install clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32" >&2; exit 1; }
	@mkdir -p $(BUILD)
	$(CLANG) --target=wasm32-wasi -Wno-deprecated -mexec-model=reactor $(EDGEPLUG_NO_OPT) -std=c11 -I$(EDGEPLUG_SDK) \
	    $(CFLAGS) $(SOURCES) $(EDGEPLUG_SOURCES) $(LDFLAGS) -o $@

# Newer than the plugin when it was built with other flags.
$(BUILD)/flags: export EDGEPLUG_FLAGS = $(CLANG) $(CFLAGS) $(LDFLAGS)
$(BUILD)/flags: edgeplug-always
	@mkdir -p $(BUILD)
	@printf '%s\n' "$$EDGEPLUG_FLAGS" | cmp -s - $@ || printf '%s\n' "$$EDGEPLUG_FLAGS" >$@

.PHONY: edgeplug-always
edgeplug-always:
