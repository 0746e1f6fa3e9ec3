"""Sessions: clips joined without jumps, labels in the words of the vocabulary, people where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from training.configuration import ConfigError, load  # noqa: E402
from training.data.archive import Archive, ArchiveWriter  # noqa: E402
from training.data.joining import Piece, join  # noqa: E402
from training.data.sets import load_set  # noqa: E402
from training.data.vocabulary import IGNORED, OTHER, Vocabulary, load_vocabulary  # noqa: E402
from training.shipped.sessions import SessionsConfig, SetOptions, main, sessions, write  # noqa: E402
from training.tasks.robot import RobotConfig  # noqa: E402
from usdrl_ros.recording import Recording, Segment  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
VOCABULARY = Vocabulary(("wave", "sit_down"), {"florence3d": {"wave": "wave", "sit_down": "sit_down"}})


def standing(height_m: float = 1.0, heading: float = 0.0, at: tuple[float, float] = (0.0, 3.0)) -> np.ndarray:
    """A pose (25, 3), y up: the pelvis at a height, the shoulders and hips along a heading."""
    pose = np.random.default_rng(5).normal(0.0, 0.02, (25, 3))
    pose[[0, 1, 20, 3]] += [[0, 0, 0], [0, 0.3, 0], [0, 0.5, 0], [0, 0.7, 0]]
    for left, right, y in ((4, 8, 0.5), (12, 16, 0.0)):
        pose[left] = [0.2, y, 0.0]
        pose[right] = [-0.2, y, 0.0]
    pose[[14, 15, 18, 19], 1] = -height_m
    cos, sin = np.cos(heading), np.sin(heading)
    return pose @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T + np.array([at[0], height_m, at[1]])


def piece(action: str, pose: np.ndarray, frames: int = 30) -> Piece:
    """A person who holds a pose but for the right hand, which rises by 0.5 m."""
    joints = np.repeat(pose[None], frames, 0)
    joints[:, 11, 1] += np.linspace(0.0, 0.5, frames)
    return Piece(np.arange(frames) / 30.0, joints, action)


def test_joined_clips_do_not_jump_and_keep_their_motion() -> None:
    pieces = [piece("wave", standing()), piece(OTHER, standing(heading=2.0, at=(1.5, 2.0)))]
    found = join("s", pieces, np.random.default_rng(0))
    joints = found.joints["person_1"]
    assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() < 0.15, "no joint jumps from frame to frame"
    np.testing.assert_allclose(np.diff(found.stamps), 1 / 30, atol=1e-9)
    assert [segment.action for segment in found.segments] == ["wave", OTHER]
    for segment, original in zip(found.segments, pieces, strict=True):
        inside = (found.stamps >= segment.start - 1e-9) & (found.stamps < segment.end - 1e-9)
        moved = joints[inside]
        assert len(moved) == len(original.joints)
        # Moved on the floor and turned about the vertical alone: heights and distances are the clip's.
        np.testing.assert_allclose(moved[..., 1], original.joints[..., 1], atol=1e-9)
        np.testing.assert_allclose(
            np.linalg.norm(moved - moved[:, :1], axis=-1),
            np.linalg.norm(original.joints - original.joints[:, :1], axis=-1),
            atol=1e-9,
        )


def test_the_next_clip_begins_where_the_last_one_ended_looking_the_same_way() -> None:
    pieces = [piece("wave", standing(heading=1.0)), piece("wave", standing(heading=-2.0, at=(-1.0, 4.0)))]
    found = join("s", pieces, np.random.default_rng(1), idle_s=(0.0, 0.01))
    ends = [np.flatnonzero(found.stamps < segment.end - 1e-9)[-1] for segment in found.segments]
    starts = [np.flatnonzero(found.stamps >= segment.start - 1e-9)[0] for segment in found.segments]
    before, after = found.joints["person_1"][ends[0]], found.joints["person_1"][starts[1]]
    assert np.linalg.norm((after - before)[0, [0, 2]]) < 0.25
    turn = [np.arctan2(-(pose[4] - pose[8])[2], (pose[4] - pose[8])[0]) for pose in (before, after)]
    assert abs(np.angle(np.exp(1j * (turn[1] - turn[0])))) < np.radians(30.0)


def test_a_passage_to_a_far_pose_is_ignored_and_others_are_background() -> None:
    seated = standing()
    seated[[9, 10, 11, 5, 6, 7, 13, 14, 15, 17, 18, 19, 21, 22, 23, 24], 1] += 0.6
    found = join("s", [piece("wave", standing()), piece("sit_down", seated)], np.random.default_rng(2))
    assert [s.action for s in found.segments] == ["wave", IGNORED, "sit_down"]
    same = join("s", [piece("wave", standing()), piece("sit_down", standing())], np.random.default_rng(2))
    assert [s.action for s in same.segments] == ["wave", "sit_down"]


def test_unseen_joints_stay_unseen_where_they_are_in_both() -> None:
    pose = standing()
    pose[15] = np.nan
    found = join("s", [piece("wave", pose), piece("wave", pose)], np.random.default_rng(3))
    assert np.isnan(found.joints["person_1"][:, 15]).all()
    assert np.isfinite(np.delete(found.joints["person_1"], 15, 1)).all()
    with pytest.raises(ValueError, match="no clip"):
        join("s", [], np.random.default_rng(0))


def florence(directory: Path) -> None:
    """An archive like Florence 3D's: three people, two clips of each of three actions; s3 is tested."""
    with ArchiveWriter(directory / "florence3d", name="florence3d", actions=load_set("florence3d").ACTIONS) as writer:
        for person in ("s1", "s2", "s3"):
            for number, action in enumerate(("wave", "drink", "sit_down") * 2):
                clip = piece(action, standing())
                name = f"{person}_{number}"
                segments = (Segment(0.0, 1.0, action),)
                recording = Recording(name, "ntu_25", clip.stamps, {"person_1": clip.joints}, segments, person=person)
                writer.add(recording, {"by_person": "test" if person == "s3" else "train"})


def config(directory: Path, **changes: object) -> SessionsConfig:
    """Sessions of `florence`'s archive, with s2 to validate on."""
    sets = {"florence3d": SetOptions("by_person", validation=("s2",))}
    made = SessionsConfig("mine", "none", sets, archives=str(directory), clips=4, repeats=2)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_people_come_into_their_parts_in_the_words_of_the_vocabulary(tmp_path: Path) -> None:
    florence(tmp_path)
    found = list(sessions(config(tmp_path), VOCABULARY))
    parts = {(recording.person, part) for recording, part in found}
    assert parts == {("florence3d/s1", "train"), ("florence3d/s2", "validation"), ("florence3d/s3", "test")}
    assert [part for _, part in found].count("train") == 4, "six clips, four a session, in two orders"
    labels = [s.action for recording, part in found if part == "test" for s in recording.segments]
    assert sorted(label for label in labels if label != IGNORED) == [OTHER] * 2 + ["sit_down"] * 2 + ["wave"] * 2


def test_a_person_left_out_changes_nothing_for_the_others(tmp_path: Path) -> None:
    florence(tmp_path)
    with_two = {r.name: r for r, _ in sessions(config(tmp_path), VOCABULARY)}
    alone = {"florence3d": SetOptions("by_person")}
    without = {r.name: r for r, part in sessions(config(tmp_path, sets=alone), VOCABULARY) if part == "test"}
    assert without
    for name, recording in without.items():
        np.testing.assert_array_equal(recording.joints["person_1"], with_two[name].joints["person_1"])


def test_the_archive_holds_all_and_is_written_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    florence(tmp_path)
    vocabulary = tmp_path / "vocabulary.yaml"
    vocabulary.write_text("wave: {florence3d: [wave]}\nsit_down: {florence3d: [sit_down]}\n")
    path = tmp_path / "sessions.yaml"
    path.write_text(
        f"name: mine\nvocabulary: {vocabulary}\narchives: {tmp_path}\nacted: {{train: 1}}\n"
        "sets: {florence3d: {split: by_person, validation: [s2]}}\n"
    )
    assert main([str(path)]) == 0
    archive = Archive(tmp_path / "mine")
    assert archive.actions == ("wave", "sit_down", OTHER, IGNORED)
    names = archive.names[archive.split("mine", "train")]
    assert any(name.startswith("actor/") for name in names)
    assert "train" in capsys.readouterr().out
    assert main([str(path), "--archives", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert write(load(SessionsConfig, path), tmp_path / "again") == {"train": 3, "validation": 1, "test": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wave: {florence3d: [wave]}\nhail: {florence3d: [wave]}", "stands for wave and for hail"),
        ("other: {florence3d: [wave]}", "other"),
        ("[wave]", "mapping"),
        ("wave: {", "cannot read"),
    ],
)
def test_a_bad_vocabulary_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_vocabulary(path)
    with pytest.raises(ConfigError, match="missing"):
        load_vocabulary(tmp_path / "missing.yaml")


def test_words_for_labels_or_sets_that_are_not_there_are_refused() -> None:
    there = {"florence3d": ("wave", "drink", "sit_down"), "mine": ("nod",)}
    VOCABULARY.check(there)
    Vocabulary(("nod",), {"mine": {"nod": "nod"}}).check(there)
    with pytest.raises(ConfigError, match=r"florence3d has no label salute, which stands for wave; it has wave, drink"):
        Vocabulary(("wave",), {"florence3d": {"salute": "wave"}}).check(there)
    with pytest.raises(ConfigError, match="words for moon; there are florence3d, mine"):
        Vocabulary(("wave",), {"moon": {"wave": "wave"}}).check(there)


@pytest.mark.parametrize(("name", "count"), [("hri_2", 37), ("hri_open", 13)])
def test_a_shipped_vocabulary_fits_its_sets_and_their_splits(name: str, count: int) -> None:
    config = load(SessionsConfig, CONFIGS / f"{name}_sessions.yaml")
    vocabulary = load_vocabulary(config.vocabulary)
    assert len(vocabulary.actions) == count
    # Tables of clips name actions of the vocabulary themselves.
    own = (*vocabulary.actions, "background", IGNORED)
    vocabulary.check({name: load_set(name).ACTIONS or own for name in config.sets})
    for name, options in config.sets.items():
        if options.split != "all":
            assert options.split in load_set(name).PROTOCOLS or name == "nw_ucla"


def test_hri_open_has_nothing_of_sets_that_may_not_be_sold() -> None:
    config = load(SessionsConfig, CONFIGS / "hri_open_sessions.yaml")
    assert set(config.sets) == {"ui_prmd", "cmu_subset", "irds_subset", "hifi_apache"}
    assert not load(RobotConfig, CONFIGS / "hri_open.yaml").checkpoint


def test_ignored_labels_are_no_actions(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text("nod: {mine: [nod]}\nignored: {mine: [shrug], other: [nod]}\n")
    vocabulary = load_vocabulary(path)
    assert vocabulary.actions == ("nod",)
    assert [vocabulary.action("mine", label) for label in ("nod", "shrug", "bow", IGNORED)] == [
        "nod", IGNORED, OTHER, IGNORED,
    ]  # fmt: skip
