"""Numbers and texts as few bytes: seven bits of a number to a byte, the lowest first, the last below 128."""

from typing import Final

_MORE: Final = 0x80
_BITS: Final = 7
_MASK: Final = 0x7F
NUMBER_BYTES_MAX: Final = 2048
"""A number has a bit for each attribute at most. What is longer is none, and would take long to read."""


class Packer:
    """Puts values one after the other; they are taken in the same order."""

    def __init__(self) -> None:
        self._out = bytearray()

    def number(self, number: int) -> None:
        """Put a number that is 0 or more, however large."""
        out = self._out
        while number > _MASK:
            out.append(number & _MASK | _MORE)
            number >>= _BITS
        out.append(number)

    def signed(self, number: int) -> None:
        """Put any number; those near 0 take the fewest bytes."""
        self.number(number * 2 if number >= 0 else ~number * 2 + 1)

    def raw(self, data: bytes) -> None:
        """Put bytes of a number that whoever takes them knows."""
        self._out += data

    def text(self, text: str) -> None:
        """Put a text. Raises UnicodeEncodeError for what is no Unicode."""
        data = text.encode()
        self.number(len(data))
        self._out += data

    def packed(self) -> bytes:
        """Return all that was put."""
        return bytes(self._out)


class Unpacker:
    """Takes what a `Packer` put. Raises IndexError or ValueError for what none has."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = start

    @property
    def is_empty(self) -> bool:
        """Whether everything has been taken."""
        return self._at >= len(self._data)

    def number(self) -> int:
        """Take a number that is 0 or more."""
        data, at = self._data, self._at
        byte = data[at]
        number, shift = byte & _MASK, _BITS
        while byte & _MORE:
            at += 1
            if shift > _BITS * NUMBER_BYTES_MAX:
                raise ValueError("a number without an end")
            byte = data[at]
            number |= (byte & _MASK) << shift
            shift += _BITS
        self._at = at + 1
        return number

    def signed(self) -> int:
        """Take any number."""
        number = self.number()
        return ~(number >> 1) if number & 1 else number >> 1

    def raw(self, size: int) -> bytes:
        """Take so many bytes."""
        start = self._at
        self._at = end = start + size
        if end > len(self._data):
            raise IndexError(end)
        return self._data[start:end]

    def text(self) -> str:
        """Take a text."""
        return self.raw(self.number()).decode()
