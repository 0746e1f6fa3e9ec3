"""The example controller over DDS: what it answers, what it does not, and that it stands still when in doubt."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time

import pytest
from geometry_msgs.msg import Point, Twist
from ros_fixtures import ROOT, Peer, own_domain, wait_until
from std_msgs.msg import Header, String
from usdrl_ros.msg import ActionEvent, ActionScores, Skeleton, SkeletonArray

pytestmark = pytest.mark.slow

PARAMETERS = {"hold_s": 0.2, "timeout_s": 0.6, "stop_s": 2.0, "again_s": 20.0, "gesture_s": 0.4}


class Stage:
    """A running greeter, and a peer who plays perception to it."""

    def __init__(self, peer: Peer, process: subprocess.Popen) -> None:
        self.peer, self.process = peer, process
        self.people = peer.node.create_publisher(SkeletonArray, "skeletons", 10)
        self.events = peer.node.create_publisher(ActionEvent, "usdrl/actions", 50)
        self.scores = peer.node.create_publisher(ActionScores, "usdrl/scores", 50)
        peer.listen(Twist, "cmd_vel")
        peer.listen(String, "gesture")
        wait_until(lambda: self.events.get_subscription_count() and peer.heard["cmd_vel"], what="the greeter")
        self._events = 0
        self.somebody: tuple[float, float] | None = None  # who is there besides, ahead and to the left

    def act(
        self,
        action: str,
        seconds: float,
        *,
        distance: float = 3.0,
        left: float = 0.0,
        frame: str = "base_link",
        confidence: float = 0.9,
        ends: bool = True,
        fresh: bool = True,
    ):
        """Events of an action as perception publishes them; gives what was commanded meanwhile.

        `fresh`: once what was commanded before is over.
        """
        self._events += 1
        if fresh:
            wait_until(self.stands_still, what="the robot to stand still")
        for topic in ("cmd_vel", "gesture"):
            self.peer.heard[topic].clear()
        fields = dict(event_id=f"ann/{action}/{self._events}", person_id="ann", action=action, confidence=confidence)
        until, phase = time.monotonic() + seconds, ActionEvent.STARTED
        while time.monotonic() < until:
            self.send(phase, (distance, left), frame, fields)
            self.scores.publish(ActionScores(person_id="ann"))
            phase = ActionEvent.ONGOING
            time.sleep(0.1)
        if ends:
            self.send(ActionEvent.ENDED, (distance, left), frame, fields)
        return self.commanded()

    def stands_still(self) -> bool:
        speeds, gestures = self.peer.heard["cmd_vel"][-5:], self.peer.heard["gesture"][-5:]
        return len(speeds) == len(gestures) == 5 and all(
            twist.linear.x == twist.angular.z == 0.0 and gesture.data == "none"
            for twist, gesture in zip(speeds, gestures, strict=True)
        )

    def send(self, phase: int, place: tuple[float, float], frame: str, fields: dict) -> None:
        position = Point(x=place[0], y=place[1], z=1.0)
        self.events.publish(ActionEvent(header=Header(frame_id=frame), phase=phase, position=position, **fields))
        if self.somebody is not None:
            skeleton = Skeleton(person_id="bob", positions=[*self.somebody, 0.9, *[math.nan] * 3])
            self.people.publish(SkeletonArray(header=Header(frame_id=frame), layout="x,y", skeletons=[skeleton]))

    def turns(self) -> list[float]:
        """All turns that were commanded."""
        return [twist.angular.z for twist in list(self.peer.heard["cmd_vel"])]

    def commanded(self) -> tuple[float, set[str]]:
        """The fastest speed and all gestures so far."""
        speeds = [abs(twist.linear.x) for twist in list(self.peer.heard["cmd_vel"])]
        return max(speeds, default=0.0), {gesture.data for gesture in list(self.peer.heard["gesture"])}

    def settle(self, seconds: float) -> tuple[float, set[str]]:
        """What is commanded once nothing has come for some seconds."""
        time.sleep(seconds)
        for topic in ("cmd_vel", "gesture"):
            self.peer.heard[topic].clear()
        wait_until(lambda: len(self.peer.heard["cmd_vel"]) > 3, what="commands")
        return self.commanded()


@pytest.fixture
def stage():
    arguments = [word for name, value in PARAMETERS.items() for word in ("-p", f"{name}:={value}")]
    with own_domain() as domain, Peer(domain, skeletons=False) as peer:
        command = [sys.executable, str(ROOT / "examples" / "greeter.py"), "--ros-args", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            yield Stage(peer, process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def test_stands_still_by_default(stage):
    assert stage.settle(0.1) == (0.0, {"none"})


@pytest.mark.parametrize(("action", "gesture"), [("wave", "wave"), ("hand_over", "hand_over")])
def test_answers_each_action_once(stage, action, gesture):
    speed, gestures = stage.act(action, 1.0)
    assert (speed, gestures) == (0.0, {"none", gesture})
    assert stage.settle(0.5) == (0.0, {"none"})
    assert stage.act(action, 0.5)[1] == {"none"}  # again_s is not over


def test_what_is_short_or_unsure_moves_nothing(stage):
    assert stage.act("wave", 0.1)[1] == {"none"}
    assert stage.act("wave", 0.8, confidence=0.3)[1] == {"none"}
    assert stage.act("unknown_action", 0.6) == (0.0, {"none"})


def test_comes_when_called_but_not_too_close(stage):
    speed, _ = stage.act("beckon", 0.8, distance=3.0)
    assert speed == pytest.approx(0.2)  # max_speed
    speed, _ = stage.act("beckon", 0.8, distance=1.4)
    assert speed == pytest.approx(0.1)
    assert stage.act("beckon", 0.8, distance=1.0)[0] == 0.0
    assert stage.act("beckon", 0.8, distance=math.nan)[0] == 0.0  # nobody knows where


@pytest.mark.parametrize(("ahead", "left"), [(-0.3, 3.0), (-3.0, 0.5), (1.0, -2.0)])
def test_turns_to_the_caller_before_it_drives(stage, ahead, left):
    assert stage.act("beckon", 0.8, distance=ahead, left=left)[0] == 0.0
    turns = {turn for turn in stage.turns() if turn}
    assert len(turns) == 1
    assert turns.pop() == pytest.approx(math.copysign(0.6, left))  # max_turn


def test_does_not_move_where_tf_does_not_connect_the_frame(stage):
    assert stage.act("beckon", 0.8, frame="map")[0] == 0.0
    assert not any(stage.turns())


def test_stops_for_who_is_in_the_way(stage):
    stage.somebody = (1.5, 0.2)
    assert stage.act("beckon", 0.8)[0] == pytest.approx(0.15)
    stage.somebody = (1.0, -0.3)
    assert stage.act("beckon", 0.8)[0] == 0.0
    stage.somebody = (1.0, 1.0)  # beside the way
    assert stage.act("beckon", 0.8)[0] == pytest.approx(0.2)


def test_stands_still_when_events_stop(stage):
    assert stage.act("beckon", 0.8, ends=False)[0] == pytest.approx(0.2)
    assert stage.settle(0.8) == (0.0, {"none"})  # timeout_s


def test_stop_wins_at_once_and_holds(stage):
    stage.act("beckon", 0.6, ends=False)
    stage.act("stop_gesture", 0.1, confidence=0.1, fresh=False)
    assert stage.settle(0.15) == (0.0, {"none"})
    assert stage.act("beckon", 0.5)[0] == 0.0  # stop_s is not over
    stage.settle(2.0)
    assert stage.act("beckon", 0.6)[0] == pytest.approx(0.2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_zero(stage, number):
    stage.act("beckon", 0.6, ends=False)
    stage.process.send_signal(number)
    assert stage.process.wait(10) == 0
    wait_until(lambda: stage.peer.heard["cmd_vel"][-1].linear.x == 0.0, what="the last command")
