/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "boot_info.h"
#include "control.h"

/* What the control loop left behind, and what started us. */
struct selftest {
    const struct control *control;
    const struct tank *tank;
    uint32_t expected_cycles;
    const struct boot_info *info;
};

/* The check that failed, or NULL. */
const char *selftest_run(const struct selftest *test);

#endif
