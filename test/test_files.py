"""Files are whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from usdrl_ros.files import (
    ReadError,
    WriteError,
    atomic_directory,
    atomic_file,
    read_bytes,
    read_text,
    write_bytes,
    write_json,
    write_text,
)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_content_replaces_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    write_json(file, {"a": [1, 2.5, None]})
    assert json.loads(file.read_text()) == {"a": [1, 2.5, None]}
    write_text(file, "späť\n")
    assert file.read_bytes() == "späť\n".encode()
    write_bytes(file, b"\0\1")
    assert file.read_bytes() == b"\0\1"
    assert names(tmp_path) == ["out.json"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    file = tmp_path / "out.json"
    file.write_text("old")
    monkeypatch.setattr(os, failing, disk_full)
    with pytest.raises(WriteError) as caught:
        write_text(file, "new")
    assert str(caught.value) == f"{file}: cannot be written: No space left on device; make room and try again"
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["out.json"]


def test_real_full_device_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(WriteError, match=r"^/dev/full: cannot be written: No space left on device; make room"):
        write_text("/dev/full", "x" * 100_000)


def test_error_and_interruption_leave_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_text("old")

    def write_half(error: BaseException) -> None:
        with atomic_file(file) as beside:
            beside.write_text("half")
            assert (beside.parent, beside.suffix) == (tmp_path, ".pt")
            raise error

    for error in (RuntimeError("stop"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_half(error)
        assert file.read_text() == "old"
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, {"a": float("nan")})
    assert file.read_text() == "old"
    assert names(tmp_path) == ["model.pt"]


def test_mode_stays_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("")
    old.chmod(0o640)
    mask = os.umask(0o027)
    try:
        write_text(old, "x")
        write_text(new, "x")
    finally:
        os.umask(mask)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (old, new)] == [0o640, 0o640]


def test_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    link.symlink_to(file)
    write_text(link, "x")
    assert link.is_symlink()
    assert file.read_text() == "x"
    assert names(tmp_path) == ["elsewhere", "link"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot be written: Is a directory"):
        write_text(tmp_path, "x")
    with pytest.raises(WriteError, match="nowhere/file: cannot be written: No such file or directory"):
        write_text(tmp_path / "nowhere" / "file", "x")
    (tmp_path / "file").write_text("old")
    with pytest.raises(WriteError, match="Not a directory"):
        write_text(tmp_path / "file" / "below", "x")
    assert names(tmp_path) == ["file"]


def test_devices_are_written_directly() -> None:
    write_text("/dev/null", "x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "out", "a\ud800b")
    assert (tmp_path / "out").read_text() == "a?b"


def test_directory_is_filled_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.mkdir()
    (target / "mine").write_text("keep")
    (target / "page").write_text("old")
    with atomic_directory(target) as workspace:
        (workspace / "page").write_text("new")
        (workspace / "deep").mkdir()
        (workspace / "deep" / "picture").write_text("p")
        assert names(target) == ["mine", "page"]
        assert (target / "page").read_text() == "old"
    assert names(target) == ["deep", "mine", "page"]
    assert (target / "page").read_text() == "new"
    assert (target / "deep" / "picture").read_text() == "p"
    assert names(tmp_path) == ["report"]


def test_directory_is_as_it_was_after_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report"
    target.mkdir()
    (target / "page").write_text("old")

    def fill() -> None:
        with atomic_directory(target) as workspace:
            (workspace / "page").write_text("new")
            monkeypatch.setattr(os, "fsync", disk_full)
            write_text(workspace / "second", "new")

    with pytest.raises(WriteError) as caught:
        fill()
    assert str(caught.value) == f"{target}: cannot be written: No space left on device; make room and try again"
    assert names(tmp_path) == ["report"]
    assert names(target) == ["page"]
    assert (target / "page").read_text() == "old"


def test_directory_that_fails_at_first_is_not_made(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_directory(tmp_path / "deep" / "report") as workspace:
            (workspace / "page").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fill()
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_of_spreadsheets_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "text").write_text("Zoë\n汉字", encoding=encoding)
    assert read_text(tmp_path / "text") == "Zoë\n汉字"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "text"

    def reason(content: bytes, limit: int = 100) -> str:
        file.write_bytes(content)
        with pytest.raises(ReadError) as caught:
            read_text(file, limit)
        assert str(caught.value).startswith(f"{file}: cannot be read: ")
        return str(caught.value).split("cannot be read: ")[1]

    assert reason("a\nwäve\n".encode("latin-1")) == "it is no UTF-8 text (line 2); save it as UTF-8"
    assert reason(b"\xff\xfea") == "it is no UTF-8 text (line 1); save it as UTF-8"
    assert reason(b"x" * 101) == "it is larger than 9.53674e-05 MB"
    for path, expected in (
        (tmp_path, "it is a directory, expected a file"),
        (Path("/dev/zero"), "it is a device, expected a file"),
        (tmp_path / "nowhere", "No such file or directory"),
        (Path("a\0b"), "embedded null byte"),
    ):
        with pytest.raises(ReadError, match=expected):
            read_bytes(path)


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReadError, match="it is a pipe, expected a file"):
        read_text(tmp_path / "pipe")
