/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>

union vector {
    uint32_t *stack_top;
    void (*handler)(void);
};

/* As much of the table as is used: interrupts stay off, other faults escalate to HardFault. */
#define VECTOR_COUNT 4

extern const union vector vectors[VECTOR_COUNT];

extern uint32_t __stack_top[];

void Reset_Handler(void);
void HardFault_Handler(void);

#endif
