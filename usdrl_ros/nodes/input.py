"""The perception node's subscription: any source's messages in, `Frame`s out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class, message_class
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.distribution import (
    NUMBERED,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
    with_information,
)
from usdrl_ros.nodes.hearing import Hearing
from usdrl_ros.parameters import ParameterError
from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.sources.limits import MOST_PEOPLE
from usdrl_ros.sources.reader import SourceError, SourceReader, load_source, source_names
from usdrl_ros.sources.serialized import decoder

_MOST_PUBLISHERS = 64
"""Publishers whose numbers are kept."""


class MalformedMessageError(Exception):
    """The bytes of a message are not of its type; nothing is known of it, not even its stamp."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class InputSource(Protocol):
    """What is subscribed to: its name, topic, and quality of service."""

    @property
    def name(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def reliability(self) -> str: ...
    @property
    def depth(self) -> int: ...


class SkeletonInput:
    """Reads the topic of a source.

    Args:
        node: Subscribes.
        values: The node's parameters.
        monitor: Reports messages that were published and never came.

    Raises:
        ParameterError: The source is not known, its messages are not installed, or it has no 3D skeletons.
    """

    def __init__(self, node: Node, values: Mapping[str, Any], *, monitor: Monitor) -> None:
        self._node, self._monitor = node, monitor
        self._prepare(node, values, monitor)
        self.topic = node.resolve_topic_name(values["input_topic"] or self.source.topic)
        reliability = values["input_reliability"]
        self._reliability = self.source.reliability if reliability == "source" else reliability
        self._depth = values["input_depth"] or self.source.depth
        self._hearing: Hearing | None = None
        self._numbers: dict[bytes, int] = {}  # of the last message, by publisher

    def _prepare(self, node: Node, values: Mapping[str, Any], monitor: Monitor) -> None:
        """Find out what the messages are, and how they are decoded and read."""
        try:
            source = load_source(values["source"])
            most = max(MOST_PEOPLE, values["max_people"])
            self._reader = SourceReader(
                source, layout=values["layout"], association=values["association"], most_people=most
            )
            self.type_name, self._message_class = first_message_class(
                source.message_types, source.packages, f"source '{source.name}'"
            )
        except (SourceError, MissingMessagesError) as error:
            raise ParameterError(str(error)) from error
        whole = partial(deserialize_message, message_type=self._message_class)
        self._decode: Callable[[bytes], Any] = decoder(source, self.type_name, message_class, whole, most)
        self.source: InputSource = source

    def open(self, take: Callable[[bytes], None]) -> None:
        """Subscribe; `take` gets each message, serialized: of most, a small part is needed."""
        self._numbers.clear()

        def taken(message: bytes, information: Any) -> None:
            self._count_missed(information)
            take(message)

        self._hearing = Hearing(self._node, self._subscribe, taken, self._report_deaf)

    def close(self) -> None:
        """Unsubscribe."""
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None

    def probe(self) -> None:
        """Find out whether a silent subscription is deaf, if somebody publishes at all."""
        if self._hearing is not None and self._node.count_publishers(self.topic):
            self._hearing.probe()

    def _subscribe(self, take: Callable[[Any, Any], None]) -> Subscription:
        qos = QoSProfile(depth=self._depth, reliability=ReliabilityPolicy[self._reliability.upper()])

        def subscribe(**events: Any) -> Subscription:
            return self._node.create_subscription(
                self._message_class,
                self.topic,
                with_information(take),
                qos,
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._report_incompatible, **events),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

        try:
            # Where messages are numbered, what is missing shows by itself.
            return subscribe(
                **({} if NUMBERED else {"message_lost": lambda i: self._report_missed(i.total_count_change)})
            )
        except UnsupportedEventTypeError:  # not every middleware reports what it lost
            return subscribe()

    def _report_deaf(self) -> None:
        self._numbers.clear()
        self._monitor.count("subscribed again")
        fault = f"the subscription of {self.topic} had heard nothing of messages that were published"
        self._monitor.report([Problem("deaf", f"{fault} (an empty payload blocks a reliable one): made a new one")])

    def read(self, message: bytes) -> Frame:
        """What a serialized message shows; unstamped messages get the current time.

        Raises:
            MalformedMessageError: The bytes are no such message.
        """
        try:
            decoded = self._decode(message)
        except Exception as error:  # of foreign bytes, in whatever way they are wrong
            reason = " ".join(str(error).split())
            fault = f"message ignored: cannot be read as {self.type_name}: {reason}"
            raise MalformedMessageError(Problem("malformed", fault)) from error
        return self._read(decoded, self._node.get_clock().now().nanoseconds)

    def _read(self, message: Any, now_ns: int) -> Frame:
        return self._reader.read(message, now_ns)

    def why_silent(self) -> str:
        """Why no message may come, and what to do: from who publishes what in the graph."""
        offers = self._node.get_publishers_info_by_topic(self.topic)
        if not offers:
            return f"nobody publishes it{self._elsewhere()}"
        if types := {offer.topic_type for offer in offers} - {self.type_name}:
            meant = [name for kind in types if (name := _source_of(kind))]
            hint = f"; set source:={meant[0]}" if meant else ""
            return f"it carries {' and '.join(sorted(types))}, source '{self.source.name}' reads {self.type_name}{hint}"
        best_effort = [o for o in offers if o.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT]
        if self._reliability == "reliable" and len(best_effort) == len(offers):
            return "it is offered best_effort only; set input_reliability:=best_effort"
        return f"{len(offers)} publishers, all silent"

    def _elsewhere(self) -> str:
        """The other topics that hold skeletons which some source reads, as a hint."""
        found = [
            f"{topic} (source:={name})"
            for topic, kinds in self._node.get_topic_names_and_types()
            if topic != self.topic
            and self._node.count_publishers(topic)
            and (name := next((name for kind in kinds if (name := _source_of(kind))), None))
        ]
        return f"; skeletons are on {', '.join(found)}" if found else ""

    def _count_missed(self, information: Any) -> None:
        """Find out by the messages' numbers how many were published and never came."""
        number = (information or {}).get("publication_sequence_number")
        if number is None:
            return
        gid = information.get("publisher_gid")  # not before Kilted; then the numbers of several publishers mingle
        publisher = bytes(gid["data"]) if gid else b""
        missed = number - self._numbers.get(publisher, number) - 1
        if len(self._numbers) > _MOST_PUBLISHERS:
            self._numbers.clear()
        self._numbers[publisher] = number
        if missed > 0 and (gid or self._node.count_publishers(self.topic) == 1):
            self._report_missed(missed)

    def _report_missed(self, count: int) -> None:
        self._monitor.count("dropped", count)
        cause = f"lost on the way, or overwritten before they were taken in (input_depth is {self._depth})"
        hint = "the machine or the network is too slow"
        self._monitor.report([Problem("dropped", f"{count} messages of {self.topic} were {cause}: {hint}")])

    def _report_incompatible(self, info: Any) -> None:
        message = f"a publisher of {self.topic} does not offer the quality of service asked for ({self._reliability})"
        self._monitor.report([Problem("incompatible_qos", f"{message}; set input_reliability:=best_effort")])


def _source_of(message_type: str) -> str | None:
    """The source that reads a message type, if any; general types, which may be anything, do not count."""
    if message_type.startswith(("visualization_msgs/", "std_msgs/", "geometry_msgs/", "sensor_msgs/")):
        return None
    for name in source_names():
        try:
            if message_type in load_source(name).message_types:
                return name
        except SourceError:
            continue
    return None
