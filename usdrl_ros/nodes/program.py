"""What the nodes' programs share: start and end of ROS, signals, exit codes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence

import rclpy
import rclpy.logging
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.signals import SignalHandlerOptions

from usdrl_ros.nodes.parameters import ParameterError


def run_program(name: str, program: Callable[[threading.Event], int], args: Sequence[str]) -> int:
    """Run a node's program between the start and the end of ROS.

    SIGINT and SIGTERM set the event that the program is given, and do no more. ROS stays up until the program has
    returned, so that it can publish its last messages; rclpy's own handlers would end ROS at once.

    Returns:
        The exit code: the program's, or 1 after one clear line if its arguments or parameters are not valid.
    """
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        try:
            rclpy.init(args=list(args), signal_handler_options=SignalHandlerOptions.NO)
        except Exception as error:  # rclpy's errors on arguments have no common base but Exception
            return _failed(name, error)
        return program(stop)
    except (ParameterError, ParameterException, NameValidationException) as error:
        return _failed(name, error)
    finally:
        rclpy.try_shutdown()
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _failed(name: str, error: Exception) -> int:
    rclpy.logging.get_logger(name).fatal(" ".join(str(error).split()))
    return 1
