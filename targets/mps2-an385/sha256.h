/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32u

void sha256(const uint8_t *bytes, size_t size, uint8_t digest[SHA256_SIZE]);

#endif
