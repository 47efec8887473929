/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"
#include "semihosting.h"
#include "uart.h"
#include "vectors.h"

#define EXIT_FAULT 4u

extern uint32_t __data_start[], __data_end[], __bss_start[], __bss_end[];
extern const uint32_t __data_load[];

int main(void);

void Reset_Handler(void)
{
    memcpy(__data_start, __data_load, (uintptr_t)__data_end - (uintptr_t)__data_start);
    memset(__bss_start, 0, (uintptr_t)__bss_end - (uintptr_t)__bss_start);
    semihosting_exit((uint32_t)main());
}

void HardFault_Handler(void)
{
    uart_text("demo-plc: fault\n");
    semihosting_exit(EXIT_FAULT);
}
