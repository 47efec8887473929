/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UART_H
#define UART_H

#include <stddef.h>
#include <stdint.h>

void uart_init(void);
void uart_text(const char *text);
void uart_decimal(uint32_t number);
void uart_hex(const uint8_t *bytes, size_t size);

#endif
