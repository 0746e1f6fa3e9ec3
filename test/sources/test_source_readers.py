"""Every source's messages are read as what they say, and what is malformed in them harms nothing else."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from source_messages import BODY_25, LAYOUTS, header, in_layout, messages, plain, seen_by, zed_object

from bench.sources import message_of
from usdrl_ros.demo.actor import play
from usdrl_ros.inference.contract import Predictions
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.resources import data_directory
from usdrl_ros.scene.naming import Naming
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.normalize import NORMALIZATION
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.named_joints import is_joint
from usdrl_ros.sources.reader import Source, SourceError, SourceReader, load_source, source_names

STAMP = 7_000_000_123
SOURCES = tuple(LAYOUTS)
NAMED = [name for name in SOURCES if name != "opendr_3d"]
"""Those whose own ids are kept."""


def joints_of(source: str, seed: int = 0) -> np.ndarray:
    """A body of random proportions 3 m away, such as the source's layout has it."""
    layout = load_layout(LAYOUTS[source])
    ntu = np.random.default_rng(seed).normal(0, 0.3, (25, 3)) + np.array([seed, 0, 3])
    return in_layout(ntu, layout).astype(np.float32)


def named(source: str, joints: np.ndarray) -> np.ndarray:
    """The joints that are read: where names identify them, those whose names are known; heels are not."""
    if source != "hi_ros":
        return joints
    return joints[[number for number, name in enumerate(BODY_25) if is_joint(name)]]


class Named:
    """A reader of a source, and the ids that the scene gives its people."""

    def __init__(self, source: Source, **options: Any) -> None:
        self.reader, self._naming = SourceReader(source, **options), Naming()

    def read(self, message: Any, record_ns: int = 0) -> Frame:
        return self._naming.update(self.reader.read(message, record_ns))


def reader(source: str, **options: Any) -> Named:
    return Named(load_source(source), **options)


def all_people(source: Named, found: list[Any], record_ns: int = STAMP) -> tuple[list[Person], list[str], Any]:
    """The people and the causes of problems in some messages, and the last frame."""
    people, causes = [], []
    for message in found:
        frame = source.read(message, record_ns)
        people += frame.people
        causes += [problem.cause for problem in frame.problems]
    return people, causes, frame


@pytest.mark.parametrize("source", SOURCES)
def test_people_come_out_as_they_went_in(source: str) -> None:
    people = {"3": joints_of(source), "12": joints_of(source, 1)}
    found, causes, frame = all_people(reader(source), messages(source, plain, STAMP, "camera", people))
    assert causes == []
    assert frame.stamp_ns == STAMP
    assert frame.frame_id == ("" if source == "opendr_3d" else "camera")
    assert [person.person_id for person in found] == (["track_1", "track_2"] if source == "opendr_3d" else ["3", "12"])
    for person, joints in zip(found, people.values(), strict=True):
        np.testing.assert_array_equal(person.joints, named(source, joints))
        expected = load_layout(LAYOUTS[source]).to_ntu25(joints)[0]
        np.testing.assert_allclose(load_layout(person.layout).to_ntu25(person.joints)[0], expected, atol=0.02)


@pytest.mark.parametrize("source", SOURCES)
def test_nobody_is_no_problem(source: str) -> None:
    for message in messages(source, plain, STAMP, "camera", {}):
        frame = reader(source).read(message, STAMP)
        assert (frame.stamp_ns, frame.people, frame.problems) == (STAMP, [], [])


class Hands:
    """An engine whose actions are: a hand is above the shoulder; z is up after normalisation."""

    info = ModelInfo("hands", ("right", "left"), 2.0, NORMALIZATION, "none")

    def infer(self, skeletons: np.ndarray) -> Predictions:
        above = skeletons[:, 2, :, [11, 7], 0] - skeletons[:, 2, :, [8, 4], 0]
        logits = 40.0 * np.moveaxis(np.atleast_3d(above), 0, -1)
        return Predictions(np.concatenate([0 * logits[..., :1], logits], -1), logits.mean(1), logits.mean(1))


def events_of(reading: Named, sent: list[list[Any]], stamps: list[int]) -> list[tuple]:
    recognizer, events = Recognizer(Hands(), Settings(rate=5.0)), []
    for of_instant, stamp_ns in zip(sent, stamps, strict=True):
        for message in of_instant:
            frame = reading.reader.read(message, stamp_ns)
            assert frame.problems == []
            assert recognizer.observe(frame).problems == []
        while step := recognizer.step():
            events += step.events
    events += recognizer.finish()
    return [(e.phase, e.action, e.person_id, e.stamp_ns, e.start_ns, e.end_ns, e.confidence) for e in events]


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_the_same_motion_gives_the_events_of_our_own_message(source: str) -> None:
    """The actors' scene in the source's own layout and axes, in its messages and in a SkeletonArray."""
    scene = play({"1": ["wave", "throw"], "2": ["clap", "wave"]}, seed=2, rate_hz=10.0, idle_s=(0.5, 1.0))
    seen = seen_by(source, scene)
    stamps = [10**9 + round(seconds * 1e9) for seconds in scene.stamps]
    sent, ours = [], []
    for t, stamp_ns in enumerate(stamps):
        people = {name: joints[t].astype(np.float32) for name, joints in seen.items()}
        sent.append(messages(source, plain, stamp_ns, "camera", people))
        ours.append([skeleton_array(stamp_ns, LAYOUTS[source], people)])
    found = events_of(reader(source), sent, stamps)
    expected = events_of(reader("skeletons"), ours, stamps)
    assert len({event[1:3] for event in expected}) >= 2  # else the comparison would say little
    if source == "opendr_3d":  # it gets ids of its own
        ids = {"1": "track_1", "2": "track_2"}
        expected = [(*event[:2], ids[event[2]], *event[3:]) for event in expected]
        assert sorted(found) == sorted(expected)
    else:
        assert found == expected


def skeleton_array(stamp_ns: int, layout: str, people: dict[str, np.ndarray]) -> SimpleNamespace:
    skeletons = [
        SimpleNamespace(person_id=name, positions=joints.ravel(), confidences=[]) for name, joints in people.items()
    ]
    return SimpleNamespace(header=header(plain, stamp_ns, "camera"), layout=layout, skeletons=skeletons)


@pytest.mark.parametrize("axes", ["kinect", "optical", "flu"])
def test_axes_are_rotations_and_point_where_they_say(axes: str) -> None:
    from usdrl_ros.sources.source_file import AXES

    turn = np.array(AXES[axes])
    np.testing.assert_array_equal(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1.0)
    up_and_left = {"kinect": ([0, 1, 0], [1, 0, 0]), "optical": ([0, -1, 0], [-1, 0, 0]), "flu": ([0, 0, 1], [0, 1, 0])}
    for given, kinect in zip(up_and_left[axes], ([0, 1, 0], [1, 0, 0]), strict=True):
        np.testing.assert_array_equal(turn @ given, kinect)


def first_person(source: str, message: Any) -> Any:
    """What holds the fields of the first person."""
    return {
        "skeletons": lambda: message.skeletons[0],
        "zed": lambda: message.objects[0],
        "yolo_3d": lambda: message.detections[0],
        "azure_kinect": lambda: message.markers[0],
        "opendr_3d": lambda: message,
        "hi_ros": lambda: message.skeletons[0],
    }[source]()


JOINTS = {
    "zed": lambda person: person.skeleton_3d.keypoints,
    "yolo_3d": lambda person: person.keypoints3d.data,
    "opendr_3d": lambda person: person.keypoint_list,
    "hi_ros": lambda person: person.markers,
}


def lose_a_joint(source: str, message: Any) -> None:
    if source == "skeletons":
        message.skeletons[0].positions = message.skeletons[0].positions[:-3]
    elif source == "azure_kinect":
        message.markers.pop(5)
    elif source == "zed":
        del message.objects[0].skeleton_3d.keypoints[33:]
    else:
        JOINTS[source](first_person(source, message)).pop(5)


def set_position(source: str, message: Any, value: Any) -> None:
    """Of the sixth joint of the first person."""
    person = first_person(source, message)
    if source == "skeletons":
        person.positions[15:18] = [value] * 3
    elif source == "zed":
        person.skeleton_3d.keypoints[5].kp = [value] * 3
    else:
        place = {
            "yolo_3d": lambda: person.keypoints3d.data[5].point,
            "azure_kinect": lambda: message.markers[5].pose.position,
            "opendr_3d": lambda: person.keypoint_list[5],
            "hi_ros": lambda: person.markers[5].center.pose.position,
        }[source]()
        place.x = place.y = place.z = value


def sent_by(source: str) -> list[Any]:
    return messages(source, plain, STAMP, "camera", {"1": joints_of(source), "2": joints_of(source, 1)})


@pytest.mark.parametrize("source", SOURCES)
def test_a_joint_that_is_nan_is_unseen(source: str) -> None:
    found = sent_by(source)
    set_position(source, found[0], float("nan"))
    people, causes, _ = all_people(reader(source), found)
    assert causes == []
    assert len(people) == 2
    assert np.isnan(people[0].joints).all(-1).nonzero()[0].tolist() == [5]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e300])
def test_infinite_and_huge_numbers_count_as_unseen_and_are_reported(source: str, value: float) -> None:
    found = sent_by(source)
    set_position(source, found[0], value)
    people, causes, _ = all_people(reader(source), found)
    assert causes == ["not_finite"]
    assert len(people) == 2
    assert np.isnan(people[0].joints).all(-1).nonzero()[0].tolist() == [5]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("value", ["three", [1, 2], {}, object()])
def test_what_is_no_number_takes_that_person_alone(source: str, value: Any) -> None:
    found = sent_by(source)
    if source == "skeletons":
        found[0].skeletons[0].positions = list(found[0].skeletons[0].positions)
    set_position(source, found[0], value)
    people, causes, _ = all_people(reader(source), found)
    assert len(people) == 1
    np.testing.assert_array_equal(people[0].joints, named(source, joints_of(source, 1)))
    assert causes in (["malformed"], ["wrong_size"])


@pytest.mark.parametrize("source", SOURCES)
def test_a_joint_too_few(source: str) -> None:
    """Told, except where unseen joints are left out of the list."""
    found = sent_by(source)
    lose_a_joint(source, found[0])
    reading = reader(source)
    if source == "hi_ros":  # it knows the joints that have been named
        reading.read(sent_by(source)[0])
    people, causes, _ = all_people(reading, found)
    if source in ("yolo_3d", "opendr_3d", "hi_ros"):
        assert causes == []
        assert np.isnan(people[0].joints).all(-1).sum() == 1
    else:
        assert causes == ["wrong_size"]
        assert len(people) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_no_joint_at_all(source: str) -> None:
    found = sent_by(source)
    if source == "skeletons":
        found[0].skeletons[0].positions = []
    elif source == "azure_kinect":
        del found[0].markers[:32]
    else:
        JOINTS[source](first_person(source, found[0])).clear()
    people, causes, _ = all_people(reader(source), found)
    if source == "azure_kinect":  # who has no marker is not there
        assert ([person.person_id for person in people], causes) == (["2"], [])
    elif source == "yolo_3d":  # a person of whom no joint is seen: the recognizer reports it
        assert np.isnan(people[0].joints).all()
    else:
        assert len(people) == 1
        assert len(causes) == 1


@pytest.mark.parametrize("source", NAMED)
def test_two_of_one_id(source: str) -> None:
    found = sent_by(source)
    if source == "azure_kinect":
        found[0].markers += messages(source, plain, STAMP, "camera", {"1": joints_of(source)})[0].markers
        people, causes, _ = all_people(reader(source), found)
        assert set(causes) == {"repeated_joint"}
        assert len(people) == 2
        return
    field = load_source(source).person.id
    setattr(first_person(source, found[0]), field, "2" if source in ("skeletons", "yolo_3d") else 2)
    people, causes, _ = all_people(reader(source), found)
    assert causes == ["repeated_person"]
    assert [person.person_id for person in people] == ["2"]
    np.testing.assert_array_equal(people[0].joints, named(source, joints_of(source)))


@pytest.mark.parametrize(("source", "none"), [("skeletons", ""), ("zed", -1), ("yolo_3d", ""), ("hi_ros", -1)])
def test_who_has_no_id_gets_one_or_is_reported(source: str, none: Any) -> None:
    found = sent_by(source)
    setattr(first_person(source, found[0]), load_source(source).person.id, none)
    for association, ids, causes in (
        ("on", ["track_1", "track_2"], []),
        ("off", ["2"], ["no_person_id"]),
        ("auto", ["2"], ["no_person_id"]) if source == "skeletons" else ("auto", ["2", "track_1"], []),
    ):
        people, said, _ = all_people(reader(source, association=association), found)
        assert ([person.person_id for person in people], said) == (ids, causes), association


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("message", [None, 3, "text", [], SimpleNamespace(), SimpleNamespace(header=None)])
def test_what_is_no_such_message_is_reported_and_not_raised(source: str, message: Any) -> None:
    frame = reader(source).read(message, STAMP)
    assert (frame.stamp_ns, frame.people) == (0, [])  # it is not known when it was
    assert {problem.cause for problem in frame.problems} <= {"missing_field", "malformed"}
    assert frame.problems


@pytest.mark.parametrize("source", SOURCES)
def test_a_field_less_in_a_person_takes_that_person_alone(source: str) -> None:
    fields = vars(first_person(source, sent_by(source)[0]))
    for field in fields:
        found = sent_by(source)
        delattr(first_person(source, found[0]), field)
        people, causes, _ = all_people(reader(source), found)
        whole = (
            {"header": 0, "id": 0, "action": 0}
            if source == "azure_kinect"
            else {"header": 1 if source == "opendr_3d" else 0}
        )
        assert len(people) == whole.get(field, 1 if causes else 2), field
        assert set(causes) <= {"missing_field"}, field
    header_lost = sent_by(source)[0]
    if hasattr(header_lost, "header"):
        del header_lost.header
        frame = reader(source).read(header_lost, STAMP)
        assert [problem.cause for problem in frame.problems] == ["missing_field"]
        assert (frame.stamp_ns, frame.people) == (0, [])


@pytest.mark.parametrize("source", NAMED)
def test_a_stamp_of_zero(source: str) -> None:
    (message,) = messages(source, plain, 0, "camera", {"1": joints_of(source)})
    frame = reader(source).read(message, STAMP)
    assert (frame.stamp_ns, [problem.cause for problem in frame.problems]) == (STAMP, ["no_stamp"])
    assert len(frame.people) == 1
    unknown = reader(source).read(message)
    assert (unknown.stamp_ns, unknown.problems) == (0, [])


def test_messages_of_one_person_each_show_one_instant() -> None:
    """OpenDR's are not stamped: what comes within 10 ms is of one image; ids stay although its own are shuffled."""
    source, rng = reader("opendr_3d"), np.random.default_rng(0)
    seen = set()
    for image in range(10):
        begin_ns = STAMP + image * 33_000_000
        for number, k in enumerate(rng.permutation(3)):
            people = {str(number): joints_of("opendr_3d", int(k)) + np.float32(0.01 * image)}
            (message,) = messages("opendr_3d", plain, 0, "", people)
            frame = source.read(message, begin_ns + number * 3_000_000)
            assert (frame.stamp_ns, frame.problems) == (begin_ns, [])
            seen.add((int(k), frame.people[0].person_id))
    assert len(seen) == 3
    assert len({person_id for _, person_id in seen}) == 3


def test_messages_that_waited_and_come_in_one_burst_are_reported_apart() -> None:
    """Three images of two people, all within 3 ms after a hitch: whoever is seen again is of the next image."""
    source, stamps = reader("opendr_3d"), []
    for image in range(3):
        for k in (0, 1):
            people = {str(k): joints_of("opendr_3d", k) + np.float32(0.01 * image)}
            (message,) = messages("opendr_3d", plain, 0, "", people)
            frame = source.read(message, STAMP + 500_000 * (2 * image + k))
            assert (frame.people[0].person_id, frame.problems) == (f"track_{k + 1}", [])
            stamps.append(frame.stamp_ns - STAMP)
    assert stamps == [0, 0, 1_000_000, 1_000_000, 2_000_000, 2_000_000]
    assert source.read(message, STAMP + 2_500_000).stamp_ns == STAMP + 2_500_000
    assert source.read(message, STAMP + 2_500_000).stamp_ns == STAMP + 2_500_001


def test_opendr_leaves_the_names_of_its_3d_joints_empty() -> None:
    """Its bridge fills none; the joints come in the layout's order then."""
    (message,) = messages("opendr_3d", plain, 0, "", {"1": joints_of("opendr_3d")})
    for keypoint in message.keypoint_list:
        keypoint.kpt_name = ""
    frame = reader("opendr_3d").read(message, STAMP)
    assert frame.problems == []
    np.testing.assert_array_equal(frame.people[0].joints, joints_of("opendr_3d"))


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({}, True),
        ({"tracking_state": 2}, True),
        ({"tracking_state": 0}, True),
        ({"tracking_state": 3}, False),
        ({"skeleton_available": False}, False),
    ],
)
def test_zed_people_who_do_not_count_are_left_out(fields: dict[str, Any], there: bool) -> None:
    joints = joints_of("zed")
    objects = [zed_object(plain, "1", joints, **fields), zed_object(plain, "2", joints)]
    frame = reader("zed").read(plain("", header=header(plain, STAMP, "camera"), objects=objects))
    assert [person.person_id for person in frame.people] == (["1", "2"] if there else ["2"])
    assert frame.problems == []


def test_zed_reports_the_layout_of_each_person() -> None:
    layouts = ("openpose_coco_18", "zed_body_34", "zed_body_38")
    objects = []
    for number, layout in enumerate(layouts):
        joints = np.random.default_rng(number).normal(0, 1, (len(load_layout(layout).joint_names), 3))
        objects.append(zed_object(plain, str(number), joints, layout))
    objects.append(zed_object(plain, "9", joints, body_format=7))
    frame = reader("zed").read(plain("", header=header(plain, STAMP, "camera"), objects=objects))
    assert tuple(person.layout for person in frame.people) == layouts
    (problem,) = frame.problems
    assert problem.cause == "unknown_layout"
    assert "body_format is 7, known are [0, 1, 2]" in problem.message


def test_yolo_keeps_people_only_and_the_frame_of_their_joints() -> None:
    (message,) = sent_by("yolo_3d")
    message.detections[0].class_name = "chair"
    frame = reader("yolo_3d").read(message)
    assert ([person.person_id for person in frame.people], frame.frame_id, frame.problems) == (["2"], "camera", [])
    np.testing.assert_allclose(frame.people[0].confidence, 0.9, atol=1e-6)
    (message,) = sent_by("yolo_3d")
    message.detections[1].keypoints3d.frame_id = "map"
    frame = reader("yolo_3d").read(message)
    assert [person.person_id for person in frame.people] == ["1"]
    assert [problem.cause for problem in frame.problems] == ["several_frames"]


def test_yolo_people_without_key_points_decide_nothing() -> None:
    """A box without key points has no frame: the people beside it are used, whatever their order."""
    for order in ((0, 1), (1, 0)):
        (message,) = sent_by("yolo_3d")
        box = message.detections[0]
        box.keypoints3d.data.clear()
        box.keypoints3d.frame_id = ""
        message.detections[1].keypoints3d.frame_id = "base_link"
        message.detections = [message.detections[k] for k in order]
        frame = reader("yolo_3d").read(message)
        seen = [person for person in frame.people if np.isfinite(person.joints).any()]
        assert ([person.person_id for person in seen], frame.frame_id, frame.problems) == (["2"], "base_link", [])
        np.testing.assert_array_equal(seen[0].joints, joints_of("yolo_3d", 1))


def test_zed_without_tracking_gets_ids_by_motion() -> None:
    """All ids are -1 and the state is off, in each message: two people keep their ids while they walk."""
    reading, seen = reader("zed"), []
    for turn in range(10):
        objects = [
            zed_object(plain, "-1", joints_of("zed", k) + np.float32(0.03 * turn), tracking_state=0) for k in (0, 1)
        ]
        message = plain("", header=header(plain, STAMP + turn * 10**8, "camera"), objects=objects)
        frame = reading.read(message)
        assert frame.problems == []
        seen.append([person.person_id for person in frame.people])
    assert seen == [["track_1", "track_2"]] * 10


@pytest.mark.parametrize(("number", "cause"), [(0, "unknown_joint"), (18, "unknown_joint"), (2, "repeated_joint")])
def test_yolo_joints_with_a_wrong_number_are_left_out(number: int, cause: str) -> None:
    (message,) = sent_by("yolo_3d")
    message.detections[0].keypoints3d.data[5].id = number
    frame = reader("yolo_3d").read(message)
    assert [problem.cause for problem in frame.problems] == [cause]
    assert np.isnan(frame.people[0].joints).all(-1).nonzero()[0].tolist() == [5]
    np.testing.assert_array_equal(frame.people[0].joints[1], joints_of("yolo_3d")[1])


def test_confidences_beyond_their_range_are_reported() -> None:
    (message,) = sent_by("yolo_3d")
    message.detections[0].keypoints3d.data[5].score = 87.0
    frame = reader("yolo_3d").read(message)
    (problem,) = frame.problems
    assert problem.cause == "odd_confidence"
    assert "from 0.9 to 87; sure is 1" in problem.message


def test_azure_markers_that_take_away_are_no_joints() -> None:
    (message,) = sent_by("azure_kinect")
    message.markers.insert(0, plain("", header=message.markers[0].header, action=3, id=0, pose=None))
    frame = reader("azure_kinect").read(message)
    assert ([person.person_id for person in frame.people], frame.problems) == (["1", "2"], [])


def test_hi_ros_joints_are_known_by_their_names_in_any_order() -> None:
    (message,) = sent_by("hi_ros")
    rng = np.random.default_rng(3)
    expected = load_layout(",".join(BODY_25)).to_ntu25(joints_of("hi_ros"))
    rng.shuffle(message.skeletons[0].markers)
    frame = reader("hi_ros").read(message)
    person = frame.people[0]
    mapped = load_layout(person.layout).to_ntu25(person.joints, person.confidence)
    np.testing.assert_allclose(mapped[0], expected[0], atol=1e-6)


def test_hi_ros_without_names_is_reported_and_read_by_a_layout_of_ones_own() -> None:
    (message,) = sent_by("hi_ros")
    for skeleton in message.skeletons:
        for marker in skeleton.markers:
            marker.name = ""
    assert [problem.cause for problem in reader("hi_ros").read(message).problems] == ["unknown_layout"] * 2
    frame = reader("hi_ros", layout="openpose_body_25").read(message)
    assert frame.problems == []
    np.testing.assert_array_equal(frame.people[0].joints, joints_of("hi_ros"))


@pytest.mark.parametrize("source", SOURCES)
def test_a_layout_may_be_given_instead_of_the_sources(source: str) -> None:
    """The joints' names in their order say what the preset says."""
    names = ",".join(load_layout(LAYOUTS[source]).joint_names)
    people, causes, _ = all_people(reader(source, layout=names), sent_by(source))
    assert causes == []
    assert {person.layout for person in people} == {names}


def test_a_message_may_not_name_a_file() -> None:
    for layout in ("/etc/passwd", "../layouts/ntu_25.yaml", "mine.yaml"):
        frame = reader("skeletons").read(skeleton_array(STAMP, layout, {"1": joints_of("skeletons")}))
        assert [problem.cause for problem in frame.problems] == ["unknown_layout"]


@pytest.mark.parametrize("source", [name for name in source_names() if load_source(name).dimensions == 2])
def test_sources_in_the_image_are_refused_with_the_reason(source: str) -> None:
    with pytest.raises(SourceError, match=f"'{source}' gives positions in the image .2D., the model needs 3D.*zed"):
        reader(source)


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ("zed", {"association": "maybe"}, "association is 'maybe', expected auto, on or off"),
        ("zed", {"layout": "kinect"}, "unknown joint layout 'kinect'"),
        ("opendr_3d", {"layout": "coco_17"}, "names the joint 'Nose', which layout 'coco_17' does not have"),
    ],
)
def test_options_that_do_not_fit_are_refused(source: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        reader(source, **options)


def test_without_scipy_association_is_refused_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(SourceError, match=r"association needs scipy.*python3-scipy .apt. or scipy .pip."):
        reader("zed")
    assert len(reader("zed", association="off").read(sent_by("zed")[0]).people) == 2


@pytest.mark.parametrize("name", [*source_names(), "template"])
def test_a_message_made_up_by_a_sources_description_is_read(name: str) -> None:
    """The benchmark's messages have exactly the fields that the file names."""
    path = str(data_directory("config") / "sources" / f"{name}.yaml")
    source = load_source(path)
    if source.dimensions == 2:
        pytest.skip("sources in the image are refused")
    frame = Named(source).read(message_of(source, 3))
    assert frame.problems == []
    assert len(frame.people) == (1 if source.one_person else 3)
    assert all(np.isfinite(person.joints).all() for person in frame.people)


JUNK = (
    None,
    -1,
    2**70,
    1e308,
    float("nan"),
    "x" * 50,
    b"\0",
    [],
    [1, [2]],
    {},
    object(),
    np.zeros((2, 2)),
    np.array("a"),
)


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (holder, attribute or number) of a message, from the top down."""
    if isinstance(value, SimpleNamespace):
        items: Any = vars(value).items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return found
    for key, inner in items:
        found.append((value, key))
        places(inner, found)
    return found


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.filterwarnings("error")
def test_whatever_stands_in_a_message_nothing_is_raised(source: str) -> None:
    """One to three places of a message hold something else; what comes out can be given to the recognizer."""
    rng = np.random.default_rng(1)
    reading, recognizer = reader(source), Recognizer(Hands(), Settings())
    for turn in range(150):
        message = sent_by(source)[0]
        for _ in range(rng.integers(1, 4)):
            of = places(message, [])
            holder, key = of[rng.integers(0, min(len(of), 40 if turn % 2 else len(of)))]
            junk = JUNK[rng.integers(0, len(JUNK))]
            if isinstance(holder, list):
                holder[key] = junk
            else:
                setattr(holder, key, junk)
        frame = reading.reader.read(message, STAMP + turn * 10**8)
        assert isinstance(frame.stamp_ns, int)
        assert isinstance(frame.frame_id, str)
        for person in frame.people:
            assert person.joints.shape == (len(load_layout(person.layout).joint_names), 3)
        recognizer.observe(frame)


def test_landmarks_about_the_hips_are_put_ahead_of_the_camera() -> None:
    landmarks = np.random.default_rng(3).normal(0, 0.3, (33, 3)).astype(np.float32)
    landmarks[[23, 24]] = [[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]]
    source = reader("mediapipe")
    message = plain("", header=header(plain, STAMP, "camera"), landmarks=landmarks.ravel().tolist(), valid=True)
    (person,) = source.read(message).people
    assert (person.person_id, person.layout) == ("track_1", "mediapipe_33")
    np.testing.assert_allclose(person.joints, landmarks + np.array([0.0, 0.0, 2.0]), atol=1e-6)
    message.header, message.valid = header(plain, STAMP + 10**8, "camera"), False
    assert source.read(message).people == []


def test_a_filter_that_leaves_nobody_from_the_start_is_reported() -> None:
    """Somebody who was kept shows that it is set up well: from then on nothing is reported."""
    reading, joints = reader("zed"), joints_of("zed")

    def read(second: float, **fields: Any) -> list[str]:
        head = header(plain, round(second * 1e9), "camera")
        frame = reading.read(plain("", header=head, objects=[zed_object(plain, "1", joints, **fields)]))
        assert all("skeleton_available is False, expected True" in each.message for each in frame.problems)
        return [each.cause for each in frame.problems]

    assert read(1.0, skeleton_available=False) == []
    assert read(3.9, skeleton_available=False) == []
    assert read(4.1, skeleton_available=False) == ["all_left_out"]
    assert read(5.0) == []
    assert read(99.0, skeleton_available=False) == []
