/* SPDX-License-Identifier: Apache-2.0 */
/* An MCUboot image, read byte by byte: its sizes put the TLVs at any alignment. */
#include "image.h"

#include <stdbool.h>

#include "layout.h"
#include "sha256.h"

#define IMAGE_MAGIC         0x96f3b83du
#define IMAGE_FLAG_RAM_LOAD 0x20u

#define PROTECTED_TLV_MAGIC   0x6908u
#define UNPROTECTED_TLV_MAGIC 0x6907u
#define TLV_HEADER_SIZE       4u /* of an area's info and of a TLV alike */
#define TLV_SHA256            0x10u

enum header_offset {
    MAGIC = 0,
    LOAD_ADDR = 4,
    HDR_SIZE = 8,
    PROTECT_TLV_SIZE = 10,
    IMG_SIZE = 12,
    FLAGS = 16,
    VERSION = 20,
};

struct digest_tlvs {
    uint32_t count;
    uint32_t offset;
};

static uint16_t le16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t le32(const uint8_t *bytes)
{
    return le16(bytes) | (uint32_t)le16(bytes + 2) << 16;
}

/* Moves *at behind the TLV area that starts there, if it is whole and lies before limit. */
static bool skip_tlvs(const uint8_t *bytes, uint32_t limit, uint16_t magic, uint32_t *at,
                      struct digest_tlvs *digests)
{
    if (limit - *at < TLV_HEADER_SIZE || le16(bytes + *at) != magic) {
        return false;
    }

    uint32_t area = le16(bytes + *at + 2);
    if (area < TLV_HEADER_SIZE || area > limit - *at) {
        return false;
    }

    uint32_t end = *at + area;
    *at += TLV_HEADER_SIZE;
    while (*at != end) {
        if (end - *at < TLV_HEADER_SIZE) {
            return false;
        }
        uint16_t type = le16(bytes + *at);
        uint16_t length = le16(bytes + *at + 2);
        *at += TLV_HEADER_SIZE;
        if (length > end - *at) {
            return false;
        }
        if (type == TLV_SHA256) {
            if (length != SHA256_SIZE) {
                return false;
            }
            digests->count++;
            digests->offset = *at;
        }
        *at += length;
    }
    return true;
}

enum image_status image_parse(const uint8_t *bytes, uint32_t limit, struct image *image)
{
    if (limit < HEADER_SIZE || le32(bytes + MAGIC) != IMAGE_MAGIC) {
        return IMAGE_ABSENT;
    }
    /* Any other flag asks for what this boot program cannot do, such as decryption. */
    if (le32(bytes + LOAD_ADDR) != LOAD_ADDRESS || le16(bytes + HDR_SIZE) != HEADER_SIZE ||
        le32(bytes + FLAGS) != IMAGE_FLAG_RAM_LOAD) {
        return IMAGE_ABSENT;
    }

    uint32_t img_size = le32(bytes + IMG_SIZE);
    uint16_t protect_tlv_size = le16(bytes + PROTECT_TLV_SIZE);
    if (img_size < 2 * sizeof(uint32_t) || img_size > limit - HEADER_SIZE) {
        return IMAGE_MALFORMED; /* a stack pointer and a reset vector at least */
    }

    uint32_t at = HEADER_SIZE + img_size;
    uint32_t protected_end = at + protect_tlv_size;
    struct digest_tlvs digests = {0};
    if (protect_tlv_size != 0 &&
        (!skip_tlvs(bytes, limit, PROTECTED_TLV_MAGIC, &at, &digests) || at != protected_end)) {
        return IMAGE_MALFORMED;
    }
    if (!skip_tlvs(bytes, limit, UNPROTECTED_TLV_MAGIC, &at, &digests)) {
        return IMAGE_MALFORMED;
    }
    /* A digest cannot cover itself: the one there is stands behind what it covers. */
    if (digests.count != 1 || digests.offset < protected_end) {
        return IMAGE_MALFORMED;
    }

    image->version = (struct image_version){
        .major = bytes[VERSION],
        .minor = bytes[VERSION + 1],
        .revision = le16(bytes + VERSION + 2),
        .build = le32(bytes + VERSION + 4),
    };
    image->hashed_size = protected_end;
    image->size = at;
    image->digest_offset = digests.offset;
    return IMAGE_GOOD;
}

int image_version_compare(const struct image_version *a, const struct image_version *b)
{
    const uint32_t left[] = {a->major, a->minor, a->revision, a->build};
    const uint32_t right[] = {b->major, b->minor, b->revision, b->build};

    for (unsigned i = 0; i < sizeof left / sizeof left[0]; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}
