"""Play a bag through the real nodes over DDS, in processes of their own, and watch what they publish."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor

from usdrl_ros.bags.reader import SKELETONS, TRUTH
from usdrl_ros.bags.writer import BagWriter
from usdrl_ros.nodes.observer import Observer

_CLAIM_PORT = 22119
"""Domain D is claimed by listening on this port plus D, as ROS's domain_coordinator does."""
_START_S = 60.0
"""Wall seconds that the perception node may take to load its model."""
_SETTLE_S = 3.0
"""Wall seconds after the last message for what runs to end: more than the node's input_timeout_s."""


class LiveError(Exception):
    """A node did not come up or ended early; the message is one line."""


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain that no other program of this machine has claimed, as ROS's domain_coordinator claims them.

    Raises:
        LiveError: All domains are claimed.
    """
    for domain in range(1, 100):
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", _CLAIM_PORT + domain))
        except OSError:
            claim.close()
            continue
        with claim:
            yield domain
        return
    raise LiveError("all ROS domains from 1 to 99 are claimed by other programs")


def play_live(
    bag: Path,
    model: Path,
    writer: BagWriter | None = None,
    *,
    rate: float = 1.0,
    parameters: Sequence[str] = (),
    observe: Callable[..., Any] | None = None,
    watch: Callable[[Any], None] = lambda observer: None,
) -> Any:
    """Play a bag through a perception node and return what was seen; `watch` is called many times a second meanwhile.

    `parameters` are more ones of the perception node, NAME:=VALUE; `observe` makes another node than `Observer`, which
    has to have its `vocabulary`.

    The nodes meet in a ROS domain of their own, on this machine only, so that neither a robot nor another run joins in.
    Actions that this user has taught are left out, unless `parameters` name a gallery: anybody gets the same events.

    Raises:
        LiveError: A node did not come up, or ended with an error.
    """
    with own_domain() as domain, tempfile.TemporaryDirectory() as nothing_taught:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain)
        try:
            if observe is None:
                assert writer is not None, "what the observer hears is written"
                observe = partial(Observer, writer, skeletons=SKELETONS, truth=TRUTH)
            observer: Any = observe(context=context)
            executor = SingleThreadedExecutor(context=context)
            executor.add_node(observer)
            with _node(
                "perception",
                f"model:={model.resolve()}",
                "input_reliability:=reliable",
                "latency_budget_ms:=0.0",
                f"gallery:={nothing_taught}",
                *parameters,
            ) as perception:
                until = time.monotonic() + _START_S
                while observer.vocabulary is None:
                    executor.spin_once(timeout_sec=0.1)
                    _check_running(perception, "perception")
                    if time.monotonic() > until:
                        raise LiveError(f"the perception node has not come up within {_START_S:.0f} s")
                # The perception node and the observer: neither is to miss the beginning.
                with _node("replay", f"bag:={bag.resolve()}", f"rate:={float(rate)}", "subscribers:=2") as replay:
                    ending = None
                    while ending is None or time.monotonic() < ending:
                        executor.spin_once(timeout_sec=0.02)
                        watch(observer)
                        _check_running(perception, "perception")
                        if ending is None and replay.poll() is not None:
                            if replay.returncode:
                                raise LiveError(f"the replay node ended with code {replay.returncode}")
                            ending = time.monotonic() + _SETTLE_S
            return observer
        finally:
            rclpy.try_shutdown(context=context)


@contextmanager
def _node(name: str, *parameters: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node in a process of its own, ended as Ctrl-C would end it."""
    command = [sys.executable, "-m", f"usdrl_ros.nodes.{name}", "--ros-args", "--log-level", "warn"]
    for parameter in parameters:
        command += ["-p", parameter]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _check_running(process: subprocess.Popen[bytes], name: str) -> None:
    if process.poll() is not None:
        raise LiveError(f"the {name} node ended with code {process.returncode}")
