"""COSE (RFC 9052): the messages, keys and certificates a device profile may name. Pure."""
