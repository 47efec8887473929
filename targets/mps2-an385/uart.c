/* SPDX-License-Identifier: Apache-2.0 */
#include "uart.h"

/* CMSDK APB UART 0 */
struct cmsdk_uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t ctrl;
    volatile uint32_t intstatus;
    volatile uint32_t bauddiv;
};

#define UART0 ((struct cmsdk_uart *)0x40004000u)

#define STATE_TX_FULL  (1u << 0)
#define CTRL_TX_ENABLE (1u << 0)

#define CLOCK_HZ 25000000u
#define BAUD     115200u

void uart_init(void)
{
    UART0->bauddiv = CLOCK_HZ / BAUD;
    UART0->ctrl = CTRL_TX_ENABLE;
}

static void put(char character)
{
    while (UART0->state & STATE_TX_FULL) {
    }
    UART0->data = (uint8_t)character;
}

void uart_text(const char *text)
{
    while (*text != '\0') {
        put(*text++);
    }
}

void uart_decimal(uint32_t number)
{
    char digits[10];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    while (count != 0) {
        put(digits[--count]);
    }
}

void uart_hex(const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        put(digits[bytes[i] >> 4]);
        put(digits[bytes[i] & 0xf]);
    }
}
