/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

__attribute__((section(".vectors"), used)) const union vector vectors[VECTOR_COUNT] = {
    {.stack_top = __stack_top},
    {.handler = Reset_Handler},
    {.handler = HardFault_Handler}, /* NMI */
    {.handler = HardFault_Handler},
};
