/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#define GAIN             4
#define INTEGRAL_CYCLES  32
#define TANK_TIME_CYCLES 16

/* The fault that a trial has to find: a limit that lets the valve leave its range. */
#if SELFTEST_FAULT
#define OUTPUT_LIMIT (2 * OUTPUT_MAX)
#else
#define OUTPUT_LIMIT OUTPUT_MAX
#endif

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

void control_init(struct control *control, int32_t setpoint)
{
    *control = (struct control){
        .setpoint = setpoint,
        .lowest_output = INT32_MAX,
        .highest_output = INT32_MIN,
    };
}

int32_t control_step(struct control *control, int32_t level)
{
    int32_t error = control->setpoint - level;
    int32_t wanted = GAIN * error + control->integral;
    int32_t output = clamp(wanted, OUTPUT_MIN, OUTPUT_LIMIT);

    /* A saturated valve must not wind the integral up. */
    if (output == wanted) {
        control->integral += error * GAIN / INTEGRAL_CYCLES;
    }
    control->cycles++;
    if (output < control->lowest_output) {
        control->lowest_output = output;
    }
    if (output > control->highest_output) {
        control->highest_output = output;
    }
    return output;
}

void tank_step(struct tank *tank, int32_t valve)
{
    tank->level += (valve - tank->level) / TANK_TIME_CYCLES;
}
