"""The wire format of Protocol Buffers, as far as ONNX files need it: without this a robot would need the package onnx.

A message is a sequence of fields, in the file's order; a field that nobody asks for stays what it was. Reference:
protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Kinds of values: an integer; eight bytes; bytes, text or a message; four bytes."""


class ProtobufError(ValueError):
    """Bytes that are no message, are cut off, or hold another kind of value than expected."""


class Field(NamedTuple):
    """One field of a message.

    Args:
        number: Which one it is.
        kind: One of the kinds above.
        value: An int if the kind is `VARINT`, else a view of bytes.
    """

    number: int
    kind: int
    value: int | bytes | memoryview

    @property
    def data(self) -> bytes | memoryview:
        """Its bytes: text, a message, packed numbers or a float."""
        if isinstance(self.value, int):
            raise ProtobufError(f"field {self.number} is an integer, expected bytes")
        return self.value

    @property
    def integer(self) -> int:
        """Its value as an int64."""
        if not isinstance(self.value, int):
            raise ProtobufError(f"field {self.number} is bytes, expected an integer")
        return _signed(self.value)

    @property
    def text(self) -> str:
        """Its value as text."""
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError as error:
            raise ProtobufError(f"field {self.number} is no text: {error}") from error

    @property
    def integers(self) -> list[int]:
        """One int64, or a packed list of them."""
        if isinstance(self.value, int):
            return [self.integer]
        view, position, found = memoryview(self.value), 0, []
        while position < len(view):
            item, position = _read_varint(view, position)
            found.append(_signed(item))
        return found

    @property
    def floats(self) -> list[float]:
        """One float32, or a packed list of them."""
        if len(self.data) % 4:
            raise ProtobufError(f"field {self.number} has {len(self.data)} bytes, which are no float32")
        return list(struct.unpack(f"<{len(self.data) // 4}f", self.data))


def read(data: bytes | memoryview) -> Iterator[Field]:
    """The fields of a message; bytes are views of the data, nothing is copied.

    Raises:
        ProtobufError: These are not the bytes of a message.
    """
    view, position = memoryview(data), 0
    while position < len(view):
        tag, position = _read_varint(view, position)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ProtobufError("a field has the number 0")
        if kind == VARINT:
            value, position = _read_varint(view, position)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, position = _read_varint(view, position)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ProtobufError(f"field {number} has the unknown kind {kind}")
        end = position + size
        if end > len(view):
            raise ProtobufError(f"field {number} of {size} bytes goes {end - len(view)} bytes beyond the end")
        yield Field(number, kind, view[position:end])
        position = end


def write(fields: Iterable[Field]) -> bytes:
    """The bytes of a message."""
    parts: list[bytes | memoryview] = []
    for number, kind, value in fields:
        parts.append(_varint(number << 3 | kind))
        if isinstance(value, int):
            parts.append(_varint(value))
            continue
        if kind == BYTES:
            parts.append(_varint(len(value)))
        parts.append(value)
    return b"".join(parts)


def text(number: int, value: str) -> Field:
    """A field of text."""
    return Field(number, BYTES, value.encode())


def message(number: int, fields: Iterable[Field]) -> Field:
    """A field that is a message."""
    return Field(number, BYTES, write(fields))


def integer(number: int, value: int) -> Field:
    """A field of an int64."""
    return Field(number, VARINT, value & ((1 << 64) - 1))


def single(number: int, value: float) -> Field:
    """A field of a float32."""
    return Field(number, FIXED32, struct.pack("<f", value))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise ProtobufError("it ends in the middle of a number")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
    raise ProtobufError("a number has more than ten bytes")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
