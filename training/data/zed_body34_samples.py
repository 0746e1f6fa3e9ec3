"""Exports of the ZED SDK's body tracking, BODY_34, as JSON: no labels.

`ROOT/*.json`, in one of two shapes: pandas' table, {"schema": ..., "data": [frame, ...]}, or {"0": frame, "1": ...}. A
frame holds `time`, `ID_subject` and `joints`, from a joint's name to x, y, z in metres, with x to the camera's right,
y up and z towards the camera; the reader turns that half a turn about y, as the other sets have it. The tracker's ids
are people in the order in which they appear. Where times are whole seconds, the frames of a second are spread
evenly in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from training.data.errors import DatasetError
from training.data.files import find_files, read_text
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import load_layout

NAME, TITLE, LAYOUT = "zed_body34_samples", "ZED BODY_34 exports", "zed_body_34"
ACTIONS: tuple[str, ...] = ()
PROTOCOLS: dict[str, Callable[[str, str, str], str]] = {}


def _name_in_file(joint: str) -> str:
    """The file's name of a joint of the layout: of LEFT_THUMB, TumbLeft."""
    side, _, rest = joint.partition("_")
    if side not in ("LEFT", "RIGHT"):
        side, rest = "", joint
    part = {"HANDTIP": "HandTip", "THUMB": "Tumb"}.get(rest, rest.title().replace("_", ""))
    return part + side.title()


JOINTS = tuple(_name_in_file(joint) for joint in load_layout(LAYOUT).joint_names)
"""The files' names of the layout's joints, in its order."""


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "*.json", TITLE)


def read(source: Path) -> Recording:
    """One file. Seconds count from its first frame.

    Raises:
        DatasetError: The file is not as it should be.
    """
    try:
        frames = _frames(json.loads(read_text(source)))
        times = [frame["time"] for frame in frames]
        people = [frame["ID_subject"] for frame in frames]
        positions = [[frame["joints"][joint] for joint in JOINTS] for frame in frames]
        joints = np.array(positions, float).reshape(len(frames), len(JOINTS), 3)
        stamps = _stamps(times)
    except DatasetError:
        raise
    except KeyError as error:
        raise DatasetError(f"{source}: a frame has no {error}", "wrong columns") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{source} cannot be read: {error}", "unreadable file") from error
    if len(frames) < 2:
        raise DatasetError(f"{source} has {len(frames)} frame, expected at least 2", "fewer than two frames")
    instants, at = np.unique(stamps, return_inverse=True)
    by_person = {}
    for number, tracked in enumerate(dict.fromkeys(people), 1):
        of = [index for index, person in enumerate(people) if person == tracked]
        found = np.full((len(instants), len(JOINTS), 3), np.nan)
        found[at[of]] = joints[of] * (-1.0, 1.0, -1.0)
        by_person[f"person_{number}"] = found
    return Recording(source.stem, LAYOUT, instants - instants[0], by_person, labelled=False)


def _frames(content: Any) -> list[dict[str, Any]]:
    if "data" in content:
        return list(content["data"])
    return [content[key] for key in sorted(content, key=int)]


def _stamps(times: list[str]) -> np.ndarray:
    """Seconds of frames, in order of the frames."""
    whole = [re.fullmatch(r"(\d\d)H-(\d\d)-(\d\d)\.ffff", time) for time in times]
    if not all(whole):
        return np.array([datetime.fromisoformat(time).timestamp() for time in times])
    seconds = np.array([int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) for match in whole if match])
    _, first, counts = np.unique(seconds, return_index=True, return_counts=True)
    share = np.zeros(len(seconds))
    for start, count in zip(first, counts, strict=True):
        share[start : start + count] = np.arange(count) / count
    return seconds + share
