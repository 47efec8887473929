"""Firmware source to an update a device accepts, with every step proved."""

__version__ = "0.1.0.dev0"
