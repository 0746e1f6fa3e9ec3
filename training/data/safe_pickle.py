"""Unpickle files that hold numbers only. A pickle can otherwise run any program: nothing but arrays is let in here.

What a pickle may call is looked up by name in a table: stand-ins for what numpy's arrays, scalars and types are made
of, and how old pickles spell bytes. Any other name is refused before anything of it is imported. numpy's own unpickling
has no part in it: the stand-ins take only types of plain numbers and text, and make arrays of the bytes as they are.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.data.errors import DatasetError


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something else than arrays."""


class _Type:
    """Stands for `numpy.dtype`."""

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[biufSU]\d{1,9}", name):
            raise _Refused(f"numpy.dtype({name!r})")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields, *_ = state
        if (subtype, names, fields) != (None, None, None):
            raise _Refused("numpy.dtype of several fields")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stands for an array that `numpy.core.multiarray._reconstruct` began."""

    def __init__(self, *_: object) -> None:
        self.array = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, in_fortran_order, raw = state[-4:]
        self.array = _from_buffer(raw, kind, shape, "F" if in_fortran_order else "C")


def _from_buffer(raw: Any, kind: _Type, shape: tuple[int, ...], order: Any) -> np.ndarray:
    if len(raw) != kind.dtype.itemsize * math.prod(shape):
        raise ValueError(f"an array of shape {shape} and type {kind.dtype} has {len(raw)} bytes")
    values = np.frombuffer(raw, kind.dtype) if len(raw) else np.zeros(0, kind.dtype)
    return values.reshape(shape, order=order)


def _scalar(kind: _Type, raw: bytes) -> Any:
    return _from_buffer(raw, kind, (), "C")[()]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):  # the one before numpy 2, the other since
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Callable[..., Any]:
        """What a pickle may call, by name."""
        if (module_name, global_name) not in _ALLOWED:
            raise _Refused(f"{module_name}.{global_name}")
        return _ALLOWED[module_name, global_name]


def load_arrays(path: Path) -> Any:
    """What a pickle of lists, tuples, dictionaries, text, numbers and numpy arrays holds; the arrays are read-only.

    Raises:
        DatasetError: The file cannot be read, is damaged, or asks for anything else.
    """
    try:
        with path.open("rb") as stream:
            return _arrays_in(_ArrayUnpickler(stream).load())
    except _Refused as error:
        raise DatasetError(
            f"{path} is refused: it asks for '{error}', but plain values and numpy arrays of numbers or text were "
            f"expected; a pickle that asks for more can run any program",
            "refused pickle",
        ) from error
    except Exception as error:  # damaged pickles raise nearly anything
        reason = str(error) or type(error).__name__
        raise DatasetError(f"{path} cannot be read as a pickle: {reason}", "unreadable file") from error


def _arrays_in(value: Any) -> Any:
    """The value with its arrays in the place of their stand-ins."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict):
        return {key: _arrays_in(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_arrays_in(item) for item in value)
    return value
