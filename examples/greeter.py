#!/usr/bin/env python3
"""A controller to copy: waves back, hands over, comes when called, by the events on `/usdrl/actions`.

    ros2 run usdrl_ros greeter
    ros2 run usdrl_ros greeter --ros-args -p base_frame:=base_footprint -p max_speed:=0.3

It is an example of how to use events, not a safety function: what keeps people safe must not depend on a camera and a
learned model. Give its commands to something that does, such as a collision monitor with a laser scanner.

What is worth copying:

- **Debounced.** An action counts once it has been reported with enough confidence for `hold_s`: a single STARTED that
  the next step takes back moves nothing. A stop acts at once, whatever its confidence.
- **Timed out.** A command lasts while its events come. ONGOING comes every 0.5 s; where none came for `timeout_s`, or
  perception itself is silent (no scores), the robot stands still. Nothing is commanded for ever.
- **One action once.** Events are joined by `event_id`: an action that lasts is answered once, and each person is
  answered at most every `again_s`.
- **In the robot's own frame.** Events carry the frame of their position. Each is transformed by tf into `base_frame`
  (x ahead, y to the left); where tf does not connect the two, the robot does not move for it.
- **Towards who called, and nobody else.** It turns to the caller, drives once they are ahead, slower the nearer, and
  stops at `keep_distance`. It stops as well for anybody whom it knows to be nearer in the way: the people of all
  events, and those on `people_topic`.
- **Still by default.** The velocity is published at a fixed rate, zero unless something asks for more, and zero is what
  is published last. A stop holds for `stop_s` after the last event of it.

It publishes `cmd_vel` (geometry_msgs/msg/Twist) for the base, and `gesture` (std_msgs/msg/String: wave, hand_over,
none) for the arm. The names of the actions are parameters, since they depend on the model.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Header, String
from usdrl_ros.msg import ActionEvent, ActionScores, SkeletonArray

from usdrl_ros.messages import time_to_ns
from usdrl_ros.nodes.transforms import TransformFeed
from usdrl_ros.parameters import ParameterError

DEFAULTS = {
    "greet_actions": ["wave"],
    "hand_over_actions": ["hand_over"],
    "come_actions": ["beckon"],
    "stop_actions": ["stop_gesture", "cross_arms"],
    "min_confidence": 0.5,
    "hold_s": 0.3,
    "timeout_s": 1.5,
    "stop_s": 3.0,
    "again_s": 5.0,
    "gesture_s": 2.0,
    "base_frame": "base_link",
    "people_topic": "skeletons",
    "max_speed": 0.2,
    "max_turn": 0.6,
    "ahead_deg": 20.0,
    "keep_distance": 1.2,
    "corridor": 0.5,
    "rate": 20.0,
}
"""Parameters: names of actions, seconds, frame and topic, m/s, rad/s, degrees, metres, metres to each side, Hz."""
_STRAIGHT_RAD = math.radians(3.0)

Place = tuple[float, float]
"""Metres ahead of the robot and to its left."""


@dataclass
class Heard:
    """One action of one person, while it lasts; `place` is None where it is not known."""

    person_id: str
    action: str
    first_at: float
    last_at: float
    confidence: float
    place: Place | None
    answered: bool = False


class Places:
    """Where positions are in the base frame, by tf."""

    def __init__(self, node: Node, base_frame: str) -> None:
        self._base, self._log = base_frame.lstrip("/"), node.get_logger()
        self._feed: TransformFeed | None = None
        try:
            self._feed = TransformFeed(node, self._base, (), self)
            self._feed.open(lambda: None)
        except ParameterError as error:
            self._log.warning(f"positions in '{self._base}' alone can be used: {error}")

    def place(self, header: Header, points: np.ndarray) -> Place | None:
        """The mean of points (n, 3) of a message, NaN unseen; None where it is not known, or tf does not connect it."""
        seen = points[np.isfinite(points).all(-1)]
        if not len(seen):
            return None
        middle, frame = seen.mean(0), header.frame_id.lstrip("/")
        if frame != self._base:
            found = (
                None
                if self._feed is None
                else self._feed.transforms.lookup(self._base, frame, time_to_ns(header.stamp))
            )
            if found is not None and found.pose is None and found.pending:
                found = self._feed.transforms.latest(self._base, frame)
            if found is None or found.pose is None:
                why = "tf2_msgs is not installed" if found is None else found.fault
                self._log.warning(f"'{frame}' has no place in '{self._base}': {why}", throttle_duration_sec=5.0)
                return None
            middle = found.pose[:3, :3] @ middle + found.pose[:3, 3]
        return float(middle[0]), float(middle[1])

    def report(self, problems) -> None:
        """Log what is wrong with transforms."""
        for problem in problems:
            self._log.warning(problem.message, throttle_duration_sec=5.0)

    def failed(self, error: Exception) -> None:
        """Log an exception that should not have been."""
        self._log.error(f"{type(error).__name__}: {error}", throttle_duration_sec=5.0)


class Greeter(Node):
    """Answers people."""

    def __init__(self) -> None:
        super().__init__("greeter")
        for name, default in DEFAULTS.items():
            self.declare_parameter(name, default)
        self._heard: dict[str, Heard] = {}  # by event_id
        self._seen: tuple[float, list[Place]] = (-math.inf, [])  # the people of the last skeletons, and when
        self._answered_at: dict[tuple[str, str], float] = {}  # by person and gesture
        self._stopped_until = 0.0
        self._gesture, self._gesture_until = "none", 0.0
        self._perception_at = -math.inf
        self._places = Places(self, self._value("base_frame"))
        self._velocity = self.create_publisher(Twist, "cmd_vel", 10)
        self._gestures = self.create_publisher(String, "gesture", 10)
        self.create_subscription(ActionEvent, "usdrl/actions", self._on_event, 50)
        self.create_subscription(ActionScores, "usdrl/scores", self._on_scores, 50)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(SkeletonArray, self._value("people_topic"), self._on_people, newest)
        # Of the steady clock: a robot must stop even when a simulated clock stands still or jumps.
        self.create_timer(1.0 / self._value("rate"), self._command, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _value(self, name: str):
        return self.get_parameter(name).value

    def _on_scores(self, scores: ActionScores) -> None:
        self._perception_at = time.monotonic()

    def _on_people(self, skeletons: SkeletonArray) -> None:
        places = []
        for skeleton in skeletons.skeletons:
            if len(skeleton.positions) % 3 == 0:
                points = np.asarray(skeleton.positions, float).reshape(-1, 3)
                places.append(self._places.place(skeletons.header, points))
        self._seen = (time.monotonic(), [place for place in places if place is not None])

    def _on_event(self, event: ActionEvent) -> None:
        now = time.monotonic()
        self._perception_at = now
        if event.action in self._value("stop_actions"):
            self._stop(now, event)
        if event.phase == ActionEvent.ENDED:
            self._heard.pop(event.event_id, None)
            return
        point = np.array([[event.position.x, event.position.y, event.position.z]])
        place = self._places.place(event.header, point)
        heard = self._heard.setdefault(
            event.event_id, Heard(event.person_id, event.action, now, now, event.confidence, place)
        )
        heard.last_at, heard.confidence, heard.place = now, event.confidence, place

    def _stop(self, now: float, event: ActionEvent) -> None:
        if now >= self._stopped_until:
            self.get_logger().info(f"stopping: {event.person_id} does {event.action}")
        self._stopped_until = now + self._value("stop_s")
        self._gesture_until = 0.0

    def _command(self) -> None:
        """Forget what is over, answer what is sure, and say how fast to go; at a fixed rate."""
        now = time.monotonic()
        timeout_s = self._value("timeout_s")
        self._heard = {key: heard for key, heard in self._heard.items() if now - heard.last_at <= timeout_s}
        twist = Twist()
        if now >= self._stopped_until and now - self._perception_at <= timeout_s:
            for heard in self._heard.values():
                if self._is_sure(heard, now):
                    self._answer(heard, now)
            twist = self._approach(now)
        gesture = self._gesture if now < self._gesture_until else "none"
        self._velocity.publish(twist if gesture == "none" else Twist())  # not while the arm moves
        self._gestures.publish(String(data=gesture))

    def _is_sure(self, heard: Heard, now: float) -> bool:
        return now - heard.first_at >= self._value("hold_s") and heard.confidence >= self._value("min_confidence")

    def _answer(self, heard: Heard, now: float) -> None:
        for gesture, parameter in (("wave", "greet_actions"), ("hand_over", "hand_over_actions")):
            key = (heard.person_id, gesture)
            recently = now - self._answered_at.get(key, -math.inf) < self._value("again_s")
            if heard.action in self._value(parameter) and not heard.answered and not recently:
                heard.answered, self._answered_at[key] = True, now
                self._gesture, self._gesture_until = gesture, now + self._value("gesture_s")
                self.get_logger().info(f"{gesture} for {heard.person_id}, who does {heard.action}")

    def _approach(self, now: float) -> Twist:
        """Turn to the nearest who calls; drive once they are ahead and nobody is in the way, slower the nearer."""
        twist = Twist()
        callers = [
            heard.place
            for heard in self._heard.values()
            if heard.action in self._value("come_actions") and self._is_sure(heard, now) and heard.place is not None
        ]
        if not callers:
            return twist
        caller = min(callers, key=lambda place: math.hypot(*place))
        bearing, distance = math.atan2(caller[1], caller[0]), math.hypot(*caller)
        if abs(bearing) > _STRAIGHT_RAD:
            twist.angular.z = math.copysign(min(abs(bearing), self._value("max_turn")), bearing)
        if abs(bearing) < math.radians(self._value("ahead_deg")):
            room = min(distance, self._room_ahead(now)) - self._value("keep_distance")
            twist.linear.x = min(max(room, 0.0) * 0.5, self._value("max_speed"))
        return twist

    def _room_ahead(self, now: float) -> float:
        """How far ahead the nearest person in the way is, metres."""
        places = [heard.place for heard in self._heard.values() if heard.place is not None]
        seen_at, seen = self._seen
        if now - seen_at <= self._value("timeout_s"):
            places += seen
        half = self._value("corridor")
        return min((ahead for ahead, left in places if ahead > 0.0 and abs(left) < half), default=math.inf)

    def halt(self) -> None:
        """What is said last."""
        self._velocity.publish(Twist())
        self._gestures.publish(String(data="none"))
        self._velocity.wait_for_all_acked(Duration(seconds=1.0))  # else it may be lost with the node


def main() -> int:
    argparse.ArgumentParser(
        prog="greeter",
        description="A controller to copy: waves back, hands over, comes when called, by the events on /usdrl/actions.",
        epilog=f"By --ros-args -p NAME:=VALUE: {', '.join(DEFAULTS)}.",
    ).parse_args(remove_ros_args(sys.argv)[1:])
    # rclpy's own handlers end ROS before the last command is out, and an exception from a handler may be lost.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    greeter = Greeter()
    while not stop.is_set():
        rclpy.spin_once(greeter, timeout_sec=0.1)
    greeter.halt()
    greeter.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
