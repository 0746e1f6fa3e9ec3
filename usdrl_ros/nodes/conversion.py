"""The message classes of rclpy, for `usdrl_ros.messages`."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module

from usdrl_ros.messages import MessageTypes, array_floats


def message_class(name: str) -> type:
    """The class of a name such as "usdrl_ros/msg/ActionEvent".

    Raises:
        ImportError, AttributeError: It is not installed.
    """
    package, _, kind = name.partition("/msg/")
    return getattr(import_module(f"{package}.msg"), kind)


@lru_cache(maxsize=1)
def message_types() -> MessageTypes:
    """The classes that rclpy publishes."""
    return MessageTypes.lookup(message_class, array_floats)
