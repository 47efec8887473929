/* SPDX-License-Identifier: Apache-2.0 */
/* A program that checks a signature of P-256, and halts. */
#include <bearssl.h>

void start(void);
void run(void);

static unsigned char digest[br_sha256_SIZE];
static unsigned char point[65] = {4};
volatile uint32_t verdict;

/* The stack ends where the machine's RAM does, by layout.toml. */
__attribute__((naked, section(".start"))) void start(void)
{
    __asm__("li sp, 0x80200000\n\tj run");
}

void run(void)
{
    static const unsigned char signature[64];
    br_sha256_context hash;
    br_ec_public_key key = {.curve = BR_EC_secp256r1, .q = point, .qlen = sizeof point};

    br_sha256_init(&hash);
    br_sha256_update(&hash, __FILE__, sizeof __FILE__ - 1);
    br_sha256_out(&hash, digest);
    verdict = br_ecdsa_i31_vrfy_raw(&br_ec_p256_m31, digest, sizeof digest, &key, signature,
                                    sizeof signature);
    for (;;) {
    }
}
