"""See yourself recognised: a webcam or a video through MediaPipe's pose and the model, without ROS.

    python -m usdrl_ros.demo.webcam                                  the first camera, a window and the terminal
    python -m usdrl_ros.demo.webcam --video clip.mp4 --output out.mp4   a file; writes it annotated

`make webcam` installs what this needs and starts it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.camera.monocular import PoseError, PoseEstimator, Skeletons, focal_length
from usdrl_ros.camera.video import Video, VideoError
from usdrl_ros.demo.drawing import draw
from usdrl_ros.demo.screen import live_screen
from usdrl_ros.evaluation.report.canvas import colours_of
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.recognizer import Recognizer

RECENT = 12
"""Events that the terminal shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        _run(options, console)
    except (VideoError, PoseError, ModelError) as error:
        print(f"webcam: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m usdrl_ros.demo.webcam",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--camera", type=int, default=0, help="number of the camera; default: %(default)s")
    parser.add_argument("--video", type=Path, help="a video file instead of a camera")
    parser.add_argument("--output", type=Path, help="write the annotated video to this .mp4 file")
    parser.add_argument("--no-window", action="store_true", help="show nothing but the terminal")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--pose-model", type=Path, help="MediaPipe's pose_landmarker_*.task: finds several people")
    parser.add_argument("--people", type=int, default=1, help="most people to find; default: %(default)s")
    parser.add_argument(
        "--field-of-view", type=float, default=65.0, help="the camera's horizontal angle, degrees; default: %(default)s"
    )
    return parser


def _run(options: argparse.Namespace, console: Console) -> None:
    with (
        Video(options.camera if options.video is None else options.video) as video,
        PoseEstimator(options.pose_model, options.people) as estimator,
        load_engine(options.model) as engine,
        Annotated(options.output, video) as annotated,
    ):
        focal = focal_length(video.width, options.field_of_view)
        skeletons = Skeletons(focal, video.width, video.height)
        state = State(Recognizer(engine))
        colours = colours_of(engine.info.actions)
        window = not options.no_window and _has_display()
        console.print(f"model [bold]{engine.info.name}[/bold], {len(engine.info.actions)} actions; Ctrl-C ends")
        with Live(console=console, refresh_per_second=8) as live:
            for stamp_ns, picture in video.pictures():
                frame = skeletons.frame(stamp_ns, estimator.find(video.to_rgb(picture), stamp_ns))
                state.take(frame)
                live.update(state.screen(video.duration_s))
                if annotated.wanted or window:
                    draw(picture, frame, focal, state.running.values(), state.recent, colours)
                annotated.write(picture)
                if window and video.show(picture):
                    break
            state.finish()
            live.update(state.screen(video.duration_s))
    if options.output is not None:
        console.print(f"\nannotated video: {options.output}")


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class State:
    """What has been recognised so far."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        self._people: tuple[str, ...] = ()
        self._first_ns = self._newest_ns = 0
        self.running: dict[str, Event] = {}
        self.recent: deque[Event] = deque(maxlen=RECENT)

    def take(self, frame: Any) -> None:
        """Recognise what a frame adds."""
        self._first_ns = self._first_ns or frame.stamp_ns
        self._newest_ns = frame.stamp_ns
        self._people = tuple(person.person_id for person in frame.people)
        self._recognizer.observe(frame)
        while step := self._recognizer.step():
            self._add(step.events)

    def finish(self) -> None:
        """End the actions that are running: the video is over."""
        self._add(self._recognizer.finish())

    def _add(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.phase == Phase.ENDED:
                self.running.pop(event.event_id, None)
            else:
                self.running[event.event_id] = event
            if event.phase != Phase.ONGOING:
                self.recent.append(event)

    def screen(self, duration_s: float) -> Any:
        """What the terminal shows."""
        now_s = (self._newest_ns - self._first_ns) / 1e9
        return live_screen(
            self._people,
            self.running.values(),
            self.recent,
            origin_ns=self._first_ns,
            now_s=now_s,
            duration_s=duration_s or now_s,
        )


@dataclass
class Annotated:
    """The annotated video; a context manager. Written beside its place and moved there when whole."""

    path: Path | None
    video: Video

    def __enter__(self) -> Annotated:
        self._writer: Any = None
        if self.path is not None:
            if self.path.suffix.lower() != ".mp4" or not self.path.parent.is_dir():
                raise VideoError(f"--output {self.path}: expected a .mp4 file in a directory that exists")
            self._part = self.path.with_name(f".{self.path.stem}.part.mp4")
            self._writer = self.video.writer(self._part)
        return self

    @property
    def wanted(self) -> bool:
        """Whether a video is written."""
        return self._writer is not None

    def write(self, picture: np.ndarray) -> None:
        """Add a picture."""
        if self._writer is not None:
            self._writer.write(picture)

    def __exit__(self, *_: object) -> None:
        if self._writer is not None and self.path is not None:
            self._writer.release()
            self._part.replace(self.path)


if __name__ == "__main__":
    sys.exit(main())
