"""People in a picture as skeletons in metres: MediaPipe's pose, placed before the camera, and smoothed.

MediaPipe (Bazarevsky et al., BlazePose, CVPR workshops 2020; Grishchenko et al., BlazePose GHUM,
2022) gives each person twice: landmarks in the image, and "world landmarks" in metres about the
middle of the hips, whose depth is estimated from the one picture. `place` finds where the person
stands: the translation by which the world landmarks, seen by a pinhole camera, fall on those in
the image.

Coordinates are those of a camera's optical frame: x right, y down, z forward, metres.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usdrl_ros.problems import Problem
from usdrl_ros.scene.association import Associator
from usdrl_ros.skeleton.person import Frame, Person

LAYOUT = "mediapipe_33"
FRAME_ID = "camera"
NEAREST_M, FARTHEST_M = 0.3, 20.0
"""Nobody is nearer to or farther from a camera than this."""


class PoseError(Exception):
    """MediaPipe cannot be used here; the message says what to install or to download."""


@dataclass(frozen=True)
class Sighting:
    """One person in one picture.

    Args:
        world: (33, 3) metres about the middle of the hips.
        image: (33, 2) pixels.
        visibility: (33,) 0 to 1.
    """

    world: np.ndarray
    image: np.ndarray
    visibility: np.ndarray


class PoseEstimator:
    """MediaPipe's pose for the pictures of one video; a context manager."""

    def __init__(self, model: Path | None = None, people: int = 1) -> None:
        """Load the model.

        Args:
            model: A `pose_landmarker_*.task` file, which finds several people; None: the model in MediaPipe's package,
                which finds one person and is there up to MediaPipe 0.10.21.
            people: Most people to find; more than one needs a model file.

        Raises:
            PoseError: MediaPipe or its model is missing.
        """
        try:
            import mediapipe
        except ImportError as error:
            raise PoseError(
                "MediaPipe is not installed: pip install mediapipe==0.10.21 (Python 3.9 to 3.12), or run `make webcam`"
            ) from error
        self._mediapipe = mediapipe
        self._last_ms = -1
        if model is not None:
            self._legacy, self._landmarker = None, _landmarker(model, people)
        elif people > 1:
            raise PoseError("MediaPipe's built-in model finds one person; several need a file: --pose-model FILE.task")
        elif not hasattr(mediapipe, "solutions"):
            raise PoseError(
                f"MediaPipe {mediapipe.__version__} brings no model: download pose_landmarker_full.task from its "
                "documentation (Pose Landmarker, Models) and give it by --pose-model, or install mediapipe==0.10.21"
            )
        else:
            with _without_native_log():
                self._legacy, self._landmarker = mediapipe.solutions.pose.Pose(model_complexity=1), None
                self._legacy.process(np.zeros((64, 64, 3), np.uint8))

    def find(self, picture: np.ndarray, stamp_ns: int) -> list[Sighting]:
        """The people in a picture (rows, columns, 3), RGB, uint8; the stamps of the pictures must increase."""
        height, width = picture.shape[:2]
        if self._legacy is not None:
            result = self._legacy.process(picture)
            if result.pose_world_landmarks is None:
                return []
            pairs = [(result.pose_world_landmarks.landmark, result.pose_landmarks.landmark)]
        else:
            assert self._landmarker is not None
            image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=picture)
            self._last_ms = max(self._last_ms + 1, stamp_ns // 1_000_000)
            found = self._landmarker.detect_for_video(image, self._last_ms)
            pairs = list(zip(found.pose_world_landmarks, found.pose_landmarks, strict=True))
        return [_sighting(world, image, width, height) for world, image in pairs]

    def close(self) -> None:
        """Release the model."""
        for loaded in (self._legacy, self._landmarker):
            if loaded is not None:
                loaded.close()

    def __enter__(self) -> PoseEstimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _without_native_log() -> Iterator[None]:
    """Drop what MediaPipe's C++ code writes to stderr when a model is loaded: it would break the terminal's picture."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _landmarker(model: Path, people: int) -> Any:
    if not model.is_file():
        raise PoseError(f"--pose-model {model}: no such file")
    from mediapipe.tasks import python
    from mediapipe.tasks.python import vision

    options = vision.PoseLandmarkerOptions(
        base_options=python.BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        num_poses=people,
    )
    try:
        return vision.PoseLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise PoseError(f"--pose-model {model} cannot be loaded: {' '.join(str(error).split())}") from error


def _sighting(world: Iterable[Any], image: Iterable[Any], width: int, height: int) -> Sighting:
    metres = np.array([(point.x, point.y, point.z, point.visibility) for point in world], np.float64)
    pixels = np.array([(point.x * width, point.y * height) for point in image], np.float64)
    return Sighting(metres[:, :3], pixels, metres[:, 3])


def focal_length(width: int, field_of_view_deg: float) -> float:
    """The focal length, pixels, of a camera whose picture is `width` pixels wide and spans this angle."""
    return width / (2.0 * np.tan(np.radians(field_of_view_deg) / 2.0))


def place(sighting: Sighting, focal: float, width: int, height: int) -> np.ndarray:
    """Where the person's hips are, (3,) metres; NaN where the landmarks do not say.

    A landmark X at translation t is seen at u = f (X_x + t_x) / (X_z + t_z) from the picture's
    centre, and likewise for v: two linear equations in t for each landmark, solved by least
    squares, weighted by visibility.
    """
    u = (sighting.image[:, 0] - width / 2.0) / focal
    v = (sighting.image[:, 1] - height / 2.0) / focal
    x, y, z = sighting.world.T
    one, none = np.ones(len(u)), np.zeros(len(u))
    left = np.concatenate([np.stack([one, none, -u], -1), np.stack([none, one, -v], -1)])
    right = np.concatenate([u * z - x, v * z - y])
    weight = np.sqrt(np.clip(np.tile(sighting.visibility, 2), 0.0, 1.0))
    if np.count_nonzero(sighting.visibility > 0.3) < 8:
        return np.full(3, np.nan)
    translation, *_ = np.linalg.lstsq(left * weight[:, None], right * weight, rcond=None)
    return translation if NEAREST_M <= translation[2] <= FARTHEST_M else np.full(3, np.nan)


class OneEuro:
    """The One Euro filter (Casiez, Roussel, Vogel, CHI 2012): smooth at rest, quick in motion.

    Args:
        cutoff_hz: Cut-off frequency at rest.
        beta: How much the cut-off rises with speed, 1/m.
    """

    def __init__(self, cutoff_hz: float = 1.5, beta: float = 2.0) -> None:
        self._cutoff_hz, self._beta = cutoff_hz, beta
        self._value: np.ndarray | None = None
        self._speed = np.zeros(())
        self._stamp_ns = 0

    def __call__(self, stamp_ns: int, value: np.ndarray) -> np.ndarray:
        """The filtered value (any shape), metres; NaN passes through and is forgotten."""
        elapsed_s = (stamp_ns - self._stamp_ns) / 1e9
        self._stamp_ns = stamp_ns
        if self._value is None or not 0.0 < elapsed_s < 1.0:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        before = np.where(np.isfinite(self._value), self._value, value)
        speed = np.nan_to_num((value - before) / elapsed_s)
        self._speed = self._speed + _share(1.0, elapsed_s) * (speed - self._speed)
        share = _share(self._cutoff_hz + self._beta * np.abs(self._speed), elapsed_s)
        self._value = before + share * (value - before)
        return self._value


def _share(cutoff_hz: float | np.ndarray, elapsed_s: float) -> np.ndarray:
    """The share of a new sample in a first-order low pass."""
    rate = 2.0 * np.pi * np.asarray(cutoff_hz) * elapsed_s
    return rate / (rate + 1.0)


class Skeletons:
    """From sightings to a `Frame`: ids by motion, smoothing, placing, and unseen joints left out.

    Args:
        focal: Focal length, pixels.
        width, height: Of the picture, pixels.
        min_visibility: Landmarks of less visibility are unseen: MediaPipe guesses those outside the picture, too.
    """

    def __init__(self, focal: float, width: int, height: int, min_visibility: float = 0.3) -> None:
        self._focal, self._width, self._height = focal, width, height
        self._min_visibility = min_visibility
        self._associator = Associator()
        self._filters: dict[str, tuple[OneEuro, OneEuro]] = {}

    def frame(self, stamp_ns: int, sightings: list[Sighting]) -> Frame:
        """The people of one picture, in the layout `mediapipe_33`, in the camera's optical frame."""
        people: list[Person] = []
        places: dict[int, np.ndarray] = {}
        for sighting in sightings:
            hips = place(sighting, self._focal, self._width, self._height)
            where = hips if np.isfinite(hips).all() else np.array([0.0, 0.0, 2.0])
            joints = np.where(sighting.visibility[:, None] >= self._min_visibility, sighting.world, np.nan) + where
            people.append(Person("", LAYOUT, joints, np.clip(sighting.visibility, 0.0, 1.0)))
            places[id(joints)] = where
        problems: list[Problem] = []
        named = self._associator.assign(stamp_ns, people, problems)
        self._filters = {person.person_id: self._filter(person.person_id) for person in named}
        smoothed = [self._smooth(stamp_ns, person, places[id(person.joints)]) for person in named]
        return Frame(stamp_ns, FRAME_ID, smoothed, problems)

    def _filter(self, person_id: str) -> tuple[OneEuro, OneEuro]:
        return self._filters.get(person_id) or (OneEuro(), OneEuro(cutoff_hz=0.5, beta=0.5))

    def _smooth(self, stamp_ns: int, person: Person, where: np.ndarray) -> Person:
        """Smooth the pose about the hips lightly and their place (3,) more: the whole person's depth is least certain.

        The hips are where MediaPipe has them, also while they are out of the picture: the place does not jump with what
        is seen.
        """
        pose, place_filter = self._filters[person.person_id]
        joints = pose(stamp_ns, person.joints - where) + place_filter(stamp_ns, where)
        return Person(person.person_id, person.layout, joints, person.confidence)
