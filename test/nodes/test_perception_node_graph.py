"""The perception node in a graph over DDS: several instances, markers, intents, changes while it runs."""

from __future__ import annotations

import json
import signal
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interface_packages import interface_packages  # noqa: F401 (a fixture)
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_fixtures import RIGHT, ROOT, Peer, Program, perception, pose, wait_until
from std_msgs.msg import Header
from usdrl_ros.msg import SkeletonArray
from visualization_msgs.msg import MarkerArray

from usdrl_ros.actions.events import Phase
from usdrl_ros.messages import skeletons_to_message, time_to_ns
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.nodes.perception import main
from usdrl_ros.skeleton.person import Person

pytestmark = pytest.mark.slow

SECOND = 10**9
RELIABLE = ("input_reliability:=reliable", "input_depth:=1000")


class Player:
    """Publishes people in real time or faster, with stamps that continue."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.now_ns = peer, time.time_ns()

    def play(self, seconds: float, *people: str, pause_s: float = 0.005, rate_hz: float = 30.0, **hands: float) -> int:
        first_ns = self.now_ns
        for _ in range(round(seconds * rate_hz)):
            self.now_ns += round(SECOND / rate_hz)
            self.peer.publish(self.now_ns, {person: pose(**hands) for person in people})
            time.sleep(pause_s)
        return first_ns

    def phases(self, person: str) -> list[Phase]:
        return [event.phase for event in self.peer.events if event.person_id == person]


def test_thresholds_and_rate_change_while_it_runs(domain, model):
    with perception(f"model:={model}", *RELIABLE) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        player = Player(peer)
        assert peer.set_parameter("start_threshold", 1.0) is None
        program.wait_for_log("changed parameters: start_threshold 1.0")
        player.play(1.5, "ann", right_hand_m=0.05)
        wait_until(lambda: peer.scored("ann", player.now_ns - SECOND // 5), what="scores")
        assert not peer.events
        assert peer.set_parameter("start_threshold", 0.6) is None
        program.wait_for_log("changed parameters: start_threshold 0.6")
        player.play(1.5, "ann", right_hand_m=0.05)
        wait_until(lambda: player.phases("ann")[:1] == [Phase.STARTED], what="STARTED")

        for rate in (5.0, 30.0):
            assert peer.set_parameter("rate", rate) is None
            program.wait_for_log(f"changed parameters: rate {rate}")
            peer.heard["usdrl/scores"].clear()
            player.play(2.0, "ann", pause_s=0.03)
            wait_until(lambda: peer.scored("ann", player.now_ns - SECOND // 4), what="scores")
            stamps = [time_to_ns(message.header.stamp) for message in list(peer.heard["usdrl/scores"])]
            assert np.median(np.diff(stamps)) / SECOND == pytest.approx(1 / rate, rel=0.05)

        assert "model: the engine is built from it" in peer.set_parameter("model", "/other.onnx")
        assert "source: the subscription is made from it" in peer.set_parameter("source", "zed")
        assert "must not be above start_threshold" in peer.set_parameter("end_threshold", 0.9)
        assert program.end() == 0


def test_diagnostics_have_the_measured_values(domain, model):
    with perception(f"model:={model}", *RELIABLE) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        joints = pose()
        joints[:5] = np.nan
        stamps = []
        for _ in range(60):  # in real time, 20 ms old
            stamps.append(time.time_ns() - 20_000_000)
            peer.publish(stamps[-1], {"ann": joints, "bob": pose()})
            time.sleep(1 / 30)

        def measured():
            return float(peer.diagnostics().get("input rate Hz", 0)) and "latency ms p99" in peer.diagnostics()

        wait_until(measured, what="values")
        status = peer.diagnostics()
        played_hz = (len(stamps) - 1) / ((stamps[-1] - stamps[0]) / SECOND)
        assert float(status["input rate Hz"]) == pytest.approx(played_hz, rel=0.2)
        assert 20 <= float(status["stamp age ms"]) < 500
        assert (status["people"], status["source"], status["topic"]) == ("2", "skeletons", "/skeletons")
        assert (status["unseen joints %"], status["derived joints %"]) == ("10", "0")
        assert 0 < float(status["step ms p50"]) <= float(status["step ms p99"])
        assert float(status["latency ms p50"]) > 20
        assert status["model"] == "hands"
        assert status["engine"]
        assert int(status["messages"]) <= 60
        assert program.end() == 0


def test_latency_over_the_budget_is_reported(domain, model):
    with perception(f"model:={model}", "latency_budget_ms:=100.0", *RELIABLE) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        for _ in range(30):
            peer.publish(time.time_ns() - 300_000_000, {"ann": pose()})
            time.sleep(1 / 30)
        line = program.wait_for_log("over_budget")
        assert "ms from stamp to events, latency_budget_ms is 100 (the step took" in line
        assert 300 <= int(line.split("over_budget")[1].split(": ")[1].split(" ms")[0]) < 5000
        wait_until(lambda: peer.diagnostics()["level"] == "1", what="WARN")
        assert peer.set_parameter("latency_budget_ms", 0.0) is None
        assert program.end() == 0


def test_markers_show_who_does_what_to_those_who_listen(domain, model):
    with perception(f"model:={model}", *RELIABLE) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        peer.listen(MarkerArray, "usdrl/markers")
        player = Player(peer)
        wait_until(lambda: player.play(0.2, "ann", right_hand_m=0.2) and peer.heard["usdrl/markers"], what="markers")
        player.play(1.5, "ann", right_hand_m=0.2, pause_s=0.03)
        wait_until(lambda: Phase.STARTED in player.phases("ann"), what="STARTED")
        player.play(0.3, "ann", right_hand_m=0.2, pause_s=0.03)

        def texts():
            return [m.text for array in list(peer.heard["usdrl/markers"]) for m in array.markers if m.ns == "label"]

        wait_until(lambda: f"ann\n{RIGHT}" in texts()[-1], what="a label with the action")
        newest = peer.heard["usdrl/markers"][-1].markers
        assert [marker.ns for marker in newest] == ["bones", "joints", "label"]
        assert len(newest[1].points) == 25
        assert {marker.header.frame_id for marker in newest} == {"camera"}
        times = peer.at["usdrl/markers"]
        assert (len(times) - 1) / (times[-1] - times[0]) < 15.5  # markers_rate
        assert peer.set_parameter("markers", False) is None
        program.wait_for_log("changed parameters: markers False")
        time.sleep(0.2)
        peer.heard["usdrl/markers"].clear()
        player.play(0.5, "ann")
        time.sleep(0.2)
        assert not peer.heard["usdrl/markers"]
        assert program.end() == 0


def test_two_instances_in_one_graph_do_not_meet(domain, model):
    with (
        perception(f"model:={model}", *RELIABLE, remap="__ns:=/robot_1") as first,
        perception(f"model:={model}", *RELIABLE, remap="__ns:=/robot_2") as second,
        Peer(domain, "robot_1") as one,
        Peer(domain, "robot_2") as two,
    ):
        one.wait_for_perception()
        two.wait_for_perception()
        Player(one).play(1.0, "ann", right_hand_m=0.2)
        Player(two).play(1.0, "bob", left_hand_m=0.2)
        wait_until(lambda: one.events and two.events, what="events of both")
        assert {event.person_id for event in one.events} == {"ann"}
        assert {event.person_id for event in two.events} == {"bob"}
        names = {"robot_1/perception: recognition", "robot_2/perception: recognition"}
        wait_until(lambda: {array.status[0].name for array in list(one.heard["/diagnostics"])} == names)
        assert first.end() == second.end() == 0


def test_one_message_a_person_at_one_stamp(domain, model):
    with perception(f"model:={model}", *RELIABLE) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        now_ns = time.time_ns()
        for i in range(45):
            for person, hand_m in (("ann", 0.2), ("bob", -0.4), ("eve", 0.2)):
                peer.publish(now_ns + i * SECOND // 30, {person: pose(right_hand_m=hand_m)})
            time.sleep(0.005)
        wait_until(lambda: len({e.person_id for e in peer.events if e.phase == Phase.STARTED}) == 2, what="both")
        assert {event.person_id for event in peer.events} == {"ann", "eve"}
        assert program.end() == 0
        assert "problems: none" in program.log


def test_silence_is_explained(domain, model):
    parameters = (f"model:={model}", "input_reliability:=reliable", "input_timeout_s:=0.3")
    with Peer(domain, skeletons=False) as peer, perception(*parameters) as program:
        program.wait_for_log("no skeletons on /skeletons for .*: nobody publishes it")
        ours = peer.node.create_publisher(SkeletonArray, "/tracker/people", 10)
        wait_until(
            lambda: (
                peer.diagnostics()
                .get("message", "")
                .endswith("nobody publishes it; skeletons are on /tracker/people (source:=skeletons)")
            ),
            what="the topic that holds skeletons",
        )
        with Peer(domain, skeletons=False) as other:  # one participant cannot have two types of a topic
            other.node.create_publisher(Header, "/skeletons", 10)
            fault = "it carries std_msgs/msg/Header, source 'skeletons' reads usdrl_ros/msg/SkeletonArray"
            wait_until(lambda: fault in peer.diagnostics().get("message", ""), what="the wrong type")
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        unreliable = peer.node.create_publisher(SkeletonArray, "/skeletons", best_effort)
        program.wait_for_log("incompatible_qos.*set input_reliability:=best_effort")
        fault = "it is offered best_effort only; set input_reliability:=best_effort"
        wait_until(lambda: fault in peer.diagnostics().get("message", ""), what="the wrong quality of service")
        assert peer.diagnostics()["level"] == "3"
        for publisher in (ours, unreliable):
            peer.node.destroy_publisher(publisher)
        assert program.end() == 0


def test_qos_overrides_reach_the_publishers(domain, model):
    override = "qos_overrides./usdrl/actions.publisher.depth:=7"
    reliability = "qos_overrides./usdrl/scores.publisher.reliability:=best_effort"
    with perception(f"model:={model}", override, reliability) as program, Peer(domain) as peer:
        wait_until(lambda: peer.heard["usdrl/vocabulary"], what="the node")
        (scores,) = peer.node.get_publishers_info_by_topic("/usdrl/scores")
        assert scores.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
        (actions,) = peer.node.get_publishers_info_by_topic("/usdrl/actions")
        assert actions.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert program.end() == 0


def test_the_security_policy_names_all_that_the_node_has(domain, model):
    profile = ElementTree.parse(ROOT / "config" / "usdrl_security.policy.xml").find(".//profile")

    def named(kind: str, access: str) -> set[str]:
        tags = profile.findall(f"{kind}[@{access}='ALLOW']/*")
        return {tag.text.replace("~", "/perception") if tag.text[0] in "/~" else f"/{tag.text}" for tag in tags}

    with perception(f"model:={model}", "use_sim_time:=true") as program, Peer(domain, skeletons=False) as peer:
        peer.wait_for_perception()
        node = peer.node

        def found(look_up: Callable, *and_more: str) -> set[str]:
            """What the graph shows of the node, and what it has besides in other distributions or with parameters."""
            names = {name for name, _ in look_up("perception", "/")} | set(and_more)
            return {name for name in names if name.partition("/_action/")[0] not in named("actions", "execute")}

        for look_up, expected, more in (
            (node.get_publisher_names_and_types_by_node, named("topics", "publish"), "/intents"),
            (node.get_subscriber_names_and_types_by_node, named("topics", "subscribe"), "/parameter_events"),
            (
                node.get_service_names_and_types_by_node,
                named("services", "reply"),
                "/perception/get_type_description",
            ),
        ):
            wait_until(lambda look_up=look_up, expected=expected, more=more: found(look_up, more) >= expected)
            assert found(look_up, more) == expected
        assert program.end() == 0


def test_intents_are_published_where_they_are_asked_for(domain, model, interface_packages):  # noqa: F811
    from hri_actions_msgs.msg import Intent

    names = f"intent_names:=['{RIGHT}=__intent_greet__']"
    with perception(f"model:={model}", "intents:=true", names, *RELIABLE) as program, Peer(domain) as peer:
        peer.listen(Intent, "/intents")
        peer.wait_for_perception()
        player = Player(peer)
        player.play(1.5, "ann", right_hand_m=0.2)
        wait_until(lambda: peer.heard["/intents"], what="an intent")
        player.play(3.0, "ann")
        wait_until(lambda: Phase.ENDED in player.phases("ann"), what="ENDED")
        (intent,) = peer.heard["/intents"]  # of STARTED only
        assert (intent.intent, intent.source, intent.modality) == (Intent.GREET, "ann", Intent.MODALITY_MOTION)
        (started,) = [event for event in peer.events if event.phase == Phase.STARTED]
        assert json.loads(intent.data)["other_data"]["event_id"] == started.event_id
        assert intent.confidence == pytest.approx(started.confidence)
        assert program.end() == 0


def test_intents_without_their_package_are_refused(domain, model, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "hri_actions_msgs.msg", None)  # another test may have built it
    assert main(["--ros-args", "-p", f"model:={model}", "-p", "intents:=true"]) == 1
    line = next(line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line)
    assert "parameter intents needs the message hri_actions_msgs/msg/Intent, which is not installed" in line
    assert "hri-actions-msgs" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["perception", "replay"])
def test_a_signal_while_the_imports_run_ends_it_cleanly(domain, module, number):
    with Program(f"usdrl_ros.nodes.{module}") as program:

        def handled():
            status = Path(f"/proc/{program.pid}/status").read_text()
            caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
            return caught >> (signal.SIGTERM - 1) & 1  # Python itself catches SIGINT, but not this one

        wait_until(handled, what="the program's own handlers")
        assert program.end(number) == 0
        assert "Traceback" not in program.log


def test_skeletons_of_another_layout_between_messages(domain, model):
    """A publisher that changes its layout, as a tracker does after a restart with another model."""
    with perception(f"model:={model}", *RELIABLE) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        now_ns = time.time_ns()
        coco = np.full((17, 3), np.nan)
        coco[5:] = pose()[[4, 8, 5, 9, 6, 10, 12, 16, 13, 17, 14, 18]]  # shoulders to ankles
        for i in range(60):
            layout, joints = ("ntu_25", pose()) if i % 2 else ("coco_17", coco)
            people = [Person("ann", layout, joints, None)]
            peer.skeletons.publish(
                skeletons_to_message(message_types(), now_ns + i * SECOND // 30, "c", layout, people)
            )
            time.sleep(0.005)
        wait_until(lambda: peer.scored("ann", now_ns + SECOND), what="scores")
        assert program.end() == 0
        assert "problems: none" in program.log
