"""Keys and files of built engines."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from usdrl_ros.inference.engine_cache import CacheError, EngineKey, cache_directory, read_plan, write_plan

KEY = EngineKey("0" * 64, "TensorRT 10.3.0", "Orin (nvgpu) compute capability 8.7", "fp16")
PLAN = bytes(range(256)) * 10 + b"\n\n"


def test_an_engine_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.engine"
    write_plan(path, KEY, 16, PLAN)
    assert read_plan(path, KEY, 16) == PLAN
    write_plan(path, KEY, 16, b"other")
    assert read_plan(path, KEY, 16) == b"other"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", [f.name for f in fields(EngineKey)])
def test_each_part_of_the_key_is_checked(tmp_path: Path, name: str) -> None:
    value = getattr(KEY, name)
    other = replace(KEY, **{name: value + "x"})
    assert other.file_name("m") != KEY.file_name("m")
    write_plan(tmp_path / "a.engine", other, 16, PLAN)
    with pytest.raises(CacheError, match=f"a.engine was built for another use: {name} .*, here ") as caught:
        read_plan(tmp_path / "a.engine", KEY, 16)
    assert caught.value.args[0].count("here") == 1


def test_an_engine_for_more_people_serves_one_for_fewer_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.engine"
    write_plan(path, KEY, 16, PLAN)
    assert read_plan(path, KEY, 3) == PLAN
    with pytest.raises(CacheError, match="built for batches of up to 16, here 17"):
        read_plan(path, KEY, 17)


def test_file_names_are_readable_and_safe() -> None:
    name = KEY.file_name("my model/../x")
    assert name.startswith("my_model_.._x-TensorRT_10.3.0-Orin_nvgpu_compute_capability_8.7-fp16-")
    assert "/" not in name
    assert KEY.file_name("m") == replace(KEY).file_name("m")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.engine"
    write_plan(path, KEY, 16, PLAN)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CacheError, match=r"a.engine (is cut off|was not written by this program, or is damaged)"):
        read_plan(path, KEY, 16)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.engine"
    write_plan(path, KEY, 16, PLAN[:40])
    content = path.read_bytes()
    numbers = content.index(b"max_batch"), content.index(b"size")  # a larger batch is no damage; TensorRT checks it
    for position in range(len(content)):
        if numbers[0] + 11 < position < numbers[1] - 3:
            continue
        changed = bytearray(content)
        changed[position] ^= 0x04
        path.write_bytes(changed)
        with pytest.raises(CacheError, match=r"a\.engine"):
            read_plan(path, KEY, 16)


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b"null", b'{"key": 1, "size": 2, "sha256": 3}', b"\xff", b'"key"', b"7"]
)
def test_foreign_files_are_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.engine"
    path.write_bytes(line + b"\n" + PLAN)
    with pytest.raises(CacheError, match=r"a\.engine"):
        read_plan(path, KEY, 16)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_trusted(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.engine"
    write_plan(path, KEY, 16, PLAN)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    with pytest.raises(CacheError, match=rf"may write to .*a\.engine \(mode 0{mode:o}\), .*: chmod go-w .*a\.engine$"):
        read_plan(path, KEY, 16)
    path.chmod(0o644)
    assert read_plan(path, KEY, 16) == PLAN


@pytest.mark.parametrize(
    ("mode", "trusted"), [(0o700, True), (0o755, True), (0o775, False), (0o777, False), (0o1777, True)]
)
def test_a_directory_that_others_may_write_is_not_trusted(tmp_path: Path, mode: int, trusted: bool) -> None:
    path = tmp_path / "cache" / "a.engine"
    write_plan(path, KEY, 16, PLAN)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(mode)
    if trusted:
        assert read_plan(path, KEY, 16) == PLAN
        return
    with pytest.raises(CacheError, match=rf"other users may write to .*/cache \(mode 0{mode:o}\)"):
        read_plan(path, KEY, 16)


@pytest.mark.parametrize("owner", ["file", "directory"])
def test_another_users_file_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str) -> None:
    path = tmp_path / "cache" / "a.engine"
    write_plan(path, KEY, 16, PLAN)
    me = os.geteuid()
    if me == 0:
        os.chown(path if owner == "file" else path.parent, 4321, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(CacheError, match=r"belongs to the user \d+, not to this one .*: remove it, or name another"):
        read_plan(path, KEY, 16)


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_plan(tmp_path / "a.engine", KEY, 16)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.engine").mkdir()
    with pytest.raises(CacheError, match=r"a\.engine cannot be read: .*directory"):
        read_plan(tmp_path / "a.engine", KEY, 16)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    path = tmp_path / "a.engine"
    write_plan(path, KEY, 16, b"before")

    def fail(*arguments: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CacheError, match=f"a.engine cannot be written: .*{os.strerror(code)}"):
            write_plan(path, KEY, 16, PLAN)
    assert read_plan(path, KEY, 16) == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_made_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be written"):
        write_plan(tmp_path / "file" / "a.engine", KEY, 16, PLAN)


def test_the_header_is_json(tmp_path: Path) -> None:
    write_plan(tmp_path / "a.engine", KEY, 16, PLAN)
    header = json.loads((tmp_path / "a.engine").read_bytes().split(b"\n", 1)[0])
    assert header["key"]["gpu"] == KEY.gpu
    assert header["size"] == len(PLAN)


def test_the_users_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "usdrl_ros"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_directory() == tmp_path / "home" / ".cache" / "usdrl_ros"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / "home" / ".cache" / "usdrl_ros"
