"""What the perception node publishes: events, scores, the vocabulary, markers, and intents where they are wanted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from visualization_msgs.msg import MarkerArray

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.actions.scores import Scores
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.messages import event_to_message, scores_to_message, vocabulary_to_message
from usdrl_ros.msg import ActionEvent, ActionScores, ActionVocabulary
from usdrl_ros.nodes import intents
from usdrl_ros.nodes.bodies import Bodies
from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class, message_types
from usdrl_ros.nodes.delivery import Delivery
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.markers import RunningActions, people_markers
from usdrl_ros.parameters import ParameterError
from usdrl_ros.skeleton.person import Frame

ACTIONS, SCORES, VOCABULARY, MARKERS = "usdrl/actions", "usdrl/scores", "usdrl/vocabulary", "usdrl/markers"
_DEPTH = 50


class Outputs:
    """The publishers.

    Args:
        node: Its publishers publish while it is active.
        info: The model that is published.
        values: The node's parameters.
        monitor: Counts events, and reports those that cannot be published.

    Raises:
        ParameterError: Intents or bodies are wanted and their package is missing, or a `qos_overrides` is not allowed.
    """

    def __init__(self, node: LifecycleNode, info: ModelInfo, values: Mapping[str, Any], monitor: Monitor) -> None:
        self._node, self._info, self._monitor = node, info, monitor
        self._delivery = Delivery(self._publish_event, monitor.failed)
        self._publishers: list[LifecyclePublisher] = []
        self._running = RunningActions()
        self._next_markers_at = 0.0
        self._intent_class: type | None = None
        self._bodies: Bodies | None = None
        self.change(values)
        try:
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self._actions = self._advertise(ActionEvent, ACTIONS, QoSProfile(depth=_DEPTH))
            self._scores = self._advertise(ActionScores, SCORES, QoSProfile(depth=_DEPTH))
            self._vocabulary = self._advertise(ActionVocabulary, VOCABULARY, latched)
            self._markers = self._advertise(MarkerArray, MARKERS, QoSProfile(depth=5))
            if values["hri_bodies"]:
                self._bodies = Bodies(node, self._advertise)
            if values["intents"]:
                packages = ("ros-{distro}-hri-actions-msgs",)
                _, self._intent_class = first_message_class([intents.TYPE], packages, "parameter intents")
                self._intents = self._advertise(self._intent_class, intents.TOPIC, QoSProfile(depth=_DEPTH))
        except MissingMessagesError as error:
            self.close()
            wanted_by = "intents" if "intents" in str(error) else "hri_bodies"
            raise ParameterError(f"{error}; or set {wanted_by}:=false") from error
        except (RuntimeError, TypeError, ValueError, InvalidQosOverridesError, ParameterException) as error:
            self.close()
            raise ParameterError(f"a publisher cannot be made, see the parameters qos_overrides: {error}") from error

    def _advertise(self, kind: type, topic: str, qos: QoSProfile) -> LifecyclePublisher:
        options = QoSOverridingOptions.with_default_policies()
        publisher = self._node.create_lifecycle_publisher(kind, topic, qos, qos_overriding_options=options)
        self._publishers.append(publisher)
        return publisher

    def change(self, values: Mapping[str, Any]) -> None:
        """Take the parameters that may change while the node is up."""
        self._with_markers: bool = values["markers"]
        self._markers_period_s = 1.0 / values["markers_rate"]
        self._markers_lifetime_s: float = values["lost_after_s"]
        self._intent_names = intents.intent_names(values["intent_names"])

    def is_own_frame(self, frame_id: str) -> bool:
        """Whether a frame of /tf is one that these outputs publish."""
        return self._bodies is not None and self._bodies.is_own(frame_id)

    @property
    def open_events(self) -> int:
        """How many actions have been published as STARTED and not as ENDED."""
        return self._delivery.open

    def publish_vocabulary(self, actions: Sequence[str]) -> None:
        """Publish the actions in use; latched."""
        self._vocabulary.publish(vocabulary_to_message(message_types(), self._info.name, actions))

    def publish_scores(self, scores: Sequence[Scores]) -> None:
        """Publish the scores of each person, if somebody listens."""
        for one in scores if self._scores.get_subscription_count() else ():
            self._scores.publish(scores_to_message(message_types(), one))

    def publish_events(self, events: Sequence[Event]) -> None:
        """Publish events, and the intents of those that started; what cannot be published now waits for `retry`."""
        self._monitor.count("events", self._delivery.hand_over(events))

    def end_events(self, events: Sequence[Event]) -> int:
        """Publish the events that end what runs, and end what is still open besides; return how many were published."""
        published = self._delivery.hand_over(events) + self._delivery.end_all()
        if self._bodies is not None:
            self._bodies.end()
        self._monitor.count("events", published)
        return published

    def retry(self) -> None:
        """Publish what could not be published before."""
        self._monitor.count("events", self._delivery.retry())

    def _publish_event(self, event: Event) -> None:
        self._actions.publish(event_to_message(message_types(), event))
        try:
            self._running.take([event])
            if self._intent_class is not None and event.phase == Phase.STARTED:
                self._intents.publish(intents.event_to_intent(self._intent_class, event, self._intent_names))
        except Exception as error:  # the event itself is out, and must not be published again
            self._monitor.failed(error)

    def publish_people(self, frame: Frame) -> None:
        """Publish the bodies of a frame, and its markers, if somebody listens and the last ones are old enough."""
        if self._bodies is not None:
            self._bodies.publish(frame)
        now = time.monotonic()
        if not self._with_markers or now < self._next_markers_at or not self._markers.get_subscription_count():
            return
        self._next_markers_at = now + self._markers_period_s
        self._markers.publish(
            people_markers(frame.stamp_ns, frame.frame_id, frame.people, self._running, self._markers_lifetime_s)
        )

    def flush(self, seconds: float) -> None:
        """Wait until the subscribers have the events, but not for long."""
        self._actions.wait_for_all_acked(Duration(seconds=seconds))

    def close(self) -> None:
        """Publish what waits, if that works now, and take the publishers down."""
        self.retry()
        if self._bodies is not None:
            self._bodies.close()
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
