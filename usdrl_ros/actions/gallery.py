"""The gallery: one small file for each taught action, `NAME.npz`, in a directory of the user's.

A file holds the examples themselves, as windows of joints in metres, and what one model made of them. With another
model they are run again (`usdrl_ros.teaching.ready`), so a gallery outlives the model that it was made with. Nothing in
a file is executed; metadata is JSON inside.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from usdrl_ros.actions.few_shot import TeachingError, read_arrays
from usdrl_ros.files import expanded

FORMAT = 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""What an action may be called."""
MOST_EXAMPLES = 200
"""In one file."""
MOST_ACTIONS = 200
"""In one gallery."""
_ARRAYS = ("windows", "durations", "features")


@dataclass(frozen=True)
class TaughtAction:
    """One file of a gallery.

    Args:
        name: Of the action, or of the counter-examples.
        windows: (E, T, 25, 3) the examples, metres, NaN where unseen, each from its start to its end.
        durations: (E,) seconds of each.
        features: (E, V, F) what the model made of each and of its variants (`few_shot.Statistics.features`).
        model: SHA-256 of that model file; "" where features are still to be computed.
        model_name: Its name.
        taught_by: Who showed it: the person's id, or the bag.
        created: When, ISO 8601 with the zone.
        counter_to: The action that these are no examples of; "" for a taught action.
    """

    name: str
    windows: np.ndarray
    durations: np.ndarray
    features: np.ndarray
    model: str
    model_name: str
    taught_by: str
    created: str
    counter_to: str = ""

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self.windows)

    def metadata(self) -> dict[str, object]:
        """What the file says of itself, for people."""
        return {
            "format": FORMAT,
            "name": self.name,
            "examples": self.examples,
            "seconds": [round(float(x), 2) for x in self.durations],
            "taught_by": self.taught_by,
            "created": self.created,
            "model": self.model,
            "model_name": self.model_name,
            "counter_to": self.counter_to,
        }


def default_directory() -> Path:
    """`usdrl_ros/gallery` in the user's data directory (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return expanded(base) / "usdrl_ros" / "gallery"


def check_name(name: str) -> str:
    """The name, if an action may be called so.

    Raises:
        TeachingError: It may not.
    """
    if not NAME.fullmatch(name):
        raise TeachingError(
            f"{name!r} cannot be the name of an action: letters, digits and _ are allowed, at most 64, a letter first"
        )
    return name


class Gallery:
    """The files of one directory; it is made when something is saved."""

    def __init__(self, directory: str | Path = "") -> None:
        """Take the directory; empty: the user's."""
        self.directory = expanded(directory) if str(directory) else default_directory()

    def names(self) -> list[str]:
        """The names of its files, in order."""
        if not self.directory.is_dir():
            return []
        return sorted(path.stem for path in self.directory.glob("*.npz") if NAME.fullmatch(path.stem))

    def __contains__(self, name: str) -> bool:
        return self._path(name).is_file()

    def load(self, name: str) -> TaughtAction:
        """Read one file.

        Raises:
            TeachingError: It is not there, or is damaged.
        """
        path = self._existing(name)
        return replace(read_action(path), name=name)

    def load_all(self) -> tuple[list[TaughtAction], list[str]]:
        """Read all files: what is whole, and for each other one what is wrong with it."""
        found, faults = [], []
        for name in self.names():
            try:
                found.append(self.load(name))
            except TeachingError as error:
                faults.append(str(error))
        if len(found) > MOST_ACTIONS:
            faults.append(f"{self.directory} holds {len(found)} actions, the first {MOST_ACTIONS} are used")
        return found[:MOST_ACTIONS], faults

    def save(self, action: TaughtAction, *, replace_existing: bool = False) -> Path:
        """Write a file; it appears whole or not at all.

        Raises:
            TeachingError: One of the name exists, or the directory cannot be written.
        """
        path = self._path(action.name)
        if path.exists() and not replace_existing:
            raise TeachingError(
                f"the gallery {self.directory} holds an action '{action.name}': delete or rename it, or replace it"
            )
        write_action(action, path)
        return path

    def rename(self, old: str, new: str) -> None:
        """Give a file another name.

        Raises:
            TeachingError: There is none, the new name exists or is not allowed.
        """
        action = self.load(old)
        check_name(new)
        if new in self:
            raise TeachingError(f"the gallery {self.directory} holds an action '{new}': delete it first")
        self.save(replace(action, name=new))
        self._path(old).unlink()

    def delete(self, name: str) -> None:
        """Delete a file.

        Raises:
            TeachingError: There is none.
        """
        self._existing(name).unlink()

    def export(self, name: str, destination: str | Path) -> Path:
        """Copy a file to a path or into a directory.

        Raises:
            TeachingError: There is none, or the destination cannot be written.
        """
        target = expanded(destination)
        if target.is_dir():
            target = target / f"{name}.npz"
        source = self._existing(name)
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise TeachingError(f"cannot write {target}: {error}") from error
        return target

    def add_file(self, source: str | Path, *, name: str = "", replace_existing: bool = False) -> TaughtAction:
        """Import a file that was exported.

        Args:
            source: The file.
            name: What it is called here; empty: as there.
            replace_existing: Whether an action of the name is replaced.

        Raises:
            TeachingError: It is no such file, or the name exists or is not allowed.
        """
        action = read_action(expanded(source))
        action = replace(action, name=check_name(name or action.name))
        self.save(action, replace_existing=replace_existing)
        return action

    def _path(self, name: str) -> Path:
        return self.directory / f"{check_name(name)}.npz"

    def _existing(self, name: str) -> Path:
        path = self._path(name)
        if not path.is_file():
            there = ", ".join(self.names()) or "nothing"
            raise TeachingError(f"the gallery {self.directory} holds no action '{name}'; it holds {there}")
        return path


def write_action(action: TaughtAction, path: Path) -> None:
    """Write a gallery file, whole or not at all.

    Raises:
        TeachingError: The place cannot be written.
    """
    metadata = np.frombuffer(json.dumps(action.metadata()).encode(), np.uint8)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            temporary = file.name
            np.savez_compressed(
                file,
                metadata=metadata,
                windows=action.windows.astype(np.float32),
                durations=action.durations.astype(np.float32),
                features=action.features.astype(np.float32),
            )
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise TeachingError(f"cannot write {path}: {error}") from error


def read_action(path: Path) -> TaughtAction:
    """Read a gallery file.

    Raises:
        TeachingError: It is not there, damaged, or no gallery file.
    """
    if not path.is_file():
        raise TeachingError(f"{path} is not there")
    head, arrays = read_arrays(path, _ARRAYS)
    if head.get("format") != FORMAT:
        raise TeachingError(f"{path} has format {head.get('format')}, this version reads {FORMAT}: teach it again")
    windows, durations, features = (arrays[name] for name in _ARRAYS)
    fits = (
        all(array.dtype == np.float32 for array in (windows, durations, features))
        and windows.ndim == 4
        and windows.shape[2:] == (25, 3)
        and windows.shape[1] >= 2
        and 1 <= len(windows) <= MOST_EXAMPLES
        and durations.shape == (len(windows),)
        and bool(np.isfinite(durations).all() and (durations > 0).all())
        and features.ndim == 3
        and len(features) in (0, len(windows))
        and bool(np.isfinite(features).all())
    )
    texts: Sequence[str] = ("name", "model", "model_name", "taught_by", "created", "counter_to")
    if not fits or not all(isinstance(head.get(key), str) for key in texts):
        raise TeachingError(f"{path} is damaged: its arrays or its metadata are not those of a taught action")
    return TaughtAction(windows=windows, durations=durations, features=features, **{key: head[key] for key in texts})
