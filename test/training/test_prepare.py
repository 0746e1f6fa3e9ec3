"""Preparing a data set: what the archive holds, what is reported, and that nothing half-written stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

from set_files import WRITERS, florence3d, msr_daily_activity3d, nw_ucla, sbu_interaction, write

from training import prepare as prepare_module
from training.data.archive import Archive
from training.data.sets import SETS, load_set
from training.prepare import frame_problems, main
from usdrl_ros.demo.actor import ACTIONS, play, random_script
from usdrl_ros.skeleton.layouts import load_layout


def run(name: str, root: Path, output: Path, *options: str) -> int:
    return main([name, "--root", str(root), "--output", str(output), *options])


@pytest.mark.parametrize("name", WRITERS)
def test_a_set_becomes_an_archive(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = WRITERS[name](tmp_path / "root", frames=300)
    assert run(name, tmp_path / "root", tmp_path / "archive", "--people", "1") == 0
    archive, reader = Archive(tmp_path / "archive"), load_set(name)
    assert (archive.name, archive.actions, archive.dimensions) == (name, reader.ACTIONS, 3)
    assert len(archive) == len(expected.joints)
    assert archive.protocols == tuple(reader.PROTOCOLS)
    for protocol, part in reader.PROTOCOLS.items():
        wanted = part(expected.name, expected.person, expected.view)
        assert (archive._protocols[protocol] == wanted).all()
    for index, (person_id, joints) in enumerate(expected.joints.items()):
        stamps, found, segments = archive.recording_of(index)
        there = np.isfinite(joints).any((1, 2))
        mapped = load_layout(reader.LAYOUT).to_ntu25(joints[there])[0]
        np.testing.assert_allclose(found[:, 0], mapped, atol=2e-6)
        np.testing.assert_allclose(stamps, expected.stamps[there], atol=1e-6)
        actions = [archive.actions[segment["action"]] for segment in segments]
        assert actions == ([action for *_, action in expected.segments] if person_id == "person_1" else [])
    recordings = len(expected.joints)
    frames = sum(int(np.isfinite(joints).any((1, 2)).sum()) for joints in expected.joints.values())
    printed = capsys.readouterr().out
    assert "skipped" not in printed
    assert f"{recordings} recordings of {int(bool(expected.person))} subjects" in printed
    assert f"{len(expected.segments)} segments, {frames} frames" in printed


def test_a_set_of_two_people_keeps_them_together(tmp_path: Path) -> None:
    expected = sbu_interaction(tmp_path / "root", frames=10)
    assert run("sbu_interaction", tmp_path / "root", tmp_path / "archive") == 0
    _, joints, segments = Archive(tmp_path / "archive").recording_of(0)
    assert joints.shape == (10, 2, 25, 3)
    assert len(segments) == 1
    for slot, people in enumerate(expected.joints.values()):
        np.testing.assert_allclose(joints[:, slot], load_layout("openni_15").to_ntu25(people)[0], atol=2e-6)


def test_minutes_are_those_of_the_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two clips of 901 frames at 15 Hz are 2 minutes, whatever lies between them."""
    path = nw_ucla(tmp_path / "root", frames=901).path
    write(path.with_name("a08_s02_e05_v03.json"), path.read_text())
    assert run("nw_ucla", tmp_path / "root", tmp_path / "archive") == 0
    assert "2 recordings of 1 subjects, 2 segments, 1802 frames, 2.0 minutes" in capsys.readouterr().out


def test_skipped_files_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, output = tmp_path / "root", tmp_path / "archive"
    florence3d(root)
    for number in range(22):
        write(root / "clips" / f"a01_s1_id{number}.txt", "")
    write(root / "clips" / "a02_s1_id99.txt", "1 2\n")
    write(root / "clips" / "a10_s1_id77.txt", "1 2 3\n")
    assert run("florence3d", root, output) == 0
    printed = capsys.readouterr().out.splitlines()
    start = printed.index("skipped 24:")
    assert printed[start + 1 : start + 4] == ["  22 empty file", "  1 wrong columns", "  1 unknown action"]
    assert len(printed[start + 4 :]) == 21
    assert printed[start + 4] == f"{root / 'clips' / 'a01_s1_id0.txt'} is empty"
    assert printed[-1] == "and 4 more"
    written = (output / "skipped.txt").read_text().splitlines()
    assert len(written) == 4 + 24
    assert written[-2] == f"{root / 'clips' / 'a02_s1_id99.txt'} has 2 columns, expected 3 (x, y, z)"
    assert written[-1] == f"{root / 'clips' / 'a10_s1_id77.txt'}: actions are numbered 1 to 9, not 10"


def test_a_set_of_which_nothing_can_be_used_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = florence3d(tmp_path / "root").path
    path.write_text("")
    assert run("florence3d", tmp_path / "root", tmp_path / "out" / "archive") == 1
    assert list((tmp_path / "out").iterdir()) == []
    printed = capsys.readouterr().err
    assert "nothing to write" in printed
    assert f"{path} is empty" in printed


def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a half archive, nor does the one go that was there before."""
    root, output = tmp_path / "root", tmp_path / "out" / "archive"
    first = msr_daily_activity3d(root)
    assert run("msr_daily_activity3d", root, output) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    write(first.path.with_name("a04_s09_e02_skeleton_proj.txt"), first.path.read_text())
    reader, read = load_set("msr_daily_activity3d"), load_set("msr_daily_activity3d").read

    def interrupted(source: Path) -> object:
        if source.name.startswith("a04"):
            raise KeyboardInterrupt
        return read(source)

    monkeypatch.setattr(reader, "read", interrupted)
    assert run("msr_daily_activity3d", root, output) == 130
    assert "interrupted, nothing was written" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [output]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert run("msr_daily_activity3d", root, tmp_path / "new" / "archive") == 130
    assert list((tmp_path / "new").iterdir()) == []


def test_another_directory_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    florence3d(tmp_path / "root")
    letter = write(tmp_path / "letters" / "letter.txt", "Dear Sir")
    assert run("florence3d", tmp_path / "root", tmp_path / "letters") == 1
    assert "letters exists and is no archive" in capsys.readouterr().err
    assert letter.read_text() == "Dear Sir"


def test_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = florence3d(tmp_path / "root").path
    write(path.with_name("a01_s1_id1.txt"), path.read_text())
    assert run("florence3d", tmp_path / "root", tmp_path / "archive", "--limit", "1") == 0
    assert Archive(tmp_path / "archive").names.tolist() == ["a01_s1_id1"]
    with pytest.raises(SystemExit):
        run("florence3d", tmp_path / "root", tmp_path / "archive", "--limit", "0")
    assert "--limit must be at least 1, not 0" in capsys.readouterr().err


def test_help_lists_the_sets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for name in SETS:
        assert any(line.split() == [name, *load_set(name).TITLE.split()] for line in printed.splitlines()), name


def test_an_unknown_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ntu", "--root", ".", "--output", "."])
    assert "invalid choice: 'ntu'" in capsys.readouterr().err


def test_a_damaged_root_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare_module.main(["utd_mhad", "--root", str(tmp_path), "--output", str(tmp_path / "archive")]) == 1
    assert f"{tmp_path} does not hold UTD-MHAD: there is no file" in capsys.readouterr().err
    assert not (tmp_path / "archive").exists()


def test_strict_reports_skipped_recordings_by_the_exit_code(tmp_path: Path) -> None:
    path = florence3d(tmp_path / "root").path
    assert run("florence3d", tmp_path / "root", tmp_path / "whole", "--strict") == 0
    write(path.with_name("a01_s1_id7.txt"), "")
    assert run("florence3d", tmp_path / "root", tmp_path / "strict", "--strict") == 3
    assert run("florence3d", tmp_path / "root", tmp_path / "lenient") == 0
    assert Archive(tmp_path / "strict").names.tolist() == Archive(tmp_path / "lenient").names.tolist()


def test_several_processes_write_the_same_archive(tmp_path: Path) -> None:
    path = florence3d(tmp_path / "root", frames=40).path
    for number in range(6):
        write(path.with_name(f"a01_s1_id{number}.txt"), path.read_text() if number % 3 else "")
    for name, jobs in (("one", "1"), ("two", "2")):
        assert run("florence3d", tmp_path / "root", tmp_path / name, "--jobs", jobs) == 0
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in ("joints.f32", "stamps.f64", "archive.json", "skipped.txt"))


def test_a_mirrored_frame_is_reported_and_kept() -> None:
    good = play({"person_1": random_script(3, 4, ACTIONS)}, seed=3, name="take")
    joints = {name: values * np.array([-1.0, 1.0, 1.0]) for name, values in good.joints.items()}
    assert frame_problems(good) == []
    assert [each.cause for each in frame_problems(replace(good, joints=joints))] == ["mirrored_skeletons"]
