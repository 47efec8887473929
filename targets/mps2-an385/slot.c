/* SPDX-License-Identifier: Apache-2.0 */
#include "slot.h"

#define FLAG_SET    0x01u
#define ERASED_BYTE 0xffu
#define ERASED_WORD 0xffffffffu

static const uint32_t origins[SLOT_COUNT] = SLOT_ORIGINS;

uint32_t slot_origin(uint32_t slot)
{
    return origins[slot];
}

/* volatile: what is written must reach flash before power can fail, what is read must be there */
static volatile uint8_t *flash(uint32_t slot, uint32_t offset)
{
    return (volatile uint8_t *)(origins[slot] + offset);
}

const uint8_t *slot_bytes(uint32_t slot)
{
    return (const uint8_t *)origins[slot];
}

bool slot_has_trailer(uint32_t slot)
{
    static const uint8_t magic[TRAILER_MAGIC_SIZE] = TRAILER_MAGIC;
    const volatile uint8_t *found = flash(slot, TRAILER_MAGIC_OFFSET);

    for (uint32_t i = 0; i < TRAILER_MAGIC_SIZE; i++) {
        if (found[i] != magic[i]) {
            return false;
        }
    }
    return true;
}

bool slot_flag(uint32_t slot, enum trailer_flag flag)
{
    return *flash(slot, flag) == FLAG_SET;
}

void slot_set_flag(uint32_t slot, enum trailer_flag flag)
{
    volatile uint8_t *unit = flash(slot, flag);

    unit[0] = FLAG_SET;
    for (uint32_t i = 1; i < TRAILER_ALIGN; i++) {
        unit[i] = ERASED_BYTE;
    }
}

void slot_erase(uint32_t slot)
{
    volatile uint32_t *word = (volatile uint32_t *)origins[slot];

    /* Upward, so that the header goes first: half an erased slot holds no image. */
    for (uint32_t i = 0; i < SLOT_SIZE / sizeof *word; i++) {
        word[i] = ERASED_WORD;
    }
}
