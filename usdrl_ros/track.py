"""One subject while it is followed: its window of time, its timeline of probabilities, and the actions that run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from usdrl_ros.actions.events import DecoderSettings, EventDecoder
from usdrl_ros.actions.timeline import Timeline
from usdrl_ros.problems import shown
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.layouts import NTU_25, SPINE_BASE
from usdrl_ros.skeleton.window import SkeletonWindow

MAX_PENDING_STEPS = 10
"""Steps that may wait for the worker; beyond, the oldest is left out: a second late at most at 10 Hz."""


class Track:
    """One subject while it is followed; `Recognizer` keeps its fields up to date."""

    def __init__(
        self,
        ids: tuple[str, ...],
        actions: Sequence[str],
        window_s: float,
        frames: int,
        settings: Settings,
        thresholds: Mapping[str, float],
    ) -> None:
        self.ids = ids
        self.actions = tuple(actions)
        self.frame_id = ""
        self.excluded: frozenset[str] = frozenset()
        self.position: tuple[float, ...] = (float("nan"),) * 3
        self.camera: np.ndarray = np.zeros(3, np.float32)
        # The worker may be behind the newest sample by as many steps as may wait.
        self.window = SkeletonWindow(window_s + 1.0 + MAX_PENDING_STEPS / settings.rate, len(ids) * len(NTU_25))
        self.since_ns = 0
        self.watched = False  # whether it has been chosen for a step: only then anything can run
        self._timeline: Timeline | None = None
        self._cell_ns, self._frames = round(window_s * 1e9 / frames), frames
        self.decoder = EventDecoder(actions, DecoderSettings.of(settings, thresholds))
        self.event_ids: dict[int, str] = {}

    @property
    def timeline(self) -> Timeline:
        """Made once it is asked for: people who pass by do not need one."""
        if self._timeline is None:
            self._timeline = Timeline(self._cell_ns, self._frames, len(self.actions) + 1)
        return self._timeline

    @property
    def name(self) -> str:
        """For messages to the user."""
        return ("person " if len(self.ids) == 1 else "people ") + " and ".join(f"'{shown(name)}'" for name in self.ids)

    def distance(self, stamp_ns: int) -> float:
        """How far away who acts is at a stamp, metres from the camera that saw them last."""
        joints = self.window.newest(stamp_ns)[: len(NTU_25)] - self.camera
        distance = math.hypot(*joints[SPINE_BASE].tolist())
        return distance if math.isfinite(distance) else math.hypot(*np.nanmean(joints, 0).tolist())
