"""The moving picture: one colour an action, events while they happen, and people who face the camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.demo.animation import _faced, save
from usdrl_ros.demo.picture import HEIGHT, STRIP
from usdrl_ros.evaluation.report.canvas import colours_of
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.person import Frame, Person

COLOURS = colours_of(["bow", "kick", "run", "walk", "wave"])
LEFT, RIGHT = NTU_25.index("ShoulderLeft"), NTU_25.index("ShoulderRight")


def frames(seconds: float = 4.0) -> list[Frame]:
    """Somebody who stands 3 m away, ten times a second."""
    joints = np.random.default_rng(0).uniform(-0.5, 0.5, (25, 3)) + np.array([0.0, 0.0, 3.0])
    return [
        Frame(round((1 + i / 10) * 1e9), "camera", [Person("p", "ntu_25", joints)]) for i in range(int(seconds * 10))
    ]


def event(phase: Phase, stamp_s: float, action: str = "run") -> Event:
    start, end, stamp = (round(1e9 + 1e9 * seconds) for seconds in (1.0, 3.0, stamp_s))
    return Event(stamp, "camera", phase, "1", "p", action, 0.9, start, end, (0.0, 0.0, 3.0))


def share_of(picture: Image.Image, colour: str) -> float:
    """The share of a picture's events below that has nearly this colour."""
    below = np.asarray(picture.convert("RGB"), float)[HEIGHT - STRIP :]
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(below - wanted).max(-1) <= 6).mean())


def test_an_action_has_its_colour_of_the_model_from_when_it_is_announced(tmp_path: Path) -> None:
    events = [event(Phase.STARTED, 2.0), event(Phase.ENDED, 3.2)]
    save(tmp_path / "out.gif", frames(), events, COLOURS, 0.0, 4.0, 5.0)
    with Image.open(tmp_path / "out.gif") as gif:
        shares = []
        for number in range(gif.n_frames):
            gif.seek(number)
            shares.append(share_of(gif, COLOURS["run"]))
    assert len(shares) == 20
    assert max(shares[:10]) == 0.0  # two seconds: not yet announced
    assert shares[10] > 0.01
    assert shares[-1] > shares[10]  # its bar grows to the end


def test_people_are_turned_to_face_the_camera() -> None:
    turned = _faced(frames())
    joints = turned[0].people[0].joints
    across = joints[LEFT] - joints[RIGHT]
    assert np.degrees(np.arctan2(across[2], across[0])) == pytest.approx(180.0 - 25.0)
    given = frames()[0].people[0].joints
    assert np.linalg.norm(joints[LEFT] - joints[3]) == pytest.approx(np.linalg.norm(given[LEFT] - given[3]))
    with pytest.raises(ValueError, match="ntu_25"):
        _faced([Frame(1, "camera", [Person("p", "coco_17", np.zeros((17, 3)))])])
