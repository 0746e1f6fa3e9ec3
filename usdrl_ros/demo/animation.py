"""People, skeletons and events as a moving picture (GIF): the one in the README.

    python -m usdrl_ros.demo.animation docs/scene.gif                        the acted scene of `make demo`
    python -m usdrl_ros.demo.animation out.gif --bag recording --start 12    twelve seconds of a recording

The model is run over the skeletons as the live node runs it; what is drawn above a person is what
the node would publish.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import SKELETONS, BagError, read_messages
from usdrl_ros.demo.actor import ACTIONS, DEMO_SEED, View, play, random_script
from usdrl_ros.evaluation.report.canvas import colours_of
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.reader import read_skeleton_array

WIDTH, HEIGHT, STRIP = 720, 420, 64
_FINER = 2
"""Drawn this many times larger and made smaller, which smooths the lines."""
_PAPER, _FLOOR, _INK, _FAINT = "#fbfbfa", "#e4e7ea", "#20262d", "#9aa4ae"
_PEOPLE = ("#2f6db5", "#c2571a", "#2a8c5c", "#8c4fa3")
_LIMB_M = 0.045
"""Half the width of a limb, metres."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera before whose picture the skeletons are drawn; their frame: x to its left, y up, z out of it."""

    focal: float
    centre: tuple[float, float]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) metres."""
        depth = np.maximum(points[..., 2:], 0.2)
        return np.array(self.centre) - points[..., :2] / depth * self.focal

    def size(self, metres: float, depth: float) -> float:
        """Pixels of a length at a depth, metres."""
        return metres * self.focal / max(depth, 0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m usdrl_ros.demo.animation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, help="the .gif file to write")
    parser.add_argument("--bag", type=Path, help=f"a bag with skeletons on {SKELETONS}; default: an acted scene")
    parser.add_argument("--start", type=float, default=0.0, help="first second shown; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=12.0, help="seconds shown; default: %(default)s")
    parser.add_argument("--rate", type=float, default=12.0, help="pictures a second; default: %(default)s")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    options = parser.parse_args(arguments)
    try:
        frames = list(_bag_frames(options.bag) if options.bag else _acted_frames())
        with load_engine(options.model) as engine:
            events = recognize(engine, frames)
        save(options.output, frames, events, options.start, options.seconds, options.rate)
    except (BagError, ModelError, ValueError) as error:
        print(f"animation: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"animation: {options.output} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _acted_frames() -> Iterator[Frame]:
    scripts = {f"person_{i + 1}": random_script(DEMO_SEED + i, 7, ACTIONS) for i in range(2)}
    recording = play(scripts, seed=DEMO_SEED, view=View(azimuth_deg=-12.0, height_m=1.4, tilt_deg=7.0, distance_m=3.6))
    for index, seconds in enumerate(recording.stamps):
        people = [Person(who, recording.layout, joints[index]) for who, joints in recording.joints.items()]
        yield Frame(10**9 + round(float(seconds) * 1e9), "camera", people)


def _bag_frames(bag: Path) -> Iterator[Frame]:
    for _, _, message in read_messages(bag, [SKELETONS]):
        yield read_skeleton_array(message)


def recognize(engine: Engine, frames: Sequence[Frame]) -> list[Event]:
    """All events of a recording."""
    recognizer = Recognizer(engine)
    events: list[Event] = []
    for frame in frames:
        recognizer.observe(frame)
        while step := recognizer.step():
            events += step.events
    return events + recognizer.finish()


def save(
    path: Path, frames: Sequence[Frame], events: Sequence[Event], start: float, seconds: float, rate: float
) -> None:
    """Draw some seconds of a recording into a GIF.

    Raises:
        ValueError: No frame lies in these seconds.
    """
    if not frames:
        raise ValueError("there is no skeleton to draw")
    origin_ns = frames[0].stamp_ns
    stamps_s = np.array([(frame.stamp_ns - origin_ns) / 1e9 for frame in frames])
    times = np.arange(start, min(start + seconds, stamps_s[-1]), 1.0 / rate)
    if not len(times):
        raise ValueError(f"the recording is {stamps_s[-1]:.1f} s long: nothing lies after {start:g} s")
    shown = [frames[min(int(np.searchsorted(stamps_s, time)), len(frames) - 1)] for time in times]
    camera, floor = _camera_for(shown)
    scene = Scene(camera, floor, colours_of({event.action for event in events}), start, times[-1])
    spans = _spans(events, origin_ns)
    pictures = [scene.draw(frame, float(time), spans) for frame, time in zip(shown, times, strict=True)]
    palette = pictures[len(pictures) // 2].quantize(64, method=Image.Quantize.MEDIANCUT)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    part = path.with_name(f".{path.name}.part")
    indexed[0].save(
        part, "GIF", save_all=True, append_images=indexed[1:], duration=round(1000 / rate), loop=0, optimize=True
    )
    part.replace(path)


@dataclass(frozen=True)
class Span:
    """One event as it is drawn: seconds from the first frame; `announced` is when STARTED was published."""

    person_id: str
    action: str
    start: float
    end: float
    announced: float
    confidence: float


def _spans(events: Sequence[Event], origin_ns: int) -> list[Span]:
    started = {event.event_id: event.stamp_ns for event in events if event.phase == Phase.STARTED}
    return [
        Span(
            event.person_id,
            event.action,
            (event.start_ns - origin_ns) / 1e9,
            (event.end_ns - origin_ns) / 1e9,
            (started.get(event.event_id, event.stamp_ns) - origin_ns) / 1e9,
            event.confidence,
        )
        for event in events
        if event.phase == Phase.ENDED
    ]


def _camera_for(frames: Sequence[Frame]) -> tuple[Camera, float]:
    """A camera that shows everybody all the time, and the height of the floor, metres."""
    joints = np.concatenate([person.joints for frame in frames for person in frame.people])
    joints = joints[np.isfinite(joints).all(-1) & (joints[:, 2] > 0.2)]
    if not len(joints):
        raise ValueError("no joint is seen in these seconds")
    slope = joints[:, :2] / joints[:, 2:]
    (left, low), (right, high) = np.percentile(slope, 0.2, axis=0), np.percentile(slope, 99.8, axis=0)
    wide, tall = WIDTH * _FINER, (HEIGHT - STRIP) * _FINER
    focal = min(0.84 * wide / max(right - left, 0.1), 0.78 * tall / max(high - low, 0.1))
    centre = (wide / 2 + focal * (left + right) / 2, tall * 0.53 + focal * (low + high) / 2)
    return Camera(focal, centre), float(np.percentile(joints[:, 1], 0.5)) - 0.03


class Scene:
    """Draws single pictures.

    Args:
        camera: Sees the people.
        floor: Its height in the skeletons' frame, metres.
        colours: Of the actions.
        start, stop: The seconds that the strip below shows.
    """

    def __init__(self, camera: Camera, floor: float, colours: dict[str, str], start: float, stop: float) -> None:
        self._camera, self._floor, self._colours = camera, floor, colours
        self._start, self._stop = start, stop
        self._fonts = {size: _font(size * _FINER) for size in (13, 16)}

    def draw(self, frame: Frame, time: float, spans: Sequence[Span]) -> Image.Image:
        """The picture of a moment."""
        picture = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), _PAPER)
        pen = ImageDraw.Draw(picture)
        self._draw_floor(pen)
        people = sorted(frame.people, key=lambda person: -float(np.nanmean(person.joints[:, 2])))
        order = sorted({person.person_id for person in frame.people} | {span.person_id for span in spans})
        for person in people:
            self._draw_person(pen, person, _PEOPLE[order.index(person.person_id) % len(_PEOPLE)])
        for person in people:
            running = [s for s in spans if s.person_id == person.person_id and s.announced <= time <= s.end]
            self._draw_label(pen, person, running)
        self._draw_strip(pen, order, time, spans)
        return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)

    def _draw_floor(self, pen: ImageDraw.ImageDraw) -> None:
        for x in np.arange(-6.0, 6.1, 1.0):
            self._draw_line(pen, np.array([[x, self._floor, 1.0], [x, self._floor, 9.0]]), _FLOOR)
        for z in np.arange(1.0, 9.1, 1.0):
            self._draw_line(pen, np.array([[-6.0, self._floor, z], [6.0, self._floor, z]]), _FLOOR)

    def _draw_line(self, pen: ImageDraw.ImageDraw, ends: np.ndarray, colour: str) -> None:
        pen.line([tuple(point) for point in self._camera.project(ends).tolist()], fill=colour, width=_FINER)

    def _draw_person(self, pen: ImageDraw.ImageDraw, person: Person, colour: str) -> None:
        layout = load_layout(person.layout)
        pixels = self._camera.project(person.joints)
        seen = np.isfinite(person.joints).all(-1)
        feet = person.joints[seen]
        if not len(feet):
            return
        shadow = feet.mean(0) * [1, 0, 1] + [0, self._floor, 0]
        x, y = self._camera.project(shadow).tolist()
        wide = self._camera.size(0.32, float(shadow[2]))
        pen.ellipse((x - wide, y - wide / 5, x + wide, y + wide / 5), fill=_FLOOR)
        for a, b in sorted(layout.bones, key=lambda bone: -float(person.joints[list(bone), 2].mean())):
            if seen[a] and seen[b]:
                radius = self._camera.size(_LIMB_M, float(person.joints[[a, b], 2].mean()))
                ends = [tuple(pixels[i].tolist()) for i in (a, b)]
                pen.line(ends, fill=colour, width=max(round(radius), 2))
                for px, py in ends:
                    pen.ellipse((px - radius / 2, py - radius / 2, px + radius / 2, py + radius / 2), fill=colour)
        for name in ("Head", "HEAD", "nose"):
            if name in layout.index and seen[layout.index[name]]:
                number = layout.index[name]
                radius = self._camera.size(0.1, float(person.joints[number, 2]))
                px, py = pixels[number].tolist()
                pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=colour)
                break

    def _draw_label(self, pen: ImageDraw.ImageDraw, person: Person, running: Sequence[Span]) -> None:
        seen = np.isfinite(person.joints).all(-1)
        if not seen.any() or not running:
            return
        pixels = self._camera.project(person.joints[seen])
        x, y = float(pixels[:, 0].mean()), float(pixels[:, 1].min()) - 30 * _FINER
        for span in running:
            text = f"{span.action}  {span.confidence:.2f}"
            wide = pen.textlength(text, self._fonts[16])
            left = min(max(x - wide / 2, 10.0 * _FINER), WIDTH * _FINER - wide - 10.0 * _FINER)
            box = (left - 8 * _FINER, y - 13 * _FINER, left + wide + 8 * _FINER, y + 11 * _FINER)
            pen.rounded_rectangle(box, 6 * _FINER, fill=self._colours[span.action])
            pen.text(
                (left, y - 1 * _FINER),
                text,
                fill=_ink_on(self._colours[span.action]),
                font=self._fonts[16],
                anchor="lm",
            )
            y -= 28 * _FINER

    def _draw_strip(self, pen: ImageDraw.ImageDraw, order: Sequence[str], time: float, spans: Sequence[Span]) -> None:
        """The events so far as bars on a clock, a row a person."""
        top, left, right = (HEIGHT - STRIP) * _FINER, 92 * _FINER, (WIDTH - 14) * _FINER
        row = (STRIP - 12) * _FINER / max(len(order), 1)

        def at(seconds: float) -> float:
            share = (seconds - self._start) / max(self._stop - self._start, 1e-9)
            return left + (right - left) * min(max(share, 0.0), 1.0)

        for number, person_id in enumerate(order):
            y = top + row * number
            pen.text((12 * _FINER, y + row / 2), person_id, fill=_PEOPLE[number % len(_PEOPLE)],
                     font=self._fonts[13], anchor="lm")  # fmt: skip
            pen.line((left, y + row / 2, right, y + row / 2), fill=_FLOOR, width=_FINER)
            for span in spans:
                stop = min(span.end, time)
                if span.person_id != person_id or span.announced > time or stop <= self._start:
                    continue
                box = (at(span.start), y + 0.12 * row, max(at(stop), at(span.start) + 3 * _FINER), y + 0.88 * row)
                pen.rounded_rectangle(box, 4 * _FINER, fill=self._colours[span.action])
                if pen.textlength(span.action, self._fonts[13]) < box[2] - box[0] - 8 * _FINER:
                    place = (box[0] + 5 * _FINER, y + row / 2)
                    pen.text(
                        place, span.action, fill=_ink_on(self._colours[span.action]), font=self._fonts[13], anchor="lm"
                    )
        pen.line((at(time), top - 2 * _FINER, at(time), top + row * len(order)), fill=_INK, width=_FINER)


def _ink_on(colour: str) -> str:
    """White or dark text, whichever is easier to read on a colour (its relative luminance, ITU-R BT.709)."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.6 else _INK


def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own sans serif, which is there wherever the package is."""
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans:bold"), size)


if __name__ == "__main__":
    sys.exit(main())
