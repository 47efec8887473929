/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdint.h>

struct image_version {
    uint8_t major;
    uint8_t minor;
    uint16_t revision;
    uint32_t build;
};

struct image {
    struct image_version version;
    uint32_t hashed_size;   /* header, image and protected TLVs */
    uint32_t size;          /* all TLVs as well */
    uint32_t digest_offset; /* where the image says what it hashes to */
};

enum image_status {
    IMAGE_GOOD,
    IMAGE_ABSENT,    /* nothing this boot program would load */
    IMAGE_MALFORMED, /* an image, but its sizes or TLVs lie */
};

/* Reads no byte past limit; trusts none before it. */
enum image_status image_parse(const uint8_t *bytes, uint32_t limit, struct image *image);

int image_version_compare(const struct image_version *a, const struct image_version *b);

#endif
