/* SPDX-License-Identifier: Apache-2.0 */
/* A program that looks a feature up in the generated table, and halts. */
#include <mbedtls/version.h>

void start(void);

volatile int verdict;

void start(void)
{
    char version[18];
    mbedtls_version_get_string_full(version);
    verdict = mbedtls_version_check_feature("MBEDTLS_VERSION_FEATURES") + version[0];
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    [0] = (void *)0x20400000, /* the end of RAM */
    [1] = (void *)start,      [2] = (void *)start, [3] = (void *)start,
};
