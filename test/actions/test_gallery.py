"""Gallery files: what is written is read again; what is damaged or odd is refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.actions.gallery import Gallery, TaughtAction, default_directory, read_action


def action(name: str = "beckon_left", examples: int = 3) -> TaughtAction:
    rng = np.random.default_rng(examples)
    windows = rng.normal(size=(examples, 64, 25, 3)).astype(np.float32)
    windows[0, :, 7] = np.nan
    features = rng.normal(size=(examples, 3, 10)).astype(np.float32)
    durations = np.linspace(1.0, 2.0, examples).astype(np.float32)
    return TaughtAction(name, windows, durations, features, "ab" * 32, "hri-1", "alice", "2026-01-01T10:00:00+00:00")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "not" / "yet")
    saved = action()
    path = gallery.save(saved)
    assert path.stat().st_size < 100_000
    loaded = gallery.load("beckon_left")
    assert loaded.metadata() == saved.metadata()
    for name in ("windows", "durations", "features"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert gallery.names() == ["beckon_left"]
    assert [p.name for p in path.parent.iterdir()] == ["beckon_left.npz"]  # no temporary file is left


def test_files_are_renamed_deleted_exported_and_imported(tmp_path: Path) -> None:
    gallery, other = Gallery(tmp_path / "a"), Gallery(tmp_path / "b")
    gallery.save(action())
    gallery.rename("beckon_left", "come")
    assert gallery.names() == ["come"]
    assert gallery.load("come").name == "come"
    exported = gallery.export("come", tmp_path)
    assert other.add_file(exported, name="komm").name == "komm"
    np.testing.assert_array_equal(other.load("komm").windows, action().windows)
    gallery.delete("come")
    assert gallery.names() == []


def test_names_that_exist_or_are_not_allowed_are_refused(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.save(action())
    with pytest.raises(TeachingError, match="holds an action 'beckon_left'"):
        gallery.save(action(examples=1))
    gallery.save(action(examples=1), replace_existing=True)
    assert gallery.load("beckon_left").examples == 1
    gallery.save(action("other"))
    with pytest.raises(TeachingError, match="holds an action 'other'"):
        gallery.rename("beckon_left", "other")
    for name in ("", "../beckon", "a b", "1st", "x" * 65):
        with pytest.raises(TeachingError, match="cannot be the name"):
            gallery.save(action(name))
    with pytest.raises(TeachingError, match="holds no action 'wink'; it holds beckon_left, other"):
        gallery.delete("wink")


def test_damaged_files_are_refused_and_the_others_used(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    whole = gallery.save(action("whole")).read_bytes()
    (tmp_path / "cut_off.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no_npz.npz").write_bytes(b"hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "foreign.npz", windows=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", metadata=np.array([{}], dtype=object), windows=np.zeros(1),
             durations=np.zeros(1), features=np.zeros(1))  # fmt: skip
    gallery.save(replace(action("odd"), windows=np.zeros((3, 64, 20, 3), np.float32)))
    found, faults = gallery.load_all()
    assert [one.name for one in found] == ["whole"]
    assert len(faults) == 6
    for name in ("cut_off", "no_npz", "empty", "foreign", "pickled", "odd"):
        assert any(f"{name}.npz" in fault for fault in faults)
        with pytest.raises(TeachingError):
            read_action(tmp_path / f"{name}.npz")


def test_the_default_directory_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_directory() == Path("/somewhere/usdrl_ros/gallery")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/robot")
    assert default_directory() == Path("/home/robot/.local/share/usdrl_ros/gallery")
