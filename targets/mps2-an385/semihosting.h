/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

#define SYS_EXIT_EXTENDED            0x20u
#define ADP_STOPPED_APPLICATION_EXIT 0x20026u

/* Ends the emulation with a code; on a board without a debugger it ends here. */
static inline _Noreturn void semihosting_exit(uint32_t code)
{
    const uint32_t block[2] = {ADP_STOPPED_APPLICATION_EXIT, code};
    register uint32_t operation __asm("r0") = SYS_EXIT_EXTENDED;
    register const uint32_t *parameter __asm("r1") = block;

    __asm volatile("bkpt 0xab" : "+r"(operation) : "r"(parameter) : "memory");
    for (;;) {
        __asm volatile("wfi");
    }
}

#endif
