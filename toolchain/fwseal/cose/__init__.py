"""COSE (RFC 9052): the signatures and keys a device profile may name. Pure."""
