"""The message classes of rclpy: ours for `usdrl_ros.messages`, and others by name, whose packages may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module

from usdrl_ros.installing import install_steps
from usdrl_ros.messages import MessageTypes, array_floats


class MissingMessagesError(Exception):
    """The package of a message is not installed; the message says how to install it."""


def message_class(name: str) -> type:
    """The class of a name such as "usdrl_ros/msg/ActionEvent".

    Raises:
        ImportError, AttributeError: It is not installed.
    """
    package, _, kind = name.partition("/msg/")
    return getattr(import_module(f"{package}.msg"), kind)


def first_message_class(names: Sequence[str], packages: Sequence[str], wanted_by: str) -> tuple[str, type]:
    """The first of several names of one message that is installed, with its class.

    Args:
        names: The present name of the message, then older ones.
        packages: What to install for them: apt names, which begin with ros-{distro}-, or packages that no distribution
            has.
        wanted_by: Who asks, for the error.

    Raises:
        MissingMessagesError: None is installed.
    """
    for name in names:
        try:
            return name, message_class(name)
        except (ImportError, AttributeError):
            continue
    raise MissingMessagesError(
        f"{wanted_by} needs the message {' or '.join(names)}, which is not installed: {install_steps(packages)}; "
        "then source ROS 2 and the workspace again, and restart"
    )


@lru_cache(maxsize=1)
def message_types() -> MessageTypes:
    """The classes that rclpy publishes."""
    return MessageTypes.lookup(message_class, array_floats)
