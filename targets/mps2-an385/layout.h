/* SPDX-License-Identifier: Apache-2.0 */
/* generated from layout.toml; do not edit */
#ifndef LAYOUT_H
#define LAYOUT_H

/* linker scripts know no suffixes */
#ifdef LINKER_SCRIPT
#define U(number) number
#else
#define U(number) number##u
#endif

#define CODE_ORIGIN              U(0x00000000)
#define CODE_SIZE                U(0x00040000)
#define RAM_ORIGIN               U(0x20000000)
#define RAM_SIZE                 U(0x00400000)
#define FLASH_ORIGIN             U(0x21000000)
#define FLASH_SIZE               U(0x01000000)
#define APPLICATION_RAM_ORIGIN   U(0x20080000)
#define APPLICATION_RAM_SIZE     U(0x00080000)
#define BOOT_RAM_ORIGIN          U(0x203e0000)
#define BOOT_RAM_SIZE            U(0x0001f000)
#define BOOT_INFO                U(0x203ff000)

#define LOAD_ADDRESS             U(0x20000000)
#define HEADER_SIZE              U(0x00000200)
#define IMAGE_MAX_SIZE           U(0x0007f000)

#define SLOT_0_ORIGIN            U(0x21000000)
#define SLOT_1_ORIGIN            U(0x21080000)

#define SLOT_COUNT               U(0x00000002)
#define SLOT_SIZE                U(0x00080000)

#define TRAILER_ALIGN            U(0x00000008)
#define TRAILER_COPY_DONE_OFFSET U(0x0007ffe0)
#define TRAILER_IMAGE_OK_OFFSET  U(0x0007ffe8)
#define TRAILER_MAGIC_OFFSET     U(0x0007fff0)
#define TRAILER_MAGIC_SIZE       U(0x00000010)

#define SLOT_ORIGINS {SLOT_0_ORIGIN, SLOT_1_ORIGIN}
#define TRAILER_MAGIC {0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f, 0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80}

#endif
