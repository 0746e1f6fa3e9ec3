"""Walks over a message in plain CDR (OMG DDS-RTPS 10), and takes the wanted fields alone.

Each value is aligned to its size, counted from where the message begins. Parts of fixed size are unpacked at once, and
what is not wanted is stepped over. `serialized` says what is wanted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from usdrl_ros.sources.limits import CutList

BASE_FORMATS = {
    "boolean": "?", "octet": "B", "char": "B", "byte": "B", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H",
    "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float": "f", "double": "d",
}  # fmt: skip
"""Formats of `struct` by rosidl's names."""
_LENGTH = struct.Struct("<I").unpack_from


@dataclass(frozen=True)
class Limits:
    """How many elements of lists are read.

    Args:
        people_field: Name of the list of people, a field of the message itself; "": there is none.
        people: How many of it are read: of more the first ones.
        elements: Of any other list; a message with a longer one is refused.
    """

    people_field: str = ""
    people: int = 0
    elements: int = 2**32


Wanted = dict[str, Any]
"""A tree: the wanted fields, and of each the wanted fields in it; {} for all of it."""


@dataclass(frozen=True)
class Field:
    """A field as rosidl describes it: `count` 0 is one value, > 0 an array, -1 a sequence."""

    name: str
    kind: str
    count: int


class Plan:
    """How the fields of one message are walked over; `walk` is its decoder."""

    def __init__(
        self, fields: Iterable[Field], wanted: Wanted, structure: Callable[[str], list[Field]], limits: Limits
    ) -> None:
        fields = list(fields)
        self._limits = limits
        self._names = tuple(field.name for field in fields if field.name in wanted)
        self._make = type("Message", (), {"__slots__": self._names})
        self._steps: list[Callable[[memoryview, int, Any], int]] = []
        block: list[tuple[Field, bool]] = []
        skipped: list[Field] = []
        for field in fields:
            take = field.name in wanted
            if not take and (skipped or not _is_fixed(field, structure)):
                self._close_block(block, wanted, structure)
                skipped.append(field)
            elif _is_fixed(field, structure):
                self._close_skipped(skipped, structure)
                block.append((field, take))
            else:
                self._close_block(block, wanted, structure)
                self._close_skipped(skipped, structure)
                self._steps.append(_taker(field, wanted[field.name], structure, limits))
        self._close_block(block, wanted, structure)
        self._close_skipped(skipped, structure)

    def _close_block(
        self, block: list[tuple[Field, bool]], wanted: Wanted, structure: Callable[[str], list[Field]]
    ) -> None:
        if block:
            self._steps.append(_Block(list(block), wanted, structure).step)
            block.clear()

    def _close_skipped(self, skipped: list[Field], structure: Callable[[str], list[Field]]) -> None:
        if skipped:
            jumps = _jumps(skipped, structure)
            self._steps.append(lambda data, at, message: _skip(jumps, data, at))
            skipped.clear()

    def walk(self, data: memoryview, at: int) -> tuple[Any, int]:
        """The message that begins at a place, and where it ends; below 0 where only its first part has been read."""
        message = self._make()
        for step in self._steps:
            at = step(data, at, message)
            if at < 0:
                break
        return message, at


class _Block:
    """Fields of fixed size in a row, unpacked at once; where they begin, modulo 8, says how they are padded."""

    def __init__(
        self, fields: list[tuple[Field, bool]], wanted: Wanted, structure: Callable[[str], list[Field]]
    ) -> None:
        self._fields, self._wanted, self._structure = fields, wanted, structure
        self._formats: dict[int, struct.Struct] = {}
        self._setters: list[tuple[str, Callable[[tuple[Any, ...], int], tuple[Any, int]]]] = [
            (field.name, _assembler(field, wanted.get(field.name, {}), structure)) for field, take in fields if take
        ]

    def step(self, data: memoryview, at: int, message: Any) -> int:
        """Take what is wanted, and go on to the end."""
        unpack = self._formats.get(at & 7)
        if unpack is None:
            unpack = self._formats[at & 7] = self._format(at & 7)
        if self._setters:
            values, number = unpack.unpack_from(data, at), 0
            for name, assemble in self._setters:
                value, number = assemble(values, number)
                setattr(message, name, value)
        return at + unpack.size

    def _format(self, begin: int) -> struct.Struct:
        parts, at = ["<"], begin
        for field, take in self._fields:
            at = _append(parts, at, field, take, self._wanted.get(field.name, {}), self._structure)
        return struct.Struct("".join(parts))


def _append(
    parts: list[str], at: int, field: Field, take: bool, wanted: Wanted, structure: Callable[[str], list[Field]]
) -> int:
    """Add the format of a fixed field that begins at a place to the parts; where it ends."""
    letter = BASE_FORMATS.get(field.kind)
    if letter is not None:
        size = struct.calcsize("<" + letter)
        pad, count = -at % size, field.count or 1
        parts.append(f"{pad}x{count}{letter}" if take else f"{pad + count * size}x")
        return at + pad + count * size
    for _ in range(field.count or 1):
        for inner in structure(field.kind):
            inside = take and (not wanted or inner.name in wanted)
            at = _append(parts, at, inner, inside, wanted.get(inner.name, {}), structure)
    return at


def _assembler(
    field: Field, wanted: Wanted, structure: Callable[[str], list[Field]]
) -> Callable[[tuple[Any, ...], int], tuple[Any, int]]:
    """Makes a fixed field's value of unpacked values from a number on; also the number after it."""
    if field.kind in BASE_FORMATS:
        if not field.count:
            return lambda values, number: (values[number], number + 1)
        return lambda values, number: (values[number : number + field.count], number + field.count)
    inner = [one for one in structure(field.kind) if not wanted or one.name in wanted]
    setters = [(one.name, _assembler(one, wanted.get(one.name, {}), structure)) for one in inner]
    make = type("Message", (), {"__slots__": tuple(one.name for one in inner)})

    def assemble(values: tuple[Any, ...], number: int) -> tuple[Any, int]:
        message = make()
        for name, of in setters:
            value, number = of(values, number)
            setattr(message, name, value)
        return message, number

    def assemble_all(values: tuple[Any, ...], number: int) -> tuple[Any, int]:
        messages = []
        for _ in range(field.count):
            message, number = assemble(values, number)
            messages.append(message)
        return messages, number

    return assemble_all if field.count else assemble


def _taker(
    field: Field, wanted: Wanted, structure: Callable[[str], list[Field]], limits: Limits
) -> Callable[[memoryview, int, Any], int]:
    """Takes a field whose size is in the data."""
    if field.kind in BASE_FORMATS:
        return _row_taker(field)
    if field.kind == "string":
        one: Callable[[memoryview, int], tuple[Any, int]] = _string
    else:
        fields = structure(field.kind)
        everything: Wanted = {inner.name: {} for inner in fields}
        one = Plan(fields, wanted or everything, structure, Limits(elements=limits.elements)).walk
    is_people = field.name == limits.people_field
    most = limits.people if is_people else limits.elements

    def many(data: memoryview, at: int, message: Any) -> int:
        count, at = _count(data, at) if field.count < 0 else (field.count, at)
        if count > most and not is_people:
            raise ValueError(f"a list '{field.name}' of {count} elements, expected at most {most}")
        found: list[Any] = []
        for _ in range(min(count, most)):
            value, at = one(data, at)
            found.append(value)
        setattr(message, field.name, CutList(found, count) if count > most else found)
        return at if count <= most else -1  # what follows is not walked to

    def single(data: memoryview, at: int, message: Any) -> int:
        value, at = one(data, at)
        setattr(message, field.name, value)
        return at

    return many if field.count else single


def _row_taker(field: Field) -> Callable[[memoryview, int, Any], int]:
    """Takes a sequence of numbers as an array."""
    letter = "<" + BASE_FORMATS[field.kind]
    size = struct.calcsize(letter)

    def row(data: memoryview, at: int, message: Any) -> int:
        count, at = _count(data, at)
        at += -at % size if count else 0
        setattr(message, field.name, np.frombuffer(data, letter, count, at) if count else ())
        return at + count * size

    return row


_Jump = tuple[int, Any]
_FIXED, _COUNTED, _REPEATED = range(3)


def _jumps(fields: Iterable[Field], structure: Callable[[str], list[Field]]) -> list[_Jump]:
    """How to step over fields: by how much from each place modulo 8; over n values of a size; or n times by others."""
    jumps: list[_Jump] = []
    for field in fields:
        if _is_fixed(field, structure):
            jumps.append((_FIXED, [_append([], begin, field, False, {}, structure) - begin for begin in range(8)]))
        elif field.kind == "string" and not field.count:
            jumps.append((_COUNTED, 1))
        elif field.kind in BASE_FORMATS:
            jumps.append((_COUNTED, struct.calcsize("<" + BASE_FORMATS[field.kind])))
        else:
            inner = [(_COUNTED, 1)] if field.kind == "string" else _jumps(structure(field.kind), structure)
            jumps += [(_REPEATED, (field.count, inner))] if field.count else inner
    return jumps


def _skip(jumps: list[_Jump], data: memoryview, at: int) -> int:
    """Where the fields that begin at a place end."""
    for kind, how in jumps:
        if kind == _FIXED:
            at += how[at & 7]
        elif kind == _COUNTED:
            count, at = _count(data, at)
            if count:
                at += -at % how + count * how
        else:
            count, inner = how
            if count < 0:
                count, at = _count(data, at)
            for _ in range(count):
                at = _skip(inner, data, at)
    return at


def _count(data: memoryview, at: int) -> tuple[int, int]:
    """The number of elements of a sequence, and where they begin."""
    at += -at % 4
    count = _LENGTH(data, at)[0]
    if count > len(data):
        raise ValueError(f"a list of {count} elements in a message of {len(data)} bytes")
    return count, at + 4


def _string(data: memoryview, at: int) -> tuple[str, int]:
    length, at = _count(data, at)
    if at + length > len(data):
        raise ValueError(f"a text of {length} bytes at {at} in a message of {len(data)} bytes")
    return str(data[at : at + max(length - 1, 0)], "utf-8", "replace"), at + length


def _is_fixed(field: Field, structure: Callable[[str], list[Field]]) -> bool:
    if field.count < 0 or field.kind == "string":
        return False
    return field.kind in BASE_FORMATS or all(_is_fixed(inner, structure) for inner in structure(field.kind))
