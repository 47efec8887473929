/* SPDX-License-Identifier: Apache-2.0 */
#include "selftest.h"

#include <stdbool.h>

#include "layout.h"
#include "slot.h"
#include "vectors.h"

#define SETTLED (ONE / 100)

#define SCB_VTOR (*(const volatile uint32_t *)0xe000ed08u)

extern const uint32_t __image_start[];

static bool ran_all_cycles(const struct selftest *test)
{
    return test->control->cycles == test->expected_cycles;
}

static bool output_in_range(const struct selftest *test)
{
    return test->control->lowest_output >= OUTPUT_MIN &&
           test->control->highest_output <= OUTPUT_MAX;
}

static bool level_settled(const struct selftest *test)
{
    int32_t error = test->tank->level - test->control->setpoint;

    return -SETTLED <= error && error <= SETTLED;
}

static bool vectors_in_place(const struct selftest *test)
{
    /* volatile: what stands in memory, not what the compiler knows of its own table */
    const volatile uint32_t *table = (const volatile uint32_t *)SCB_VTOR;

    (void)test;
    return (uint32_t)table == (uint32_t)vectors && table[0] == (uint32_t)__stack_top &&
           table[1] == (uint32_t)Reset_Handler;
}

static bool image_in_place(const struct selftest *test)
{
    (void)test;
    return (uint32_t)__image_start == LOAD_ADDRESS + HEADER_SIZE &&
           (uint32_t)vectors == (uint32_t)__image_start;
}

static bool boot_info_sane(const struct selftest *test)
{
    return test->info->magic == BOOT_INFO_MAGIC && test->info->version == BOOT_INFO_VERSION &&
           test->info->slot < SLOT_COUNT &&
           test->info->slot_origin == slot_origin(test->info->slot) &&
           slot_has_trailer(test->info->slot);
}

const char *selftest_run(const struct selftest *test)
{
    static const struct {
        const char *name;
        bool (*passes)(const struct selftest *test);
    } checks[] = {
        {"cycles", ran_all_cycles},        {"output-range", output_in_range},
        {"level-settled", level_settled},  {"vector-table", vectors_in_place},
        {"image-base", image_in_place},    {"boot-info", boot_info_sane},
    };

    for (uint32_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!checks[i].passes(test)) {
            return checks[i].name;
        }
    }
    return NULL;
}
