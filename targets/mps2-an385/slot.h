/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLOT_H
#define SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/* The flags of MCUboot's image trailer that RAM load uses. */
enum trailer_flag {
    IMAGE_OK = TRAILER_IMAGE_OK_OFFSET,
    COPY_DONE = TRAILER_COPY_DONE_OFFSET,
};

uint32_t slot_origin(uint32_t slot);
const uint8_t *slot_bytes(uint32_t slot);
bool slot_has_trailer(uint32_t slot);
bool slot_flag(uint32_t slot, enum trailer_flag flag);
void slot_set_flag(uint32_t slot, enum trailer_flag flag);
void slot_erase(uint32_t slot);

#endif
