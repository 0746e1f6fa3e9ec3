"""UAV-Human's text files and PYSKL's pickles of NTU RGB+D, written here by their descriptions; refused pickles."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data import ntu_2d, uav_human
from training.data.errors import DatasetError
from training.data.pixels import from_pixels
from training.data.safe_pickle import load_arrays

UAV_CLIP = "P001S00G10B10H10UC022000LC021000A019R0_08241716"


def uav_text(frames: list[list[np.ndarray]], fields: int = 12) -> str:
    """A skeleton file of UAV-Human: in each frame bodies (17, 2) of pixels, all with the id 000."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body in bodies:
            lines += ["000 0 0 0 0 0 0 0 0 0", "17"]
            lines += [f"{x!r} {y!r} " + "0 " * (fields - 3) + "0" for x, y in body.tolist()]
    return "\n".join(lines) + "\n"


def write_uav(directory: Path, text: str, name: str = UAV_CLIP) -> Path:
    path = directory / f"{name}.txt"
    path.write_text(text)
    return path


def pixels(frames: int, people: int, seed: int = 0) -> np.ndarray:
    """(people, frames, 17, 2); later people vary more."""
    rng = np.random.default_rng(seed)
    spread = 20.0 * (1 + np.arange(people))[:, None, None, None]
    return (rng.normal(size=(people, frames, 17, 2)) * spread + [900.0, 500.0]).round(2)


def normalised(positions: np.ndarray) -> np.ndarray:
    """By hand, for 1920 x 1080: from the centre, in halves of the image, y up."""
    return np.stack([(positions[..., 0] - 960.0) / 960.0, (540.0 - positions[..., 1]) / 540.0], -1)


def test_pixels_by_hand() -> None:
    """Upper left corner, centre, middle of the right edge; then a low score, and no position."""
    at = np.array([[0.0, 0.0], [320.0, 240.0], [640.0, 240.0], [10.0, 10.0], [np.nan, 5.0]])
    joints = from_pixels(at, np.array([0.5, 1.0, 0.25, 0.01, 1.0]), height=480, width=640)
    np.testing.assert_array_equal(joints[:3], [[-1.0, 1.0, 0.5], [0.0, 0.0, 1.0], [1.0, 0.0, 0.25]])
    assert np.isnan(joints[3:]).all()


@pytest.mark.parametrize("fields", [12, 3])
def test_uav_human_by_its_numbers(tmp_path: Path, fields: int) -> None:
    """The second body varies more and is the main person; it is absent in frame 2; one joint of it is at (0, 0)."""
    still, lively = pixels(6, 2)
    lively[4, 3] = 0.0
    frames = [[still[t], lively[t]] for t in range(6)]
    frames[2] = frames[2][:1]
    recording = uav_human.read(write_uav(tmp_path, uav_text(frames, fields)))
    assert (recording.name, recording.person, recording.view) == (UAV_CLIP, "P001", "")
    assert (recording.layout, uav_human.DIMENSIONS) == ("coco_17", 2)
    np.testing.assert_array_equal(recording.stamps, np.arange(6) / 30)
    assert [segment.action for segment in recording.segments] == ["wave"]
    expected = normalised(lively)
    expected[2] = expected[4, 3] = np.nan
    np.testing.assert_allclose(recording.joints["person_1"][..., :2], expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(recording.joints["person_2"][..., :2], normalised(still), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(recording.joints["person_2"][..., 2], 1.0)


def test_uav_human_protocols_and_names() -> None:
    """89 of 119 people train in either split; those named first and last in the published lists, and others."""
    people = [f"P{number:03}" for number in range(119)]
    trains = [{p for p in people if part("", p, "") == "train"} for part in uav_human.PROTOCOLS.values()]
    assert list(uav_human.PROTOCOLS) == ["cross_subject_v1", "cross_subject_v2"]
    assert [len(train) for train in trains] == [89, 89]
    assert trains[0] & {"P000", "P001", "P002", "P090", "P091", "P113", "P118"} == {"P000", "P002", "P090", "P118"}
    assert trains[1] & {"P000", "P001", "P003", "P090", "P091", "P116", "P118"} == {"P000", "P003", "P091", "P118"}
    assert len(uav_human.ACTIONS) == len(set(uav_human.ACTIONS)) == 155
    expected = {
        0: "drink", 6: "sit_down", 31: "salute", 42: "punch", 60: "kick_aside", 79: "hug", 99: "hover",
        115: "all_clear", 121: "throw_litter", 147: "run", 152: "walk", 154: "close_umbrella",
    }  # fmt: skip
    assert {number: uav_human.ACTIONS[number] for number in expected} == expected


def test_uav_human_faults(tmp_path: Path) -> None:
    text = uav_text([[pixels(2, 1)[0, t]] for t in range(2)])
    with pytest.raises(DatasetError, match="does not hold UAV-Human"):
        uav_human.find(tmp_path)
    (tmp_path / "Skeleton").mkdir()
    path = write_uav(tmp_path / "Skeleton", text)
    assert uav_human.find(tmp_path) == [path]
    for broken, fault in (
        ("", "is empty"),
        (text[: len(text) // 2], "ends with line 21, where the number of bodies is due"),
        (text[:-5], "numbers, expected"),
        (text.replace("\n17\n", "\n25\n", 1), "25 joints, expected 17"),
        (uav_text([[pixels(1, 1)[0, 0]]]), "has 1 frame"),
        (uav_text([[np.zeros((17, 2))]] * 3), "no body is in its 3 frames"),
    ):
        with pytest.raises(DatasetError, match=fault) as error:
            uav_human.read(write_uav(tmp_path / "Skeleton", broken))
        assert str(path) in str(error.value)
    with pytest.raises(DatasetError, match="actions are numbered 0 to 154"):
        uav_human.read(write_uav(tmp_path, text, UAV_CLIP.replace("A019", "A155")))


CLIP_A, CLIP_B = "S001C001P001R001A001", "S018C002P003R002A099"


def annotation(name: str, frames: int, people: int, **changes: Any) -> dict[str, Any]:
    return {
        "frame_dir": name,
        "label": int(name[-3:]) - 1,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": frames,
        "keypoint": pixels(frames, people).astype(np.float16),
        "keypoint_score": np.full((people, frames, 17), 0.75, np.float16),
    } | changes


def write_pickle(directory: Path, annotations: list[Any], split: Any = None, name: str = "ntu120_hrnet.pkl") -> Path:
    if split is None:
        split = {"xsub_train": [CLIP_A], "xsub_val": [CLIP_B], "xset_train": [], "xset_val": [CLIP_A, CLIP_B]}
    path = directory / name
    path.write_bytes(pickle.dumps({"split": split, "annotations": annotations}, protocol=2))
    return path


def test_a_pickle_by_its_numbers(tmp_path: Path) -> None:
    clips = [annotation(CLIP_A, 4, 2), annotation(CLIP_B, 3, 1)]
    clips[0]["keypoint_score"][1, 2] = 0.0
    path = write_pickle(tmp_path, clips)
    sources = ntu_2d.find(tmp_path)
    assert [str(source) for source in sources] == [f"{path}, clip {CLIP_A}", f"{path}, clip {CLIP_B}"]
    recording, other = (ntu_2d.read(source) for source in sources)
    assert (recording.name, recording.person, recording.view) == (CLIP_A, "P001", "C001")
    assert (recording.layout, ntu_2d.DIMENSIONS) == ("coco_17", 2)
    np.testing.assert_array_equal(recording.stamps, np.arange(4) / 30)
    assert recording.segments[0].action == "drink_water"
    still, lively = normalised(clips[0]["keypoint"].astype(float))
    lively[2] = np.nan
    np.testing.assert_allclose(recording.joints["person_1"][..., :2], lively, rtol=0, atol=1e-14)
    np.testing.assert_allclose(recording.joints["person_2"][..., :2], still, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(recording.joints["person_2"][..., 2], 0.75)
    assert list(other.joints) == ["person_1"]
    assert other.segments[0].action == "run_on_the_spot"


def test_the_order_of_people_plays_no_part(tmp_path: Path) -> None:
    clip = annotation(CLIP_A, 5, 3)
    turned = {key: value[::-1] if key.startswith("keypoint") else value for key, value in clip.items()}
    write_pickle(tmp_path, [clip, turned])
    one, other = (ntu_2d.read(source).joints for source in ntu_2d.find(tmp_path))
    for person in ("person_1", "person_2"):
        np.testing.assert_array_equal(one[person], other[person])


def test_splits_of_a_pickle(tmp_path: Path) -> None:
    write_pickle(tmp_path, [annotation(CLIP_A, 4, 1)])
    found = ntu_2d.protocols(tmp_path)
    assert list(found) == ["cross_subject", "cross_setup"]
    parts = {name: tuple(part(name, "", "") for part in found.values()) for name in (CLIP_A, CLIP_B, "other")}
    assert parts == {CLIP_A: ("train", "test"), CLIP_B: ("test", "test"), "other": ("", "")}
    for split, fault in (
        ({}, "holds no split"),
        ({"train1": []}, "part 'train1' of the split"),
        ({"xsub_train": 3}, "part 'xsub_train' of the split"),
        ({"xsub_train": [CLIP_A], "xsub_val": [CLIP_A]}, f"{CLIP_A} is in both parts of the split xsub"),
    ):
        path = write_pickle(tmp_path, [annotation(CLIP_A, 4, 1)], split)
        with pytest.raises(DatasetError, match=fault) as error:
            ntu_2d.protocols(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"label": 1}, "label 1, but the name says A001"),
        ({"label": "0"}, "label '0', but the name says A001"),
        ({"frame_dir": "take_1"}, "a name like S001C001P001R001A001 was expected"),
        (
            {"total_frames": 5},
            r"and keypoint_score \(1, 4, 17\), expected numbers \(people, 5, 17, 2\)",
        ),
        ({"keypoint_score": np.ones((1, 4, 16))}, r"keypoint_score \(1, 4, 16\)"),
        ({"keypoint": np.zeros((1, 4, 17, 2), "U1")}, "expected numbers"),
        ({"keypoint_score": np.zeros((1, 4, 17))}, "nobody is seen in its 4 frames"),
        ({"keypoint": np.zeros((0, 4, 17, 2)), "keypoint_score": np.zeros((0, 4, 17))}, "nobody is seen"),
        ({"img_shape": (1080,)}, r"img_shape is \(1080,\), expected height and width"),
        ({"total_frames": 1, "keypoint": np.ones((1, 1, 17, 2)), "keypoint_score": np.ones((1, 1, 17))}, "has 1 frame"),
    ],
)
def test_a_clip_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    path = write_pickle(tmp_path, [annotation(CLIP_A, 4, 1) | changes])
    (source,) = ntu_2d.find(path)
    with pytest.raises(DatasetError, match=fault) as error:
        ntu_2d.read(source)
    assert str(path) in str(error.value)


def test_a_clip_without_a_key_is_refused(tmp_path: Path) -> None:
    clip = annotation(CLIP_A, 4, 1)
    del clip["keypoint_score"], clip["img_shape"]  # the size of NTU's images is known
    (source,) = ntu_2d.find(write_pickle(tmp_path, [clip]))
    with pytest.raises(DatasetError, match=f"clip {CLIP_A} has no keypoint_score"):
        ntu_2d.read(source)


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no ntu60_hrnet\.pkl or ntu120_hrnet\.pkl"):
        ntu_2d.find(tmp_path)
    path = write_pickle(tmp_path, [1], name="ntu60_hrnet.pkl")
    with pytest.raises(DatasetError, match="annotation 0 is a int"):
        ntu_2d.find(tmp_path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DatasetError, match="does not hold `split`, a dictionary, and `annotations`"):
        ntu_2d.find(tmp_path)
    write_pickle(tmp_path, [])
    with pytest.raises(DatasetError, match="give the one to read as root"):
        ntu_2d.find(tmp_path)


ARRAYS = {
    "half": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(5, dtype=">i4"),
    "text": np.array(["wave", "clap"]),
    "bytes": np.array([b"a", b"bc"]),
    "truth": np.array([True, False]),
    "empty": np.zeros((0, 17), np.float32),
    "scalar": np.float32(0.1),
    "whole": np.int64(-7),
    "nested": [(np.ones(2), {"deep": np.zeros(1)}), None, "x", 1.5, b"raw"],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_as_pickled(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(ARRAYS, protocol=protocol))
    found = load_arrays(path)
    assert found.keys() == ARRAYS.keys()
    for name in ("half", "fortran", "big_endian", "text", "bytes", "truth", "empty", "scalar", "whole"):
        np.testing.assert_array_equal(found[name], ARRAYS[name])
        assert found[name].dtype == ARRAYS[name].dtype  # type: ignore[attr-defined]
    (pair, *rest) = found["nested"]
    np.testing.assert_array_equal(pair[0], [1.0, 1.0])
    np.testing.assert_array_equal(pair[1]["deep"], [0.0])
    assert rest == [None, "x", 1.5, b"raw"]


class Payload:
    """Pickled, it asks the reader to call something."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("deep", [False, True])
def test_a_pickle_with_a_payload_is_refused_and_not_run(tmp_path: Path, protocol: int, deep: bool) -> None:
    victim = tmp_path / "touched"
    payload = Payload(os.mkdir, str(victim))
    clip = annotation(CLIP_A, 4, 1) | ({"label": payload} if deep else {})
    content: dict[str, Any] = {"split": {}, "annotations": [clip] if deep else payload}
    path = tmp_path / "ntu60_hrnet.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(DatasetError, match=r"ntu60_hrnet\.pkl is refused: it asks for 'posix\.mkdir'") as error:
        ntu_2d.find(tmp_path)
    assert error.value.cause == "refused pickle"
    assert not victim.exists()
    pickle.loads(path.read_bytes())
    assert victim.exists()  # the payload is a real one


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (Payload(eval, "1"), "builtins.eval"),
        (Payload(getattr, "text", "upper"), "builtins.getattr"),
        (np.array([os.getcwd], object), "numpy.dtype"),
        (np.zeros(2, [("x", "f4"), ("y", "O")]), "numpy.dtype"),
        (np.datetime64("2020-01-01"), "numpy.dtype"),
        (Path("x"), "pathlib"),
        (Payload(__import__, "os"), "builtins.__import__"),
    ],
)
def test_whatever_is_no_plain_array_is_refused(tmp_path: Path, content: Any, asked: str) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match=f"is refused: it asks for '{asked}"):
        load_arrays(path)


def test_types_take_no_fields_afterwards(tmp_path: Path) -> None:
    """An array of bytes that claims, by its type's state, to hold objects would be read as pointers."""
    kind = pickle.dumps(np.dtype("f8"), protocol=0)
    assert kind.count(b"NNN") == 1
    path = tmp_path / "odd.pkl"
    path.write_bytes(kind.replace(b"NNN", b"N(lN"))
    with pytest.raises(DatasetError, match=r"is refused: it asks for 'numpy\.dtype of several fields'"):
        load_arrays(path)


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(ARRAYS)[:-200], b"\x80\x04\x95"])
def test_a_damaged_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ntu60_hrnet.pkl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"ntu60_hrnet\.pkl cannot be read as a pickle|is refused"):
        ntu_2d.find(path)


def test_an_array_of_another_length_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl"
    path.write_bytes(pickle.dumps(np.arange(4.0), protocol=2).replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(DatasetError, match=r"an array of shape \(5,\) and type float64 has 32 bytes"):
        load_arrays(path)
