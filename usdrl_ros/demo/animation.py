"""People, skeletons and events as a moving picture (GIF): the one in the README.

    python -m usdrl_ros.demo.animation docs/scene.gif                        the acted scene of `make demo`
    python -m usdrl_ros.demo.animation out.gif --bag recording --start 12    twelve seconds of a recording
    python -m usdrl_ros.demo.animation docs/recorded.gif --face --bag ui_prmd/s08/0_19 --start 2    as in the README

The model is run over the skeletons as the live node runs it; what is drawn above a person is what
the node would publish.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import SKELETONS, BagError, read_messages
from usdrl_ros.demo.actor import ACTIONS, DEMO_SEED, View, play, random_script
from usdrl_ros.demo.picture import FINER, HEIGHT, PAPER, PEOPLE, STRIP, WIDTH, Camera, Scene, Span
from usdrl_ros.evaluation.report.canvas import colours_of
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.reader import read_skeleton_array


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m usdrl_ros.demo.animation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, help="the .gif file to write")
    parser.add_argument("--bag", type=Path, help=f"a bag with skeletons on {SKELETONS}; default: an acted scene")
    parser.add_argument("--face", action="store_true", help="turn the scene so that people face the camera (NTU-25)")
    parser.add_argument("--start", type=float, default=0.0, help="first second shown; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=12.0, help="seconds shown; default: %(default)s")
    parser.add_argument("--rate", type=float, default=12.0, help="pictures a second; default: %(default)s")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    options = parser.parse_args(arguments)
    try:
        frames = list(_bag_frames(options.bag) if options.bag else _acted_frames())
        if options.face:
            frames = _faced(frames)
        with load_engine(options.model) as engine:
            events, colours = recognize(engine, frames), colours_of(engine.info.actions)
        save(options.output, frames, events, colours, options.start, options.seconds, options.rate)
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


def _faced(frames: list[Frame]) -> list[Frame]:
    """The scene before a camera 4 m away that people face on the whole, a little from the side."""
    sides, trunks = [], []
    for frame in frames:
        for person in frame.people:
            if person.layout != "ntu_25":
                raise ValueError(f"--face needs skeletons in ntu_25, these are in {person.layout}")
            index = load_layout(person.layout).index
            sides.append(person.joints[index["ShoulderLeft"]] - person.joints[index["ShoulderRight"]])
            trunks.append(person.joints[index["SpineBase"]])
    side, trunk = np.nanmean(sides, 0), np.nanmedian(trunks, 0)
    turn = np.arctan2(side[2], side[0]) - (
        np.pi - np.radians(25.0)
    )  # whoever faces a camera has their left at its right
    cos, sin = np.cos(turn), np.sin(turn)
    about_y = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])

    def moved(person: Person) -> Person:
        return replace(person, joints=(person.joints - trunk) @ about_y.T + [0.0, -0.3, 4.0])

    return [replace(frame, people=[moved(person) for person in frame.people]) for frame in frames]


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
    path: Path,
    frames: Sequence[Frame],
    events: Sequence[Event],
    colours: dict[str, str],
    start: float,
    seconds: float,
    rate: float,
) -> None:
    """Draw some seconds of a recording into a GIF; `colours` are those of all actions of the model.

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
    scene = Scene(camera, floor, colours, start, times[-1])
    spans = _spans(events, origin_ns)
    pictures = [scene.draw(frame, float(time), spans) for frame, time in zip(shown, times, strict=True)]
    shown_spans = [span for span in spans if span.announced <= times[-1] and span.end >= start]
    palette = _palette(pictures[:: max(len(pictures) // 6, 1)], {colours[span.action] for span in shown_spans})
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    part = path.with_name(f".{path.name}.part")
    indexed[0].save(
        part, "GIF", save_all=True, append_images=indexed[1:], duration=round(1000 / rate), loop=0, optimize=True
    )
    part.replace(path)


def _palette(pictures: Sequence[Image.Image], colours: Iterable[str]) -> Image.Image:
    """One palette of 64 colours for all pictures, in which each action has its own."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * (len(pictures) + 1)), PAPER)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (0, number * height))
    swatches = ImageDraw.Draw(sheet)
    for number, colour in enumerate(sorted({*colours, *PEOPLE})):
        swatches.rectangle((number * 24, len(pictures) * height, number * 24 + 23, sheet.height), fill=colour)
    return sheet.quantize(64, method=Image.Quantize.MEDIANCUT)


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
    wide, tall = WIDTH * FINER, (HEIGHT - STRIP) * FINER
    focal = min(0.84 * wide / max(right - left, 0.1), 0.78 * tall / max(high - low, 0.1))
    centre = (wide / 2 + focal * (left + right) / 2, tall * 0.53 + focal * (low + high) / 2)
    return Camera(focal, centre), float(np.percentile(joints[:, 1], 0.5)) - 0.03


if __name__ == "__main__":
    sys.exit(main())
