"""What a report is about, and its plots: each is drawn once, for the page (SVG) and for a file beside it (PNG)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usdrl_ros.evaluation.bag_run import BagRun
from usdrl_ros.evaluation.metrics.assessment import Assessment
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.report.canvas import UNKNOWN, colours_of, save_png, svg
from usdrl_ros.evaluation.strips import Strip
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLOTS = 8


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Args:
        model: The model.
        settings: Of recognition.
        runs: All bags that could be run.
        assessment: Of those with truth; None where there is none.
        failed: Why a bag could not be run, by its path.
        wall_s: Seconds that it all took.
        jobs: Bags at a time.
    """

    model: ModelInfo
    settings: Settings
    runs: Sequence[BagRun]
    assessment: Assessment | None
    failed: Mapping[str, str]
    wall_s: float
    jobs: int


class Gallery:
    """Draws the plots of a report.

    Args:
        directory: Where the PNGs go.
        subject: What the report is about.
        limit: Misses and false events at most.
        progress: Called with the plots that are drawn, and those that there will be.

    Attributes:
        known: The actions that occur and that the model knows.
        colours: Of each action; grey where the model does not know it.
        strips: The misses and false events that are shown, each with its recording.
    """

    def __init__(self, directory: Path, subject: Subject, limit: int, progress: Callable[[int, int], None]) -> None:
        self.subject = subject
        self._directory, self._progress = directory, progress
        self.strips = _chosen(subject.runs, limit)
        intervals = [i for run in subject.runs for i in (*run.event_intervals, *(run.truth_intervals or ()))]
        actions = {interval.action for interval in intervals}
        self.known = tuple(sorted(actions & set(subject.model.actions)))
        self.colours = dict.fromkeys(actions, UNKNOWN) | colours_of(subject.model.actions)
        self._drawn = 0
        self._expected = len(self.strips) + len(subject.runs) + _PLOTS

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """The recordings with truth."""
        return self.subject.assessment.outcomes if self.subject.assessment else ()

    def plot(self, name: str, drawn: Figure, label: str, titles: Mapping[str, str] | None = None) -> str:
        """Write a plot as NAME.png; gives it as SVG.

        Args:
            name: Of the file, below the report's directory.
            drawn: The plot.
            label, titles: As for `canvas.svg`.

        Raises:
            OSError: The file cannot be written.
        """
        path = self._directory / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        save_png(drawn, path)
        drawn.set_layout_engine("none")  # it has been laid out, and that takes long
        self._drawn += 1
        self._progress(min(self._drawn, self._expected), self._expected)
        return svg(drawn, label, titles=titles)


def _chosen(runs: Sequence[BagRun], limit: int) -> list[tuple[str, Strip]]:
    """At most so many strips, evenly over all recordings."""
    strips = [(run.name, strip) for run in runs for strip in run.strips]
    if len(strips) <= limit:
        return strips
    return [strips[index] for index in np.linspace(0, len(strips) - 1, limit).round().astype(int)] if limit else []
