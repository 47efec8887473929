/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdint.h>

/* Fixed point with 16 fraction bits: 1.0 is a full tank, a valve fully open. */
#define ONE 65536

#define OUTPUT_MIN 0
#define OUTPUT_MAX ONE

struct control {
    int32_t setpoint;
    int32_t integral;
    uint32_t cycles;
    int32_t lowest_output;
    int32_t highest_output;
};

struct tank {
    int32_t level;
};

void control_init(struct control *control, int32_t setpoint);

/* One cycle: measured level in, valve position out. */
int32_t control_step(struct control *control, int32_t level);

void tank_step(struct tank *tank, int32_t valve);

#endif
