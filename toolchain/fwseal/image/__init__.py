"""Firmware images: ELF, Intel HEX, MCUboot and the memory they must fit. Pure."""
