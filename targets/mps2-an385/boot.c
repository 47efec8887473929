/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MCUboot's RAM load with revert: nothing starts but the newest image whose
 * digest was computed where it runs, and one that started once without being
 * confirmed does not start again. Whatever is refused is erased.
 *
 * Not yet checked: the signature in the TLVs. The digest shows damage, not origin.
 */
#include <stdbool.h>

#include "boot_info.h"
#include "image.h"
#include "layout.h"
#include "mem.h"
#include "semihosting.h"
#include "sha256.h"
#include "slot.h"
#include "uart.h"
#include "vectors.h"

#define NO_SLOT SLOT_COUNT

#define EXIT_NO_IMAGE 3u
#define EXIT_FAULT    4u

#define SCB_VTOR (*(volatile uint32_t *)0xe000ed08u)

_Static_assert(SLOT_SIZE % sizeof(uint32_t) == 0, "a slot is erased in words");
_Static_assert(LOAD_ADDRESS % sizeof(uint32_t) == 0, "an image is copied in words");
_Static_assert((LOAD_ADDRESS + HEADER_SIZE) % 0x100 == 0, "VTOR: 16 + 32 vectors, rounded up");
_Static_assert(LOAD_ADDRESS + IMAGE_MAX_SIZE <= APPLICATION_RAM_ORIGIN, "images and data");
_Static_assert(APPLICATION_RAM_ORIGIN + APPLICATION_RAM_SIZE <= BOOT_RAM_ORIGIN, "programs");
_Static_assert(BOOT_RAM_ORIGIN + BOOT_RAM_SIZE <= BOOT_INFO, "stack and boot info");
_Static_assert(IMAGE_MAX_SIZE <= COPY_DONE, "images and trailers");

static _Noreturn void halt(const char *why, uint32_t code)
{
    uart_text("boot: halt ");
    uart_text(why);
    uart_text("\n");
    semihosting_exit(code);
}

static void report_erased(uint32_t slot, const char *reason)
{
    uart_text("boot: erased slot=");
    uart_decimal(slot);
    uart_text(" reason=");
    uart_text(reason);
    uart_text("\n");
}

static void report_start(uint32_t slot, const struct image_version *version,
                         const uint8_t digest[SHA256_SIZE])
{
    uart_text("boot: start slot=");
    uart_decimal(slot);
    uart_text(" version=");
    uart_decimal(version->major);
    uart_text(".");
    uart_decimal(version->minor);
    uart_text(".");
    uart_decimal(version->revision);
    uart_text(".");
    uart_decimal(version->build);
    uart_text(" digest=");
    uart_hex(digest, SHA256_SIZE);
    uart_text(slot_flag(slot, IMAGE_OK) ? " state=confirmed\n" : " state=trial\n");
}

static void erase(uint32_t slot, const char *reason)
{
    slot_erase(slot);
    report_erased(slot, reason);
}

static bool is_confirmed(uint32_t slot)
{
    return slot_has_trailer(slot) && slot_flag(slot, IMAGE_OK);
}

static bool is_preferred(uint32_t slot, const struct image *image, uint32_t other,
                         const struct image *other_image)
{
    int order = image_version_compare(&image->version, &other_image->version);

    return order > 0 || (order == 0 && is_confirmed(slot) && !is_confirmed(other));
}

/* The slot to boot from and its image as flash tells it; slots whose image lies are erased. */
static uint32_t newest_slot(struct image *newest)
{
    uint32_t chosen = NO_SLOT;

    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        struct image image;

        switch (image_parse(slot_bytes(slot), IMAGE_MAX_SIZE, &image)) {
        case IMAGE_ABSENT:
            break;
        case IMAGE_MALFORMED:
            erase(slot, "malformed");
            break;
        case IMAGE_GOOD:
            if (chosen == NO_SLOT || is_preferred(slot, &image, chosen, newest)) {
                chosen = slot;
                *newest = image;
            }
            break;
        }
    }
    return chosen;
}

static bool same_digest(const uint8_t *a, const uint8_t *b)
{
    uint32_t difference = 0;

    for (uint32_t i = 0; i < SHA256_SIZE; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}

static _Noreturn void jump(const uint32_t *table)
{
    uint32_t stack = table[0];
    uint32_t entry = table[1];

    SCB_VTOR = (uint32_t)table;
    __asm volatile("dsb\n\t"
                   "isb\n\t"
                   "msr msp, %0\n\t"
                   "bx %1"
                   :
                   : "r"(stack), "r"(entry)
                   : "memory");
    __builtin_unreachable();
}

/* Returns only to say why the slot may not start. */
static const char *start(uint32_t slot, const struct image *in_flash)
{
    uint8_t *const ram = (uint8_t *)LOAD_ADDRESS;
    struct boot_info *const info = (struct boot_info *)BOOT_INFO;
    struct image image;
    uint8_t digest[SHA256_SIZE];

    if (!slot_has_trailer(slot)) {
        return "trailer-invalid";
    }
    if (slot_flag(slot, COPY_DONE) && !slot_flag(slot, IMAGE_OK)) {
        return "not-confirmed";
    }
    /* Before anything of the image is used: power lost from here on counts as its one try. */
    if (!slot_flag(slot, COPY_DONE)) {
        slot_set_flag(slot, COPY_DONE);
    }

    /* From here on flash is not believed again, not even about sizes. */
    memcpy(ram, slot_bytes(slot), in_flash->size);
    if (image_parse(ram, in_flash->size, &image) != IMAGE_GOOD) {
        return "malformed";
    }
    sha256(ram, image.hashed_size, digest);
    if (!same_digest(digest, ram + image.digest_offset)) {
        return "digest-mismatch";
    }

    *info = (struct boot_info){
        .magic = BOOT_INFO_MAGIC,
        .version = BOOT_INFO_VERSION,
        .slot = slot,
        .slot_origin = slot_origin(slot),
    };
    memcpy(info->digest, digest, sizeof digest);
    report_start(slot, &image.version, digest);
    jump((const uint32_t *)(ram + HEADER_SIZE));
}

void Reset_Handler(void)
{
    struct image image;
    uint32_t slot;

    uart_init();
    uart_text("boot: mps2-an385 ram-load\n");

    /* Every refusal empties a slot, so that this ends after at most SLOT_COUNT of them. */
    for (uint32_t refusals = 0; refusals < SLOT_COUNT; refusals++) {
        slot = newest_slot(&image);
        if (slot == NO_SLOT) {
            break;
        }
        erase(slot, start(slot, &image));
    }
    halt("no-image", EXIT_NO_IMAGE);
}

void HardFault_Handler(void)
{
    halt("fault", EXIT_FAULT);
}
