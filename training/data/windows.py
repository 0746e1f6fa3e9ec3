"""Windows of recordings as a robot would see them, and clips cut to their action, for training.

A training window is made just as on the robot: samples up to an instant, resampled to the model's frames, normalised
(`usdrl_ros.skeleton`). What varies between robots is varied here: frame rate, speed, noise, unseen joints, mirror
image, size, a poorer joint layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.utils.data import Dataset

from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import NTU_25, load_layout
from usdrl_ros.skeleton.normalize import model_input
from usdrl_ros.skeleton.window import frame_times, resample

FRAMES, PEOPLE = 64, 2
IGNORE = -100
"""Label of what is left out of a loss, as in torch's cross-entropy."""

_OTHER_SIDE = {
    name: name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left") for name in NTU_25
}
_MIRRORED = np.array([NTU_25.index(_OTHER_SIDE[name]) for name in NTU_25])
_COCO = load_layout("coco_17")
_COCO_FROM_NTU = [
    (source, target)
    for target, row in enumerate(_COCO.matrix)
    for source in np.flatnonzero(row)
    if not _COCO.derived[target] and (np.count_nonzero(row) == 1 or NTU_25[target] == "Head")
]
"""(COCO joint, the NTU-25 joint at its place): single joints one to one, both ears at the head's centre."""


@dataclass(frozen=True)
class Variation:
    """How training windows vary; probabilities are of a window.

    Args:
        faster, slower: Largest factors by which an action is faster or slower than recorded.
        size: Largest share by which a person is larger or smaller.
        noise_m: Largest standard deviation of noise on each coordinate, metres.
        shear: Largest off-diagonal entry of a random shear.
        tilt_rad: Largest rotation about a random axis (a tilted camera), before normalisation.
        mirror: Probability of a mirror image, left and right swapped.
        sparse: Probability of a lower frame rate, down to 5 Hz.
        unseen: Probability that a limb or some joints are unseen for a while.
        poorer: Probability that the skeleton is derived from COCO-17's joints alone.
    """

    faster: float = 2.4
    slower: float = 1.25
    size: float = 0.15
    noise_m: float = 0.02
    shear: float = 0.15
    tilt_rad: float = 0.3
    mirror: float = 0.5
    sparse: float = 0.3
    unseen: float = 0.2
    poorer: float = 0.1


NO_VARIATION = Variation(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Track:
    """One person of a recording in NTU-25, with frame labels to look up: class of an instant, 0 background."""

    stamps: np.ndarray
    joints: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    classes: np.ndarray

    def label_at(self, times: np.ndarray) -> np.ndarray:
        """Class (T,) at times (T,) seconds."""
        inside = (self.starts <= times[:, None]) & (times[:, None] < self.ends)
        return np.where(inside.any(1), self.classes[inside.argmax(1)], 0) if len(self.starts) else np.zeros(len(times))


def tracks(recordings: Sequence[Recording], actions: Sequence[str]) -> list[Track]:
    """The people of recordings as tracks; an action that is not among `actions` is background."""
    found = []
    for recording in recordings:
        layout = load_layout(recording.layout)
        for person_id, joints in recording.joints.items():
            there = np.isfinite(joints).any((1, 2))
            segments = [s for s in recording.segments if s.person_id == person_id and s.action in actions]
            segments.sort(key=lambda s: s.start)
            found.append(
                Track(
                    stamps=recording.stamps[there],
                    joints=layout.to_ntu25(joints[there])[0].astype(np.float32),
                    starts=np.array([s.start for s in segments]),
                    ends=np.array([s.end for s in segments]),
                    classes=np.array([1 + list(actions).index(s.action) for s in segments], int),
                )
            )
    return found


class WindowDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Random windows of tracks: skeletons (3, 64, 25, 2), frame classes (64,), action (or IGNORE).

    A share `clips` of the samples is cut to one action and stretched to the window, as data sets of trimmed clips are;
    those train the recognition head alone. Item i of epoch e is the same in every run with the same seed.
    """

    def __init__(
        self,
        source: Sequence[Track],
        *,
        window_s: float,
        length: int,
        variation: Variation,
        clips: float = 0.25,
        seed: int = 0,
    ) -> None:
        self._tracks, self._window_s, self._length = list(source), window_s, length
        self._variation, self._clips, self._seed = variation, clips, seed
        self.epoch = 0
        spans = np.array([track.stamps[-1] - track.stamps[0] for track in self._tracks])
        self._share = spans / spans.sum()
        self._segments = [(track, i) for track in self._tracks for i in range(len(track.starts))]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        if rng.random() < self._clips:
            track, i = self._segments[rng.integers(len(self._segments))]
            skeletons, _ = make_window(track, track.ends[i], track.ends[i] - track.starts[i], self._variation, rng)
            return (
                torch.from_numpy(skeletons),
                torch.full((FRAMES,), IGNORE),
                torch.tensor(int(track.classes[i]) - 1),
            )
        track = self._tracks[rng.choice(len(self._tracks), p=self._share)]
        end = rng.uniform(track.stamps[0] + 0.5, track.stamps[-1])
        speed = np.exp(rng.uniform(-np.log(self._variation.slower), np.log(self._variation.faster)))
        skeletons, times = make_window(track, end, self._window_s * speed, self._variation, rng)
        labels = track.label_at(times).astype(np.int64)
        return torch.from_numpy(skeletons), torch.from_numpy(labels), torch.tensor(action_of(labels))


def action_of(labels: np.ndarray) -> int:
    """The one action (0-based) that a window shows, for the recognition head: it alone fills half of it; or IGNORE."""
    present = np.unique(labels[labels > 0])
    return int(present[0]) - 1 if len(present) == 1 and (labels > 0).mean() >= 0.5 else IGNORE


def make_window(
    track: Track, end: float, span_s: float, variation: Variation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One window of a track ending at an instant: skeletons (3, 64, 25, 2) normalised, and its times (64,) seconds."""
    times = frame_times(end, span_s, FRAMES)
    begin = max(int(np.searchsorted(track.stamps, times[0])) - 1, 0)
    stop = max(int(np.searchsorted(track.stamps, end, "right")), begin + 1)
    stamps, joints = vary(track.stamps[begin:stop], track.joints[begin:stop].astype(float), variation, rng)
    return model_input(resample(stamps, joints, times)[None], PEOPLE)[0], times


def vary(
    stamps: np.ndarray, joints: np.ndarray, variation: Variation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Vary samples (n,) seconds and joints (n, 25, 3) as `Variation` says; may return fewer samples."""
    v = variation
    if v.sparse and rng.random() < v.sparse and len(stamps) > 2:
        period = 1.0 / rng.uniform(5.0, 15.0)
        kept = np.unique(np.searchsorted(stamps, np.arange(stamps[0], stamps[-1], period) + rng.uniform(0, period)))
        kept = kept[kept < len(stamps)]
        if len(kept) > 1:
            stamps, joints = stamps[kept], joints[kept]
    if v.mirror and rng.random() < v.mirror:
        joints = joints[:, _MIRRORED] * np.array([-1.0, 1.0, 1.0])
    if v.poorer and rng.random() < v.poorer:
        joints = as_from_coco(joints)
    transform = np.eye(3) + rng.uniform(-v.shear, v.shear, (3, 3)) * (1 - np.eye(3))
    transform *= 1.0 + rng.uniform(-v.size, v.size)
    joints = joints @ (transform @ _tilt(rng, v.tilt_rad)).T
    if v.noise_m:
        joints = joints + rng.normal(0.0, v.noise_m * rng.random() ** 2, joints.shape)
    if v.unseen and rng.random() < v.unseen:
        joints[_unseen(len(joints), rng)] = np.nan
    return stamps, joints


def as_from_coco(joints: np.ndarray) -> np.ndarray:
    """NTU-25 joints (n, 25, 3) as if derived from COCO-17's: what COCO lacks is estimated from what it has."""
    coco = np.zeros((*joints.shape[:-2], len(_COCO.joint_names), 3), joints.dtype)
    for source, target in _COCO_FROM_NTU:
        coco[..., source, :] = joints[..., target, :]
    return _COCO.to_ntu25(coco)[0]


def _tilt(rng: np.random.Generator, largest: float) -> np.ndarray:
    axis = rng.normal(size=3)
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(0.0, largest)).as_matrix()


_LIMBS = (
    (5, 6, 7, 21, 22),
    (9, 10, 11, 23, 24),
    (13, 14, 15),
    (17, 18, 19),
    (13, 14, 15, 17, 18, 19),
)


def _unseen(count: int, rng: np.random.Generator) -> np.ndarray:
    """A mask (count, 25) of what is unseen: a limb or five joints, all the time or for a part of it."""
    joints = _LIMBS[rng.integers(len(_LIMBS))] if rng.random() < 0.6 else rng.choice(25, 5, replace=False)
    mask = np.zeros((count, 25), bool)
    begin, end = (0, count) if rng.random() < 0.5 else sorted(rng.integers(0, count + 1, 2))
    mask[begin:end, list(joints)] = True
    return mask


def split_people(recordings: Sequence[Recording], held_out: Sequence[str]) -> tuple[list[Recording], list[Recording]]:
    """Recordings of other people, and of the people held out.

    Raises:
        ValueError: One of the people is in no recording.
    """
    people = {recording.person for recording in recordings}
    if missing := set(held_out) - people:
        raise ValueError(f"no recording of {', '.join(sorted(missing))}; there are {', '.join(sorted(people))}")
    return (
        [r for r in recordings if r.person not in held_out],
        [r for r in recordings if r.person in held_out],
    )
