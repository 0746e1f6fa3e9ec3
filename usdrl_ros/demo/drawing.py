"""Skeletons and events drawn into a camera's picture, with OpenCV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.evaluation.report.canvas import UNKNOWN
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Frame

_COLOURS = ((86, 180, 20), (20, 140, 250), (200, 90, 180), (60, 60, 230), (190, 170, 20))
"""BGR, one a person in turn."""
_TEXT, _SHADE = (255, 255, 255), (30, 30, 30)
_LATEST = 4


def draw(
    picture: np.ndarray,
    frame: Frame,
    focal: float,
    running: Iterable[Event],
    recent: Sequence[Event],
    colours: Mapping[str, str],
) -> None:
    """Draw into a picture (rows, columns, 3), BGR, in place.

    Args:
        picture: The picture in which the people were seen.
        frame: The people, in the camera's optical frame.
        focal: Focal length, pixels.
        running: Events that go on; each is written above its person.
        recent: STARTED and ENDED events, the newest last; the last ones are listed at the lower left.
        colours: Of the actions, "#rrggbb"; others are grey.
    """
    import cv2

    height, width = picture.shape[:2]
    scale = max(height / 720.0, 0.5)
    doing: dict[str, list[Event]] = {}
    for event in running:
        doing.setdefault(event.person_id, []).append(event)
    for number, person in enumerate(frame.people):
        colour = _COLOURS[number % len(_COLOURS)]
        points = project(person.joints, focal, width, height)
        for a, b in load_layout(person.layout).bones:
            if np.isfinite(points[[a, b]]).all():
                ends = [tuple(int(value) for value in points[i]) for i in (a, b)]
                cv2.line(picture, ends[0], ends[1], colour, max(round(3 * scale), 1), cv2.LINE_AA)
        seen = points[np.isfinite(points).all(-1)]
        if len(seen):
            left, top = seen.min(0)
            _write(cv2, picture, person.person_id, (left, top - 20 * scale), scale, colour)
            for row, event in enumerate(doing.get(person.person_id, []), 1):
                text, place = f"{event.action} {event.confidence:.2f}", (left, top - (20 + 32 * row) * scale)
                _write(cv2, picture, text, place, scale, _bgr(colours.get(event.action, UNKNOWN)))
    for row, event in enumerate(reversed(list(recent)[-_LATEST:])):
        text = f"{event.person_id} {'starts' if event.phase == Phase.STARTED else 'ended'} {event.action}"
        _write(cv2, picture, text, (12 * scale, height - (16 + 30 * row) * scale), scale, _SHADE)


def project(joints: np.ndarray, focal: float, width: int, height: int) -> np.ndarray:
    """Pixels (V, 2) of joints (V, 3) metres in the optical frame of a pinhole camera; NaN where unseen or behind it."""
    depth = np.where(joints[:, 2] > 0.05, joints[:, 2], np.nan)[:, None]
    return joints[:, :2] / depth * focal + np.array([width / 2.0, height / 2.0])


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red


def _write(
    cv2: Any, picture: np.ndarray, text: str, place: tuple[float, float], scale: float, colour: tuple[int, int, int]
) -> None:
    """Text on a filled box, kept inside the picture; `place` is the lower left of the text."""
    font, size, thickness = cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, max(round(1.6 * scale), 1)
    (wide, high), below = cv2.getTextSize(text, font, size, thickness)
    x = int(min(max(place[0], 2), max(picture.shape[1] - wide - 4, 2)))
    y = int(min(max(place[1], high + 4), picture.shape[0] - below - 2))
    pad = round(4 * scale)
    cv2.rectangle(picture, (x - pad, y - high - pad), (x + wide + pad, y + below + pad), colour, -1)
    blue, green, red = colour
    ink = _TEXT if 0.0722 * blue + 0.7152 * green + 0.2126 * red < 155 else _SHADE  # relative luminance, ITU-R BT.709
    cv2.putText(picture, text, (x, y), font, size, ink, thickness, cv2.LINE_AA)
