"""A controller to copy: waves back, hands over, and stops when told to, by the events on `/usdrl/actions`.

    python examples/greeter.py
    python examples/greeter.py --ros-args -p max_speed:=0.3 -p stop_actions:="['stop_gesture']"

What is worth copying:

- **Debounced.** An action counts once it has been told with enough confidence for `hold_s`: a single STARTED that the
  next step takes back moves nothing. The exception is safety: a stop acts at once, whatever its confidence.
- **Timed out.** A command lasts while its events come. ONGOING comes every 0.5 s; where none came for `timeout_s`, or
  perception itself is silent (no scores), the robot stands still. Nothing is commanded for ever.
- **One action once.** Events are joined by `event_id`: an action that lasts is answered once, and each person is
  answered at most every `again_s`.
- **Safe by default.** The velocity is published at a fixed rate, zero unless something asks for more, and zero is what
  is published last. A stop holds for `stop_s` after the last event of it.

It publishes `cmd_vel` (geometry_msgs/msg/Twist) for the base, and `gesture` (std_msgs/msg/String: wave, hand_over,
none) for the arm. The names of the actions are parameters, since they depend on the model.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from dataclasses import dataclass

import rclpy
from geometry_msgs.msg import Twist
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from usdrl_ros.msg import ActionEvent, ActionScores

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
    "max_speed": 0.2,
    "keep_distance": 1.2,
    "rate": 20.0,
}
"""Parameters: names of actions, seconds, m/s, metres, Hz."""


@dataclass
class Heard:
    """One action of one person, while it lasts."""

    person_id: str
    action: str
    first_at: float
    last_at: float
    confidence: float
    distance: float
    answered: bool = False


class Greeter(Node):
    """Answers people."""

    def __init__(self) -> None:
        super().__init__("greeter")
        for name, default in DEFAULTS.items():
            self.declare_parameter(name, default)
        self._heard: dict[str, Heard] = {}  # by event_id
        self._answered_at: dict[tuple[str, str], float] = {}  # by person and gesture
        self._stopped_until = 0.0
        self._gesture, self._gesture_until = "none", 0.0
        self._perception_at = -math.inf
        self._velocity = self.create_publisher(Twist, "cmd_vel", 10)
        self._gestures = self.create_publisher(String, "gesture", 10)
        self.create_subscription(ActionEvent, "usdrl/actions", self._on_event, 50)
        self.create_subscription(ActionScores, "usdrl/scores", self._on_scores, 50)
        # Of the steady clock: a robot must stop even when a simulated clock stands still or jumps.
        self.create_timer(1.0 / self._value("rate"), self._command, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _value(self, name: str):
        return self.get_parameter(name).value

    def _on_scores(self, scores: ActionScores) -> None:
        self._perception_at = time.monotonic()

    def _on_event(self, event: ActionEvent) -> None:
        now = time.monotonic()
        self._perception_at = now
        if event.action in self._value("stop_actions"):
            self._stop(now, event)
        if event.phase == ActionEvent.ENDED:
            self._heard.pop(event.event_id, None)
            return
        position = event.position
        heard = self._heard.setdefault(
            event.event_id, Heard(event.person_id, event.action, now, now, event.confidence, math.inf)
        )
        heard.last_at, heard.confidence = now, event.confidence
        distance = math.sqrt(position.x**2 + position.y**2 + position.z**2)
        heard.distance = distance if math.isfinite(distance) else math.inf

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
        speed = 0.0
        if now >= self._stopped_until and now - self._perception_at <= timeout_s:
            for heard in self._heard.values():
                if self._is_sure(heard, now):
                    self._answer(heard, now)
            speed = self._approach_speed(now)
        gesture = self._gesture if now < self._gesture_until else "none"
        twist = Twist()
        twist.linear.x = 0.0 if gesture != "none" else speed  # not while the arm moves
        self._velocity.publish(twist)
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

    def _approach_speed(self, now: float) -> float:
        """Slower the nearer, none closer than `keep_distance`, and only towards who calls."""
        callers = [h for h in self._heard.values() if h.action in self._value("come_actions") and self._is_sure(h, now)]
        nearest = min((caller.distance for caller in callers), default=math.inf)
        if not math.isfinite(nearest):
            return 0.0
        return min(max(nearest - self._value("keep_distance"), 0.0) * 0.5, self._value("max_speed"))

    def halt(self) -> None:
        """What is said last."""
        self._velocity.publish(Twist())
        self._gestures.publish(String(data="none"))
        self._velocity.wait_for_all_acked(Duration(seconds=1.0))  # else it may be lost with the node


def main() -> int:
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
