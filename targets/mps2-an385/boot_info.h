/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_INFO_H
#define BOOT_INFO_H

#include "layout.h"
#include "sha256.h"

#define BOOT_INFO_MAGIC   0x4f464e49u /* "INFO" */
#define BOOT_INFO_VERSION 1u

/* What the boot program tells the application it starts; it stands at BOOT_INFO. */
struct boot_info {
    uint32_t magic;
    uint32_t version;
    uint32_t slot;
    uint32_t slot_origin;
    uint8_t digest[SHA256_SIZE]; /* of header, image and protected TLVs, as hashed in RAM */
};

#endif
