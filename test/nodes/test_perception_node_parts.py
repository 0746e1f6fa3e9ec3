"""The parts of the perception node by themselves: statistics, levels, markers, intents, what parameters may become."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ros_fixtures import pose
from visualization_msgs.msg import Marker

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.nodes import statistics, status
from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class
from usdrl_ros.nodes.distribution import answer_refused_transitions
from usdrl_ros.nodes.intents import event_to_intent, intent_names
from usdrl_ros.nodes.markers import RunningActions, people_markers
from usdrl_ros.nodes.parameters import descriptor
from usdrl_ros.nodes.statistics import Statistics
from usdrl_ros.perception_parameters import PARAMETERS, fault_of_change
from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.canonical import to_ntu25
from usdrl_ros.skeleton.layouts import NTU_25, load_layout
from usdrl_ros.skeleton.person import Frame, Person

pytestmark = pytest.mark.slow

SECOND = 10**9
DEFAULTS = {spec.name: spec.default for spec in PARAMETERS}


@pytest.fixture
def clock(monkeypatch):
    """Monotonic time, set by hand."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(statistics.time, "monotonic", lambda: now.s)
    return now


def event(
    phase: Phase, *, person: str = "ann", action: str = "wave", number: int = 1, confidence: float = 0.75
) -> Event:
    return Event(
        5 * SECOND, "camera", phase, f"{person}/{action}/{number}", person, action, confidence, SECOND, 2 * SECOND,
        (1.0, 2.0, float("nan")),
    )  # fmt: skip


def test_rate_age_and_latency_are_those_of_the_stream(clock):
    measured = Statistics()
    assert measured.values() == {"input rate Hz": "0.0"}
    for i in range(51):  # 20 Hz, stamps 40 ms old
        clock.s = 100.0 + i / 20
        measured.message(i * SECOND // 20, 0.04)
    assert measured.rate_hz == pytest.approx(20.0)
    assert measured.age_s == pytest.approx(0.04)
    clock.s += 0.03
    assert measured.step(50 * SECOND // 20, 0.012) == pytest.approx(0.07)  # 40 ms old when it came, out 30 ms later
    values = measured.values()
    assert (values["input rate Hz"], values["stamp age ms"]) == ("20.0", "40")
    assert (values["step ms p50"], values["latency ms p99"]) == ("12.0", "70.0")
    clock.s += 60.0
    assert measured.rate_hz == 0.0
    assert measured.age_s is None


def test_latency_counts_from_arrival_where_stamps_are_of_another_clock(clock):
    measured = Statistics()
    measured.message(7 * SECOND, 3600.0)
    clock.s += 0.2
    assert measured.step(7 * SECOND, 0.1) == pytest.approx(0.2)
    assert measured.step(7 * SECOND, 0.1) is None  # nothing came for it


def test_latency_of_two_cameras_whose_stamps_interleave(clock):
    measured = Statistics()
    for i in range(10):  # the second camera comes 10 ms after the first, with stamps that are 30 ms older
        clock.s = 100.0 + 0.1 * i
        measured.message(i * SECOND // 10, 0.0)
        clock.s += 0.01
        measured.message(i * SECOND // 10 - 3 * SECOND // 100, 0.0)
        clock.s += 0.04
        assert measured.step(i * SECOND // 10, 0.01) == pytest.approx(0.04)  # since the second camera's message
    clock.s += 0.1
    measured.message(0, 0.0)
    measured.message(-2 * SECOND, 0.0)  # the clock was set back: the one before is forgotten
    assert measured.step(-SECOND, 0.01) == pytest.approx(0.0)
    assert measured.step(0, 0.01) is None


def test_percentiles_are_numpys(clock):
    measured = Statistics()
    durations = np.random.default_rng(0).exponential(0.01, 400)
    for duration in durations:
        measured.step(0, float(duration))
    assert measured.values()["step ms p50"] == f"{np.percentile(durations, 50) * 1e3:.1f}"
    assert measured.values()["step ms p99"] == f"{np.percentile(durations, 99) * 1e3:.1f}"


def test_share_of_unseen_and_derived_joints(clock):
    joints = pose()
    joints[:5] = np.nan  # 5 of 25
    measured = Statistics()
    measured.people([Person("ann", "ntu_25", joints), Person("bob", "ntu_25", pose())])
    assert measured.unseen == pytest.approx(0.1)
    assert measured.derived == 0.0
    clock.s += 10.0
    frame = to_ntu25(Frame(1, "camera", [Person("ann", "coco_17", np.ones((17, 3)))]))
    measured.people(frame.people)
    assert measured.derived == pytest.approx(load_layout("coco_17").derived.mean())


def test_levels(clock):
    measured = Statistics()
    ok, warn, error, stale = (bytes([level]) for level in range(4))
    assert status.inactive("", configured=False) == status.Status(ok, "not configured")
    assert status.inactive("no model", configured=False) == status.Status(error, "not configured: no model")
    assert status.watching(2, None, measured) == status.Status(ok, "watching 2 people")
    assert status.watching(2, Problem("wrong_size", "x"), measured).level == warn
    assert status.watching(2, Problem("internal_error", "a\nb"), measured) == status.Status(error, "internal_error: a")
    assert status.silent("/s", 3.2, "nobody publishes it") == status.Status(
        stale, "no skeletons on /s for 3 s: nobody publishes it"
    )
    for i in range(5):
        clock.s += 0.5
        measured.message(i * SECOND, 0.0)
    assert status.watching(1, None, measured) == status.Status(
        warn, "2.0 messages a second are too few for fast movements"
    )
    for age_s, words in ((7000.0, "7000.0 s old"), (-9.0, "9.0 s ahead")):
        measured.clear()
        measured.message(0, age_s)
        assert words in status.watching(1, None, measured).message
        assert status.watching(1, None, measured).level == warn
    measured.clear()
    measured.people([Person("ann", "ntu_25", np.full((25, 3), np.nan))])
    assert "100% of the joints are unseen" in status.watching(1, None, measured).message


def test_markers_stand_where_the_joints_are():
    running = RunningActions()
    running.take([event(Phase.STARTED), event(Phase.STARTED, action="walk", number=2, confidence=0.9)])
    joints = pose()
    joints[NTU_25.index("HandLeft")] = np.nan
    people = [Person("ann", "ntu_25", joints), Person("unseen", "ntu_25", np.full((25, 3), np.nan))]
    bones, spheres, label = people_markers(3 * SECOND + 5, "camera", people, running, 1.5).markers
    assert {marker.header.frame_id for marker in (bones, spheres, label)} == {"camera"}
    assert (bones.header.stamp.sec, bones.header.stamp.nanosec) == (3, 5)
    assert (bones.lifetime.sec, bones.lifetime.nanosec) == (1, SECOND // 2)
    assert (bones.type, spheres.type, label.type) == (Marker.LINE_LIST, Marker.SPHERE_LIST, Marker.TEXT_VIEW_FACING)
    assert bones.id == spheres.id == label.id

    def rows(points):
        return [(point.x, point.y, point.z) for point in points]

    assert rows(spheres.points) == [tuple(joint) for joint in joints if np.isfinite(joint).all()]
    ends = [pair for pair in load_layout("ntu_25").bones if NTU_25.index("HandLeft") not in pair]
    assert rows(bones.points) == [tuple(joints[index]) for pair in ends for index in pair]
    assert label.text == "ann\nwalk 0.90\nwave 0.75"
    head, pelvis = joints[NTU_25.index("Head")], joints[NTU_25.index("SpineBase")]
    above = np.array(rows([label.pose.position])[0]) - head
    assert np.linalg.norm(above) == pytest.approx(0.25)
    assert above @ (head - pelvis) == pytest.approx(0.25 * np.linalg.norm(head - pelvis))  # the same direction


def test_markers_forget_what_has_ended_and_leave_out_what_is_no_place():
    running = RunningActions()
    running.take([event(Phase.STARTED), event(Phase.ENDED)])
    assert running.of("ann") == []


class FakeIntent(SimpleNamespace):
    MODALITY_MOTION = "__modality_motion__"


def test_an_intent_says_who_what_and_where():
    names = intent_names(["wave = __intent_greet__", "point=__intent_guide__"])
    intent = event_to_intent(FakeIntent, event(Phase.STARTED), names)
    assert (intent.intent, intent.source, intent.modality) == ("__intent_greet__", "ann", "__modality_motion__")
    assert (intent.priority, intent.confidence) == (128, 0.75)
    assert json.loads(intent.data) == {
        "recipient": "ann",
        "other_data": {
            "event_id": "ann/wave/1",
            "action": "wave",
            "frame_id": "camera",
            "position": [1.0, 2.0, None],  # JSON knows no NaN
            "start_s": 1.0,
        },
    }
    assert event_to_intent(FakeIntent, event(Phase.STARTED, action="jump"), names).intent == "jump"


def test_a_missing_message_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert first_message_class(["no_such_msgs/msg/A", "std_msgs/msg/Header"], [], "x")[0] == "std_msgs/msg/Header"
    with pytest.raises(MissingMessagesError, match=r"source 'zed' needs .*no_such_msgs/msg/A.*ros-humble-zed-msgs"):
        first_message_class(["no_such_msgs/msg/A"], ["ros-{distro}-zed-msgs"], "source 'zed'")
    with pytest.raises(MissingMessagesError, match="not installed: add yolo_msgs to your workspace; then source"):
        first_message_class(["no_such_msgs/msg/A"], ["yolo_msgs"], "source 'yolo_3d'")


@pytest.mark.parametrize("spec", PARAMETERS, ids=lambda spec: spec.name)
def test_each_parameter_changes_while_running_or_says_why_not(spec):
    kind = type(spec.default)
    other = {bool: not spec.default, str: "other", list: ["a=b"], int: 2, float: spec.low}[kind]
    if spec.choices:
        other = next(choice for choice in spec.choices if choice != spec.default)
    valid = {
        "inputs": ["/front/skeletons source=zed"],
        "camera_poses": ["front 0 0 1 0 0 0 1"],
        "thresholds": ["wave=0.3"],
    }
    other = valid.get(spec.name, other)
    if spec.name == "start_threshold":
        other = 0.9
    assert fault_of_change(DEFAULTS, {spec.name: other}, configured=False) is None
    assert fault_of_change(DEFAULTS, {spec.name: spec.default}, configured=True) is None
    refused = fault_of_change(DEFAULTS, {spec.name: other}, configured=True)
    if spec.live:
        assert refused is None
        assert "may change while the node is up" in descriptor(spec).additional_constraints
    else:
        assert refused == f"{spec.name}: {spec.fixed}. Deactivate and clean it up first, or restart it"


def test_a_change_that_contradicts_another_parameter_is_refused_whole():
    change = {"rate": 5.0, "end_threshold": 0.9}
    assert "end_threshold is 0.9, must not be above" in fault_of_change(DEFAULTS, change, configured=True)
    assert fault_of_change(DEFAULTS, {**change, "start_threshold": 0.95}, configured=True) is None


def test_a_transition_that_rclpy_raises_on_is_refused():
    logged = []

    def raises(request, response):
        raise RuntimeError("no transition matching 1 found\nfor current state inactive")

    node = SimpleNamespace(
        _service_change_state=SimpleNamespace(callback=raises),
        get_logger=lambda: SimpleNamespace(warning=logged.append),
    )
    answer_refused_transitions(node)
    request = SimpleNamespace(transition=SimpleNamespace(id=1, label=""))
    assert not node._service_change_state.callback(request, SimpleNamespace(success=True)).success
    assert logged == ["transition 1 refused: no transition matching 1 found for current state inactive"]
