/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A controller that earns its confirmation: it runs its control loop, checks
 * itself, and only then tells the boot program to keep it.
 */
#include "boot_info.h"
#include "control.h"
#include "selftest.h"
#include "slot.h"
#include "uart.h"

#define CYCLES   400u
#define SETPOINT (ONE * 6 / 10)

/* Static, as a controller keeps its state: they exercise .data and .bss. */
static struct tank tank = {.level = ONE / 10};
static struct control control;

static void control_loop(void)
{
    control_init(&control, SETPOINT);
    for (uint32_t i = 0; i < CYCLES; i++) {
        tank_step(&tank, control_step(&control, tank.level));
    }
    uart_text("demo-plc: level ");
    uart_decimal(((uint32_t)tank.level * 100 + ONE / 2) / ONE);
    uart_text(" % after ");
    uart_decimal(control.cycles);
    uart_text(" cycles\n");
}

static int fail(const char *check)
{
    uart_text("demo-plc: self-test failed: ");
    uart_text(check);
    uart_text("\n");
    return 1;
}

static int confirm(uint32_t slot)
{
    const char *how = "already confirmed";

    if (!slot_flag(slot, IMAGE_OK)) {
        slot_set_flag(slot, IMAGE_OK);
        if (!slot_flag(slot, IMAGE_OK)) {
            return fail("image-ok");
        }
        how = "confirmed";
    }
    uart_text("demo-plc: ");
    uart_text(how);
    uart_text(" slot=");
    uart_decimal(slot);
    uart_text("\n");
    return 0;
}

int main(void)
{
    const struct boot_info *info = (const struct boot_info *)BOOT_INFO;
    const struct selftest test = {
        .control = &control,
        .tank = &tank,
        .expected_cycles = CYCLES,
        .info = info,
    };

    uart_init();
    uart_text("demo-plc " VERSION " build " BUILD_ID "\n");
    control_loop();

    const char *failed = selftest_run(&test);
    if (failed != NULL) {
        return fail(failed);
    }
    uart_text("demo-plc: self-test passed\n");
    if (confirm(info->slot) != 0) {
        return 1;
    }
    uart_text("demo-plc: exit\n");
    return 0;
}
