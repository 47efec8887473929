# SPDX-License-Identifier: Apache-2.0
# How programs of this target are compiled, whichever compiler CC is. The
# including Makefile sets TARGET (this folder) and ROOT (the tree), relative.

OUT ?= out

# Warnings and code as a reviewer wants them, and no path of this machine in
# the debug information: the same source gives the same bytes anywhere.
CFLAGS := -std=c11 -Os -g -ffreestanding -ffunction-sections -fdata-sections \
	-Wall -Wextra -Werror -Werror=date-time -I$(TARGET) \
	-ffile-prefix-map=$(abspath $(ROOT))=. -ffile-prefix-map=$(abspath $(OUT))=out

# No library at all: what compilers call is in mem.c.
LDFLAGS := -nostdlib -static -Wl,--gc-sections -Wl,--build-id=none -Wl,-e,Reset_Handler

ifneq ($(filter %zig zig,$(firstword $(CC))),)
CPU := -target thumb-freestanding-eabi -mcpu=cortex_m3
CFLAGS += -fno-sanitize=undefined -ffile-prefix-map=$(patsubst %/,%,$(dir $(firstword $(CC))))=zig
else
CPU := -mcpu=cortex-m3 -mthumb
CFLAGS += -fno-tree-loop-distribute-patterns
endif

$(OUT)/%.ld: $(TARGET)/%.ld $(TARGET)/layout.h | $(OUT)
	$(CC) $(CPU) -E -P -x c -DLINKER_SCRIPT $< -o $@

$(OUT):
	mkdir -p $@
