"""Definitions of message types that are not among ROS 2's common ones, from the packages that are installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rosbags.typesys import get_types_from_msg

from usdrl_ros.bags.types import BagError, typestore


def definitions_of(name: str) -> dict[str, Any]:
    """The definition of a type such as "zed_msgs/msg/ObjectsStamped" and of the types that it is made of.

    Raises:
        BagError: One of them is not installed.
    """
    known = typestore().types
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        wanted = waiting.pop()
        if wanted in found or wanted in known:
            continue
        found.update(get_types_from_msg(_file(wanted).read_text(encoding="utf-8"), wanted))
        waiting += [part for _, field in found[wanted][1] for part in _names(field)]
    return found


def _file(name: str) -> Path:
    package, _, kind = name.partition("/msg/")
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        path = Path(prefix) / "share" / package / "msg" / f"{kind}.msg"
        if prefix and path.is_file():
            return path
    raise BagError(f"type {name}: its definition, {package}/msg/{kind}.msg, is not in AMENT_PREFIX_PATH")


def _names(field: Any) -> list[str]:
    """The message types in the description of a field."""
    detail = field[1]
    if isinstance(detail, str):
        return [detail] if "/msg/" in detail else []
    inner = detail[0]
    return _names(inner) if isinstance(inner, tuple) else []
