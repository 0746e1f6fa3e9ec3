"""What the nodes' programs share: start and end of ROS, signals, exit codes. Light to import, so that it is early.

A node's module holds only its `main`, which hands a program to `run_program`; what is heavy is imported by the program.
A signal that comes during those imports is thus handled like any other.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence


def run_program(name: str, program: Callable[[threading.Event, Sequence[str]], int], args: Sequence[str] | None) -> int:
    """Run a node's program between the start and the end of ROS.

    SIGINT, SIGTERM and SIGHUP set the event that the program is given, and do no more. ROS stays up until the program
    has returned, so that it can publish its last messages; rclpy's own handlers would end ROS at once. A SIGHUP
    that is ignored from the start, as under nohup, stays so.

    Args:
        name: Of the program, for what is logged before there is a node.
        program: Takes the event and the arguments, and returns the exit code.
        args: None: those of the command line. Then the handlers stay, so that a signal on the way out changes nothing.

    Returns:
        The exit code: the program's, or 1 after one clear line if its arguments or parameters are not valid.
    """
    stop = threading.Event()
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = (signal.SIGINT, signal.SIGTERM) if ignored else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        return _run_in_ros(name, program, sys.argv[1:] if args is None else args, stop)
    finally:
        if args is not None:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def _run_in_ros(
    name: str,
    program: Callable[[threading.Event, Sequence[str]], int],
    args: Sequence[str],
    stop: threading.Event,
) -> int:
    import rclpy
    from rclpy.exceptions import NameValidationException, ParameterException
    from rclpy.signals import SignalHandlerOptions

    from usdrl_ros.parameters import ParameterError

    try:
        try:
            rclpy.init(args=list(args), signal_handler_options=SignalHandlerOptions.NO)
        except Exception as error:  # rclpy's errors on arguments have no common base but Exception
            return _failed(name, error)
        return program(stop, args)
    except (ParameterError, ParameterException, NameValidationException) as error:
        return _failed(name, error)
    finally:
        rclpy.try_shutdown()


def _failed(name: str, error: Exception) -> int:
    from rclpy.logging import get_logger

    get_logger(name).fatal(" ".join(str(error).split()))
    return 1
