"""Which key may sign what, where it lives, and the signature itself."""
