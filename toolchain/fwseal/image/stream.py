"""Bytes in memory as the file object that pyelftools asks for; no file is opened."""

from __future__ import annotations


class ByteStream:
    """A seekable, readable view of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Answer up to `size` bytes from the position, all that is left for -1."""
        end = len(self._data) if size < 0 else self._position + size
        piece = self._data[self._position : end]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position; answer it."""
        base = (0, self._position, len(self._data))[whence]
        self._position = max(0, base + offset)
        return self._position

    def seekable(self) -> bool:
        """Answer True, which zipfile asks."""
        return True

    def tell(self) -> int:
        """Answer the position."""
        return self._position
