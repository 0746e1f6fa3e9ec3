"""One's own recordings: bags written by the package and read back, and tables written here by their specification."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data import own_bags, own_csv
from training.data.errors import DatasetError
from training.data.own_dataset import read_description
from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import SKELETONS, TRUTH, bag_message_types
from usdrl_ros.bags.writer import START_NS, BagWriter, write_recording
from usdrl_ros.demo.actor import play, random_script
from usdrl_ros.messages import event_to_message, skeletons_to_message, truth_to_message
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Person


def recording(name: str = "take", frames: int = 12, people: int = 2, seed: int = 0) -> Recording:
    """Two people in float32 metres; the second is away for a while, a joint of the first unseen throughout."""
    rng = np.random.default_rng(seed)
    stamps = np.cumsum(rng.uniform(0.02, 0.05, frames)).round(6)
    stamps -= stamps[0]
    joints = {f"p{i}": rng.normal(size=(frames, 20, 3)).astype(np.float32).astype(float) for i in range(people)}
    joints["p0"][:, 4] = np.nan
    if people > 1:
        joints["p1"][3:6] = np.nan
    segments = (Segment(0.0, 0.11, "wave", "p0"), Segment(0.05, float(stamps[-1]), "clap", f"p{people - 1}"))
    return Recording(name, "kinect_v1_20", stamps, joints, segments)


def assert_same(found: Recording, expected: Recording) -> None:
    assert (found.name, found.layout) == (expected.name, expected.layout)
    np.testing.assert_allclose(found.stamps, expected.stamps, rtol=0, atol=1e-9)
    assert set(found.joints) == set(expected.joints)
    for person, joints in expected.joints.items():
        np.testing.assert_array_equal(found.joints[person], joints)
    assert [(s.action, s.person_id) for s in found.segments] == [(s.action, s.person_id) for s in expected.segments]
    times, due = (np.array([(s.start, s.end) for s in take.segments]) for take in (found, expected))
    np.testing.assert_allclose(times, due, rtol=0, atol=1e-9)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_bags_come_back_as_written(tmp_path: Path, storage: str) -> None:
    written = {name: recording(name, seed=seed) for seed, name in enumerate(("kitchen/one", "kitchen/two.b", "hall"))}
    for name, take in written.items():
        write_recording(take, tmp_path / name, storage=storage)
    sources = own_bags.find(tmp_path)
    assert [source.name for source in sources] == ["hall", "kitchen/one", "kitchen/two.b"]
    for source in sources:
        assert_same(own_bags.read(source), written[source.name])
    assert own_bags.actions(tmp_path) == ("clap", "wave")
    assert own_bags.ACTIONS == ()


def test_a_played_take_comes_back_as_it_was(tmp_path: Path) -> None:
    take = play(random_script(3, 2, ("wave", "clap")), seed=3, layout="ntu_25", name="played")
    write_recording(take, tmp_path / "played")
    found = own_bags.read(own_bags.find(tmp_path)[0])
    as_float32 = {person: joints.astype(np.float32).astype(float) for person, joints in take.joints.items()}
    order = sorted(take.segments, key=lambda segment: segment.end)
    assert_same(found, Recording("played", "ntu_25", take.stamps, as_float32, tuple(order)))


def test_a_lone_file_and_one_bag_as_root(tmp_path: Path) -> None:
    take = recording()
    write_recording(take, tmp_path / "take")
    (lone,) = (tmp_path / "take").glob("*.mcap")
    (tmp_path / "loose").mkdir()
    shutil.copy(lone, tmp_path / "loose" / "take.mcap")
    for root in (tmp_path / "take", tmp_path / "loose"):
        (source,) = own_bags.find(root)
        assert_same(own_bags.read(source), take)


def test_bags_without_truth_serve_pretraining(tmp_path: Path) -> None:
    take = recording()
    write_recording(Recording("take", take.layout, take.stamps, take.joints), tmp_path / "take")
    assert own_bags.read(own_bags.find(tmp_path)[0]).segments == ()
    assert own_bags.actions(tmp_path) == ()


LAYOUT = load_layout("kinect_v1_20")


class Messages:
    """Writes a bag message by message; stamps in seconds."""

    def __init__(self, path: Path) -> None:
        self.path, self.types = path, bag_message_types()

    def __enter__(self) -> Messages:
        self.writer = BagWriter(self.path).__enter__()
        self.count = 0
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.__exit__(*error)  # type: ignore[arg-type]

    def skeletons(
        self,
        seconds: float,
        *people: Person,
        frame_id: str = "camera",
        layout: str = LAYOUT.name,
        topic: str = SKELETONS,
    ) -> None:
        stamp_ns = START_NS + round(seconds * 1e9)
        message = skeletons_to_message(self.types, stamp_ns, frame_id, layout, people)
        self.count += 1
        self.writer.write(topic, START_NS + self.count, message)

    def truth(self, start: float, end: float, action: str = "wave", person: str = "p0") -> None:
        start_ns, end_ns = (START_NS + round(seconds * 1e9) for seconds in (start, end))
        fields = {"frame_id": "camera", "event_id": "t", "person_id": person, "action": action}
        message = truth_to_message(self.types, **fields, start_ns=start_ns, end_ns=end_ns)
        self.writer.write(TRUTH, end_ns, message)


def person(name: str = "p0", layout: str = LAYOUT.name, confidence: np.ndarray | None = None) -> Person:
    return Person(name, layout, np.ones((len(load_layout(layout).joint_names), 3)), confidence)


def test_joints_without_confidence_are_unseen_and_axes_are_turned(tmp_path: Path) -> None:
    """Optical axes: x right, y down; a joint at (1, 2, 3) there is at (-1, -2, 3) here."""
    confidence = np.linspace(0.0, 1.0, 20)
    joints = np.tile([1.0, 2.0, 3.0], (20, 1))
    with Messages(tmp_path / "take") as bag:
        for seconds in (0.0, 0.1):
            bag.skeletons(seconds, Person("p0", LAYOUT.name, joints, confidence), topic="/other/skeletons")
    (tmp_path / "dataset.yaml").write_text("axes: optical\npeople: {take: anna}\n")
    found = own_bags.read(own_bags.find(tmp_path)[0])
    assert found.person == "anna"
    assert np.isnan(found.joints["p0"][:, 0]).all()
    np.testing.assert_array_equal(found.joints["p0"][:, 1:], np.tile([-1.0, -2.0, 3.0], (2, 19, 1)))


def test_a_true_action_of_nobody_is_of_the_only_person(tmp_path: Path) -> None:
    with Messages(tmp_path / "take") as bag:
        bag.skeletons(0.0, person("ben"))
        bag.skeletons(1.0, person("ben"))
        bag.truth(0.25, 0.75, person="")
    assert own_bags.read(own_bags.find(tmp_path)[0]).segments == (Segment(0.25, 0.75, "wave", "ben"),)


def test_only_ended_events_are_true_actions(tmp_path: Path) -> None:
    with Messages(tmp_path / "take") as bag:
        bag.skeletons(0.0, person())
        bag.skeletons(1.0, person())
        for phase in Phase:
            end_ns = START_NS + 10**9
            event = Event(end_ns, "camera", phase, "e", "p0", "wave", 1.0, START_NS, end_ns, (0.0, 0.0, 0.0))
            bag.writer.write(TRUTH, end_ns, event_to_message(bag.types, event))
    assert own_bags.read(own_bags.find(tmp_path)[0]).segments == (Segment(0.0, 1.0, "wave", "p0"),)


def broken_bag(path: Path, fault: str) -> None:
    with Messages(path) as bag:
        bag.skeletons(0.0, person())
        if fault == "one frame":
            return
        if fault == "other layout":
            bag.skeletons(0.1, person(layout="coco_17"), layout="coco_17")
        elif fault == "unknown layout":
            bag.skeletons(0.1, person(), layout=LAYOUT.name)
            bag.skeletons(0.2, layout="none_3")
        elif fault == "other camera":
            bag.skeletons(0.1, person(), frame_id="camera_2")
        elif fault == "back in time":
            bag.skeletons(-0.1, person())
        elif fault == "wrong size":
            bag.skeletons(0.1, Person("p0", LAYOUT.name, np.ones((3, 3))))
        else:
            bag.skeletons(1.0, person())
        if fault == "label outside":
            bag.truth(0.5, 1.6)
        elif fault == "label of nobody":
            bag.truth(0.2, 0.8, person="p7")
        elif fault == "label without length":
            bag.truth(0.2, 0.2)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("one frame", "has 1 skeleton messages, expected 2 or more"),
        ("other layout", "has people in coco_17 and kinect_v1_20, expected one joint layout"),
        ("unknown layout", "message 3: message ignored: unknown joint layout 'none_3'"),
        ("other camera", "message 2 is in frame 'camera_2', the one before in 'camera'"),
        ("back in time", r"message 2 is stamped 1699999999900000000 ns, not after the one before"),
        ("wrong size", "message 2: person 'p0' ignored: 9 position values"),
        ("label outside", "'wave' from 0.5 to 1.6 s, but the frames last from 0 to 1 s"),
        ("label of nobody", "'wave' of 'p7', but the frames show p0"),
        ("label without length", "event 't' has no action or no duration"),
    ],
)
def test_bags_with_faults_are_refused(tmp_path: Path, fault: str, message: str) -> None:
    broken_bag(tmp_path / "take", fault)
    with pytest.raises(DatasetError, match=message) as error:
        own_bags.read(own_bags.find(tmp_path)[0])
    assert str(tmp_path / "take") in str(error.value)


def test_unknown_sources_are_refused(tmp_path: Path) -> None:
    write_recording(recording("take"), tmp_path / "take")
    (tmp_path / "dataset.yaml").write_text("source: zet\n")
    with pytest.raises(DatasetError, match=r"take: unknown source 'zet': did you mean 'zed'"):
        own_bags.read(own_bags.find(tmp_path)[0])


def test_damaged_and_foreign_bags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no bag"):
        own_bags.find(tmp_path)
    with pytest.raises(DatasetError, match="is no directory"):
        own_bags.find(tmp_path / "none")
    write_recording(recording(), tmp_path / "take")
    (storage,) = (tmp_path / "take").glob("*.mcap")
    storage.write_bytes(storage.read_bytes()[:-200])
    (source,) = own_bags.find(tmp_path)
    with pytest.raises(DatasetError, match="cut off"):
        own_bags.read(source)
    assert own_bags.actions(tmp_path) == ()
    shutil.rmtree(tmp_path / "take")
    with Messages(tmp_path / "take") as bag:
        bag.truth(0.0, 1.0)
    with pytest.raises(DatasetError, match=r"no topic /skeletons of type .*; topics of that type: none"):
        own_bags.read(own_bags.find(tmp_path)[0])


def header(confidence: bool = False) -> str:
    parts = ("x", "y", "z", "confidence") if confidence else ("x", "y", "z")
    return ",".join(["stamp_s", "person", *(f"{joint}_{part}" for joint in LAYOUT.joint_names for part in parts)])


def table(take: Recording) -> str:
    """The table of a recording, a line for each person in each frame, and one where nobody is seen."""
    lines = [header()]
    for frame, stamp in enumerate(take.stamps):
        for name, joints in take.joints.items():
            cells = ["" if np.isnan(value) else repr(float(value)) for value in joints[frame].ravel()]
            lines.append(",".join([repr(float(stamp)), name, *cells]))
    return "\n".join(lines) + "\n"


def write_csv(root: Path, name: str, skeletons: str, labels: str | None = None, description: str | None = None) -> None:
    root.mkdir(exist_ok=True, parents=True)
    (root / "dataset.yaml").write_text(description or f"layout: {LAYOUT.name}\n")
    (root / f"{name}.csv").parent.mkdir(exist_ok=True)
    (root / f"{name}.csv").write_text(skeletons)
    if labels is not None:
        (root / f"{name}.labels.csv").write_text(labels)


def test_tables_come_back_as_written(tmp_path: Path) -> None:
    take = recording("kitchen/one")
    labels = "start_s,end_s,action,person\n" + "".join(
        f"{s.start!r},{s.end!r},{s.action},{s.person_id}\n" for s in take.segments
    )
    write_csv(tmp_path, "kitchen/one", table(take), labels)
    write_csv(tmp_path, "two", table(recording("two", people=1)), "action, start_s, end_s\nbow, 0.1, 0.2\n")
    write_csv(tmp_path, "unlabelled", table(recording("two", people=1)))
    sources = own_csv.find(tmp_path)
    assert [source.name for source in sources] == ["kitchen/one", "two", "unlabelled"]
    assert_same(own_csv.read(sources[0]), take)
    assert own_csv.read(sources[1]).segments == (Segment(0.1, 0.2, "bow", "p0"),)
    assert own_csv.read(sources[2]).segments == ()
    assert own_csv.actions(tmp_path) == ("bow", "clap", "wave")


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables in the module's docstring, read as they stand there, with a layout of two joints."""
    blocks = re.findall(r"\n\n((?:    .+\n)+)", own_csv.__doc__ or "")
    skeletons, labels = ("".join(line[4:] + "\n" for line in block.splitlines()) for block in blocks)
    write_csv(tmp_path, "take", skeletons, labels)

    class TwoJoints:
        joint_names = ("Head", "Hand")

        def to_ntu25(self, joints: np.ndarray) -> tuple[np.ndarray]:
            return (np.full((len(joints), 25, 3), np.nan),)

    monkeypatch.setattr(own_csv, "load_layout", lambda name: TwoJoints())
    found = own_csv.read(own_csv.find(tmp_path)[0])
    nan = [np.nan] * 3
    np.testing.assert_array_equal(found.stamps, [0.0, 0.033, 0.067])
    anna = [[[0.10, 0.52, 2.31], [0.35, 0.11, 2.12]], [[0.10, 0.53, 2.31], [0.36, 0.14, 2.12]], [nan, nan]]
    np.testing.assert_array_equal(found.joints["anna"], anna)
    np.testing.assert_array_equal(found.joints["ben"], [[[-0.60, 0.48, 2.80], nan], [nan, nan], [nan, nan]])
    assert found.segments == (Segment(0.0, 0.06, "wave", "anna"),)


def line(stamp: str, name: str = "p0", value: str = "1.0", confidence: str | None = None) -> str:
    return ",".join([stamp, name, *([value] * 3 + ([confidence] if confidence else [])) * 20]) + "\n"


@pytest.mark.parametrize(
    ("axes", "expected"), [("kinect", [1.0, 2.0, 3.0]), ("optical", [-1.0, -2.0, 3.0]), ("flu", [2.0, 3.0, 1.0])]
)
def test_axes_are_turned(tmp_path: Path, axes: str, expected: list[float]) -> None:
    cells = ",".join(["1.0", "2.0", "3.0"] * 20)
    text = f"{header()}\n0.0,p0,{cells}\n0.1,p0,{cells}\n"
    write_csv(tmp_path, "take", text, description=f"layout: kinect_v1_20\naxes: {axes}\n")
    joints = own_csv.read(own_csv.find(tmp_path)[0]).joints["p0"]
    np.testing.assert_array_equal(joints, np.tile(expected, (2, 20, 1)))


def test_confidence_and_missing_values(tmp_path: Path) -> None:
    rows = [line("0.0", confidence="0.5"), line("0.1", confidence="0"), line("0.2", value="nan", confidence="1")]
    write_csv(tmp_path, "take", header(confidence=True) + "\n" + "".join(rows))
    joints = own_csv.read(own_csv.find(tmp_path)[0]).joints["p0"]
    np.testing.assert_array_equal(joints[0], np.ones((20, 3)))
    assert np.isnan(joints[1:]).all()


GOOD = f"{header()}\n{line('0.0')}{line('1.0')}"


@pytest.mark.parametrize(
    ("skeletons", "fault"),
    [
        ("", r"take\.csv is empty"),
        (header() + "\n", "has a header only"),
        (f"{header()}\n{line('0.0')}", "has 1 frames and 1 people, expected 2 frames"),
        (f"{header()}\n{line('0.0', '', '')}{line('0.1', '', '')}", "has 2 frames and 0 people"),
        (GOOD.replace("Head_x", "Nose_x", 1), "line 1: columns Head_x are missing"),
        (GOOD.replace("stamp_s", "time", 1), "line 1: columns stamp_s are missing"),
        (f"{header()},mood\n{line('0.0')}", "line 1: columns mood are not known"),
        (f"{header()},Head_x\n{line('0.0')}", "line 1: a column's name comes twice"),
        (GOOD + "2.0,p0,1.0\n", "line 4: 3 cells, the header has 62"),
        (GOOD + line("nan"), "line 4: stamp_s is 'nan', expected seconds"),
        (GOOD + line(""), "line 4: stamp_s is '', expected seconds"),
        (GOOD + line("0.5"), "line 4: stamp_s 0.5 comes after 1.0"),
        (GOOD + line("1.0"), "line 4: 'p0' comes twice at 1.0 s"),
        (GOOD + line("2.0", value="one"), "line 4: HipCenter_x is 'one', expected a number"),
        (f"{header(True)}\n{line('0', confidence='0.5')}{line('1', confidence='2')}", "line 3: a confidence is not"),
        (GOOD + '"open', "line 4: a quote is opened and not closed"),
        (GOOD + line("2.0", value="inf"), "line 4: HipCenter_x is 'inf', expected a number"),
    ],
)  # fmt: skip
def test_malformed_tables_are_refused_by_line(tmp_path: Path, skeletons: str, fault: str) -> None:
    write_csv(tmp_path, "take", skeletons)
    with pytest.raises(DatasetError, match=fault) as error:
        own_csv.read(own_csv.find(tmp_path)[0])
    assert str(tmp_path / "take.csv") in str(error.value)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ("start_s,end_s\n0,1\n", "line 1: columns action are missing"),
        ("start_s,end_s,action,hand\n0,1,wave,left\n", "line 1: columns hand are not known"),
        ("start_s,end_s,action\n0.5,0.5,wave\n", "line 2: expected start_s before end_s"),
        ("start_s,end_s,action\n0.5,,wave\n", "line 2: expected start_s before end_s"),
        ("start_s,end_s,action\n0,1,\n", "line 2: expected start_s before end_s, and an action"),
        ("start_s,end_s,action\n0,soon,wave\n", "line 2: end_s is 'soon', expected a number"),
        ("start_s,end_s,action\n0,1,wave\n0,1.6,wave\n", "line 3: 'wave' from 0 to 1.6 s, but"),
        ("start_s,end_s,action\n-1,1,wave\n", "line 2: 'wave' from -1 to 1 s"),
        ("start_s,end_s,action,person\n0,1,wave,ben\n", "line 2: 'wave' of 'ben', but the frames show p0"),
    ],
)  # fmt: skip
def test_malformed_labels_are_refused_by_line(tmp_path: Path, labels: str, fault: str) -> None:
    write_csv(tmp_path, "take", GOOD, labels)
    with pytest.raises(DatasetError, match=fault) as error:
        own_csv.read(own_csv.find(tmp_path)[0])
    assert str(tmp_path / "take.labels.csv") in str(error.value)


def test_labels_name_the_person_where_there_are_two(tmp_path: Path) -> None:
    write_csv(tmp_path, "take", table(recording()), "start_s,end_s,action\n0,0.1,wave\n")
    with pytest.raises(DatasetError, match=r"line 2: who does 'wave'\? The frames show p0, p1: name the person"):
        own_csv.read(own_csv.find(tmp_path)[0])


def test_a_label_file_without_labels_is_all_background(tmp_path: Path) -> None:
    write_csv(tmp_path, "take", GOOD, "start_s,end_s,action\n")
    assert own_csv.read(own_csv.find(tmp_path)[0]).segments == ()


def test_missing_recordings_layouts_and_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no recording: no file NAME\.csv"):
        own_csv.find(tmp_path)
    (tmp_path / "take.csv").write_text(GOOD)
    with pytest.raises(DatasetError, match=r"dataset\.yaml must name the joints' layout"):
        own_csv.find(tmp_path)
    (tmp_path / "other.labels.csv").write_text("start_s,end_s,action\n")
    with pytest.raises(DatasetError, match=r"other\.labels\.csv are labels of no recording: there is no other\.csv"):
        own_csv.find(tmp_path)


DESCRIPTION = """
layout: kinect_v1_20
people: {one: anna, two: ben}
test_people: [ben]
test_recordings: [one]
"""


def test_splits(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write_csv(tmp_path, name, GOOD, description=DESCRIPTION)
    found = own_csv.protocols(tmp_path)
    recordings = [own_csv.read(source) for source in own_csv.find(tmp_path)]
    assert list(found) == ["by_people", "by_recordings"]
    parts = {r.name: tuple(part(r.name, r.person, r.view) for part in found.values()) for r in recordings}
    assert parts == {"one": ("train", "test"), "two": ("test", "train"), "three": ("", "train")}
    assert own_bags.protocols(tmp_path).keys() == found.keys()
    (tmp_path / "dataset.yaml").unlink()
    assert own_csv.protocols(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("layout: kinect_v9\n", "layout is 'kinect_v9', must be one of .*kinect_v1_20"),
        ("axes: up\n", "axes is 'up', must be one of '', kinect, optical, flu"),
        ("colour: red\n", "unknown key colour: known are axes, layout"),
        ("[1, 2]\n", "expected a mapping of keys and values"),
        ("people: [anna]\n", r"people is \['anna'\], must be keys with texts"),
        ("test_people: ben\n", "test_people is 'ben', must be a list of texts"),
        ("people: {take: anna}\ntest_people: [ben]\n", "test_people names ben, who are not among `people`"),
        ("layout: {\n", "is not valid YAML: line 2"),
    ],
)
def test_malformed_descriptions_are_refused_by_key(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(DatasetError, match=fault) as error:
        read_description(tmp_path)
    assert str(tmp_path / "dataset.yaml") in str(error.value)


def test_names_of_no_recording_are_refused(tmp_path: Path) -> None:
    description = "layout: kinect_v1_20\ntest_recordings: [tkae]\n"
    write_csv(tmp_path, "take", GOOD, description=description)
    with pytest.raises(DatasetError, match=r"dataset\.yaml names tkae, but the recordings are take"):
        own_csv.find(tmp_path)


def standing(scale: float = 1.0, stamp: Callable[[int], float] = lambda t: t / 30, **names: str) -> str:
    """A table of a person who stands and sways, of `scale` to a metre."""
    joints = np.random.default_rng(0).uniform(-0.3, 0.3, (20, 3)) + np.array([0.0, 0.0, 3.0])
    rows = [
        [repr(stamp(t)), names.get("person", "anna"), *(f"{value * scale:.3f}" for value in (joints + t / 100).ravel())]
        for t in range(60)
    ]
    return "\n".join([header(), *(",".join(row) for row in rows)]) + "\n"


@pytest.mark.parametrize(
    ("skeletons", "fault"),
    [
        (standing(stamp=lambda t: t * 33.0), "frames are 33 s apart; stamp_s must be in seconds: .* milliseconds"),
        (standing(stamp=lambda t: 1.7e15 + 33333.0 * t), "frames are 33333 s apart; .* look like microseconds"),
        (
            standing(stamp=lambda t: 1.7e18 + 33333333.0 * t),
            r"3.3\d*e\+07 s apart; .* look like nanoseconds",
        ),
        (standing(1e3), r"take.csv: the median limb of 'anna' is \d+\.?\d* m long: the positions are in millimetres"),
        (standing(1e2), "the positions are in centimetres, expected metres"),
        (standing(stamp=lambda t: float(np.float32(1.7e9 + t / 30))), "comes twice .* too few digits .32-bit numbers"),
    ],
)
def test_other_units_than_seconds_and_metres_are_refused(tmp_path: Path, skeletons: str, fault: str) -> None:
    write_csv(tmp_path, "take", skeletons)
    with pytest.raises(DatasetError, match=fault):
        own_csv.read(own_csv.find(tmp_path)[0])


def test_tables_with_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    text = standing()
    write_csv(tmp_path / "comma", "take", text, "start_s,end_s,action\n0.5,1.5,wave\n")
    german = text.replace(",", ";").replace(".", ",")
    write_csv(tmp_path / "semicolon", "take", german, "start_s;end_s;action\n0,5;1,5;wave\n")
    first, second = (own_csv.read(own_csv.find(tmp_path / kind)[0]) for kind in ("comma", "semicolon"))
    assert_same(second, first)


@pytest.mark.parametrize("name", ["take.labels.CSV", "take.labels.txt", "take_labels.csv", "take.label.csv"])
def test_label_files_with_other_names_are_refused(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path, "take", standing())
    (tmp_path / name).write_text("start_s,end_s,action\n0.5,1.5,wave\n")
    with pytest.raises(DatasetError, match=r"looks like labels, but is not called so: rename it to take\.labels\.csv"):
        own_csv.find(tmp_path)


def test_composed_and_decomposed_names_are_one(tmp_path: Path) -> None:
    write_csv(tmp_path, "take", standing(person="Zoe\u0308"), "start_s,end_s,action,person\n0.2,1.5,wave,Zo\u00eb\n")
    assert own_csv.read(own_csv.find(tmp_path)[0]).segments == (Segment(0.2, 1.5, "wave", "Zo\u00eb"),)


def test_recordings_without_a_label_file_are_not_labelled(tmp_path: Path) -> None:
    write_csv(tmp_path, "known", standing(), "start_s,end_s,action\n")
    write_csv(tmp_path, "unknown", standing())
    known, unknown = (own_csv.read(source) for source in own_csv.find(tmp_path))
    assert (known.labelled, unknown.labelled) == (True, False)
