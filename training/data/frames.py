"""Windows of whole recordings with a label a frame, for detection and segmentation.

A window is measured on a recording's clock: seconds by the stamps, which may be irregular, or recorded frames, as
published. Its 64 frames are evenly spaced on that clock, the last at its end; where the recording had not begun, its
first frame is held, as on the robot. Background is class 0, action i class i + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.data.archive import Archive
from training.data.clips import ClipBatch, hold_joints
from usdrl_ros.recording import Segment
from usdrl_ros.skeleton.normalize import normalize
from usdrl_ros.skeleton.window import frame_times

FRAMES = 64
IGNORE = -100
"""Label of what is left out of a loss, as in torch's cross-entropy."""


@dataclass(frozen=True)
class WindowLength:
    """How long a window is.

    Args:
        span: Seconds, or recorded frames.
        by_frames: Which of the two.

    Raises:
        ValueError: The span is not positive.
    """

    span: float
    by_frames: bool = False

    def __post_init__(self) -> None:
        if not self.span > 0.0:
            unit = "frames" if self.by_frames else "s"
            raise ValueError(f"a window is {self.span} {unit} long, expected more than 0")

    def clock(self, stamps: np.ndarray) -> np.ndarray:
        """Where frames with stamps (T,) lie on the clock by which windows are measured: (T,), increasing."""
        return np.arange(len(stamps), dtype=float) if self.by_frames else np.asarray(stamps)


@dataclass(frozen=True)
class Window:
    """Where a window's frames lie in its recording.

    Args:
        recording: Index in the archive.
        positions: (64,) frames of the recording, fractional.
        shown: (64,) false before the recording began.
    """

    recording: int
    positions: np.ndarray
    shown: np.ndarray


@dataclass(frozen=True)
class WindowBatch:
    """N windows.

    Args:
        clips: The recorded frames that each window needs.
        positions: (N, 64) frames after the first one of each clip, fractional.
        labels: (N, 64) classes, IGNORE before the recording began.
        recording: (N,) index in the archive.
    """

    clips: ClipBatch
    positions: Tensor
    labels: Tensor
    recording: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> WindowBatch:
        """The same on another device."""
        return WindowBatch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def held(self, joints: Tensor) -> WindowBatch:
        """The same, with all joints (F, M, V, 3) that the clips' `first` counts from."""
        return replace(self, clips=self.clips.held(joints))

    def pin_memory(self) -> WindowBatch:
        """The same in pinned memory (the data loader calls this before a copy to a GPU)."""
        return WindowBatch(*(getattr(self, field.name).pin_memory() for field in fields(self)))


class FrameSource:
    """Some recordings of an archive, on the clock of windows of one length."""

    def __init__(
        self,
        archive: Archive,
        recordings: Sequence[int] | np.ndarray,
        length: WindowLength,
        people: int = 1,
        *,
        rest_s: float = 0.0,
    ):
        """Take recordings by index.

        Args:
            archive, recordings, length, people: What windows are taken from, and how.
            rest_s: Where an action is repeated without a pause, so many seconds around where one ends and the next
                begins are labelled as background: a model that learns this separates repeats.

        Raises:
            ValueError: There is none.
        """
        if not len(recordings):
            raise ValueError(f"no recording of {archive.name} ({archive.directory}) is left to take windows from")
        self.archive, self.length, self._people, self._rest_s = archive, length, people, rest_s
        self.recordings = [int(recording) for recording in recordings]
        self.stamps: dict[int, np.ndarray] = {}
        self.labels: dict[int, np.ndarray] = {}
        """(T,) class of each recorded frame."""
        self._rotation: dict[int, np.ndarray] = {}
        self._segments: dict[int, np.ndarray] = {}
        self._is_held = False
        for recording in self.recordings:
            stamps, joints, segments = archive.recording_of(recording)
            self.stamps[recording], self._segments[recording] = np.asarray(stamps), segments
            self.labels[recording] = self.label_at(recording, self.stamps[recording])
            flat = archive.dimensions == 2
            self._rotation[recording] = np.eye(3) if flat else normalize.rotation(joints[:, 0])

    @property
    def window_s(self) -> float:
        """Seconds of a window; where it is measured in frames, of one at the median rate of all recordings."""
        if not self.length.by_frames:
            return self.length.span
        return self.length.span * float(np.median(np.concatenate([np.diff(s) for s in self.stamps.values()])))

    def clock(self, recording: int) -> np.ndarray:
        """(T,) where a recording's frames lie on the clock by which windows are measured."""
        return self.length.clock(self.stamps[recording])

    def label_at(self, recording: int, times: np.ndarray) -> np.ndarray:
        """Classes (n,) at times (n,), seconds by the stamps; of segments that overlap, the one that began last."""
        labels = np.zeros(len(times), np.int64)
        segments = np.sort(self._segments[recording], order="start")
        for segment in segments:
            labels[(segment["start"] <= times) & (times < segment["end"])] = segment["action"] + 1
        if self._rest_s:
            for one, other in pairwise(segments):
                if one["action"] == other["action"] and abs(other["start"] - one["end"]) < self._rest_s:
                    labels[np.abs(times - 0.5 * (one["end"] + other["start"])) < 0.5 * self._rest_s] = 0
        return labels

    def name_of(self, recording: int) -> str:
        """Name of a recording."""
        return str(self.archive.names[recording])

    def segments_of(self, recording: int) -> list[Segment]:
        """The true actions of a recording, seconds by the stamps."""
        return [
            Segment(float(segment["start"]), float(segment["end"]), self.archive.actions[segment["action"]])
            for segment in self._segments[recording]
        ]

    def window(self, recording: int, end: float, span: float) -> Window:
        """The window of a recording that ends at `end` and is `span` long, both on the clock."""
        clock = self.clock(recording)
        times = frame_times(end, span, FRAMES)
        positions = np.interp(times, clock, np.arange(len(clock)))
        # A hair's breadth covers rounding where a window begins with the recording.
        return Window(recording, positions, times >= clock[0] - 1e-6 * span)

    @property
    def bytes(self) -> int:
        """What all joints of the archive take, held on a device."""
        return len(self.archive.joints) * self._people * self.archive.joints.shape[2] * 3 * 4

    def hold(self, device: torch.device | str) -> Tensor:
        """All joints of the archive, (F, M, V, 3) on a device; from now on batches have none of their own."""
        self._is_held = True
        return hold_joints([self.archive.joints], self._people, device)[0]

    def batch(self, windows: Sequence[Window], index: Sequence[int] | None = None) -> WindowBatch:
        """Windows with their joints and labels; `index` numbers them in their data set."""
        people, vertices = self._people, self.archive.joints.shape[2]
        first = np.array([int(window.positions[0]) for window in windows])
        length = np.array([int(np.ceil(window.positions[-1])) + 1 for window in windows]) - first
        begin = np.concatenate([[0], np.cumsum(length)[:-1]])
        frames_needed = 0 if self._is_held else int(length.sum())
        joints = np.full((frames_needed, people, vertices, 3), np.nan, np.float32)
        labels = np.empty((len(windows), FRAMES), np.int64)
        for row, window in enumerate(windows):
            start = int(self.archive.first[window.recording]) + first[row]
            if self._is_held:
                begin[row] = start
            else:
                frames = self.archive.joints[start : start + length[row], :people]
                joints[begin[row] : begin[row] + length[row], : frames.shape[1]] = frames
            stamps = self.stamps[window.recording]
            seconds = np.interp(window.positions, np.arange(len(stamps)), stamps)
            labels[row] = np.where(window.shown, self.label_at(window.recording, seconds), IGNORE)
        rotation = np.stack([self._rotation[window.recording] for window in windows])
        clips = ClipBatch(
            joints=torch.from_numpy(joints),
            first=torch.from_numpy(begin),
            length=torch.from_numpy(length),
            rotation=torch.from_numpy(rotation.astype(np.float32)),
            label=torch.full((len(windows),), -1),
            index=torch.as_tensor(range(len(windows)) if index is None else list(index)),
        )
        positions = np.stack([window.positions for window in windows]) - first[:, None]
        recordings = torch.tensor([window.recording for window in windows])
        return WindowBatch(clips, torch.from_numpy(positions.astype(np.float32)), torch.from_numpy(labels), recordings)


class RandomWindows(Dataset[WindowBatch]):
    """Windows that end anywhere. Item i of an epoch is the same in every run with the same seed.

    Recordings are drawn in proportion to their duration. Where an action is to look `faster` than recorded, a window
    spans more of the recording, and less where it is to look `slower`: evenly on a logarithmic scale.
    """

    def __init__(
        self,
        source: FrameSource,
        count: int,
        *,
        slower: float = 1.0,
        faster: float = 1.0,
        seed: int = 0,
        share: Sequence[float] = (),
    ) -> None:
        """Take a source, how many windows make an epoch, and factors (R,) on the chances of its recordings.

        Raises:
            ValueError: A factor is below 1, or there is no window.
        """
        if count < 1 or slower < 1.0 or faster < 1.0:
            raise ValueError(f"{count} windows, up to {slower} times slower and {faster} times faster: 1 is the least")
        self._source, self._count, self._seed = source, count, seed
        self._slowest, self._fastest = -np.log(slower), np.log(faster)
        clocks = [source.clock(recording) for recording in source.recordings]
        chance = np.array([clock[-1] - clock[0] for clock in clocks]) * (np.array(share) if len(share) else 1.0)
        self._share = chance / chance.sum()
        self.epoch = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> WindowBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> WindowBatch:
        return self._source.batch([self._draw(index) for index in indices], indices)

    def _draw(self, index: int) -> Window:
        rng = np.random.default_rng((self._seed, self.epoch, index))
        recording = self._source.recordings[rng.choice(len(self._share), p=self._share)]
        clock, length = self._source.clock(recording), self._source.length
        end = rng.uniform(clock[0], clock[-1])
        end = np.round(end) if length.by_frames else end
        return self._source.window(recording, end, length.span * np.exp(rng.uniform(self._slowest, self._fastest)))


class SlidingWindows(Dataset[WindowBatch]):
    """Windows of recordings, `hop` apart on the clock: the first begins and the last ends with its recording."""

    def __init__(self, source: FrameSource, hop: float) -> None:
        """Take a source and the hop.

        Raises:
            ValueError: The hop is not positive, or leaves recorded frames between two windows.
        """
        span = source.length.span
        inside = span * (FRAMES - 1) / FRAMES
        if not 0.0 < hop <= inside:
            raise ValueError(f"windows of {span:g} are {hop:g} apart, expected more than 0 and at most {inside:g}")
        self.windows: list[Window] = []
        for recording in source.recordings:
            clock = source.clock(recording)
            ends = np.append(np.arange(clock[0] + inside, clock[-1] - 1e-6 * hop, hop), clock[-1])
            self.windows += [source.window(recording, end, span) for end in ends]
        self.source = source

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> WindowBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> WindowBatch:
        return self.source.batch([self.windows[index] for index in indices], indices)


def merge(windows: Sequence[Window], scores: np.ndarray, frames: int) -> np.ndarray:
    """One posterior of a recording: the mean over the windows that show a recorded frame.

    Args:
        windows: W windows of one recording, which show all of its frames.
        scores: (W, 64, K+1) probabilities of their frames; those of recorded frames are interpolated linearly.
        frames: T of the recording.

    Returns:
        (T, K+1).
    """
    total, count = np.zeros((frames, scores.shape[-1])), np.zeros(frames)
    for window, score in zip(windows, scores, strict=True):
        begin = max(int(window.shown.argmax()) - 1, 0)  # the first frame, if held, is at position 0
        positions, score = window.positions[begin:], score[begin:]
        # Positions are sums of floating point numbers: a recorded frame may lie a hair outside.
        recorded = np.arange(int(np.ceil(positions[0] - 1e-6)), int(np.floor(positions[-1] + 1e-6)) + 1)
        after = np.clip(np.searchsorted(positions, recorded), min(1, len(positions) - 1), len(positions) - 1)
        before = np.maximum(after - 1, 0)
        gap = positions[after] - positions[before]
        share = np.clip((recorded - positions[before]) / np.where(gap > 0.0, gap, 1.0), 0.0, 1.0)[:, None]
        total[recorded] += (1.0 - share) * score[before] + share * score[after]
        count[recorded] += 1.0
    return total / np.maximum(count, 1.0)[:, None]
