/* SPDX-License-Identifier: Apache-2.0 */
/* What compilers call in a freestanding program; built so that its loops stay loops. */
#include "mem.h"

#include <stdint.h>

#define WORD sizeof(uint32_t)

typedef uint32_t __attribute__((may_alias)) word_t;

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if (((uintptr_t)t | (uintptr_t)f) % WORD == 0) {
        for (; size >= WORD; size -= WORD, t += WORD, f += WORD) {
            *(word_t *)t = *(const word_t *)f;
        }
    }
    while (size-- != 0) {
        *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if ((uintptr_t)t <= (uintptr_t)f) {
        return memcpy(to, from, size);
    }
    while (size-- != 0) {
        t[size] = f[size];
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    uint8_t *t = to;

    while (size-- != 0) {
        *t++ = (uint8_t)value;
    }
    return to;
}

/* Names of the Arm run-time ABI; its memset takes the size before the value. */
#define ALIAS(of) __attribute__((alias(#of)))

void __aeabi_memcpy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
}

void __aeabi_memset(void *to, size_t size, int value)
{
    memset(to, value, size);
}

void __aeabi_memclr(void *to, size_t size)
{
    memset(to, 0, size);
}

void __aeabi_memcpy4(void *to, const void *from, size_t size) ALIAS(__aeabi_memcpy);
void __aeabi_memcpy8(void *to, const void *from, size_t size) ALIAS(__aeabi_memcpy);
void __aeabi_memset4(void *to, size_t size, int value) ALIAS(__aeabi_memset);
void __aeabi_memset8(void *to, size_t size, int value) ALIAS(__aeabi_memset);
void __aeabi_memclr4(void *to, size_t size) ALIAS(__aeabi_memclr);
void __aeabi_memclr8(void *to, size_t size) ALIAS(__aeabi_memclr);
