"""What a moving camera, and several cameras, do to recognition; and what several cameras cost.

    python -m bench.cameras moving BAG ...      events of a still camera, and of the same one moving
    python -m bench.cameras several             people acted before two cameras, with occlusion
    python -m bench.cameras cost                milliseconds a step for six people and two cameras

The camera of a bag is moved by what `MOTIONS` says: its skeletons are turned as it would have seen them, and its pose
is given at 50 Hz, 20 ms late.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import Bag
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.demo.actor import ACTIONS, View, play, random_script
from usdrl_ros.evaluation.metrics.detection import Interval, compare, intervals_of_events
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.recording import Recording
from usdrl_ros.scene.fusion import Fusion
from usdrl_ros.scene.placing import Placing, placed
from usdrl_ros.scene.transforms import TransformBuffer, matrix_of
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.reader import SourceReader

TF_PERIOD_S, TF_LATE_S = 0.02, 0.02
SAME_S = 0.2
"""How far apart the stamps of two events that are the same may be."""
Motion = Callable[[float], tuple[float, float, float]]
"""Yaw in radians, and x and y in metres, of a camera at a time in seconds."""

MOTIONS: dict[str, Motion] = {
    "turns at 30 deg/s": lambda t: (np.radians(30.0) * t, 0.0, 0.0),
    "turns at 60 deg/s": lambda t: (np.radians(60.0) * t, 0.0, 0.0),
    "pans 30 deg at 0.3 Hz (57 deg/s)": lambda t: (np.radians(30.0) * np.sin(2 * np.pi * 0.3 * t), 0.0, 0.0),
    "drives 0.6 m to and fro at up to 0.5 m/s": lambda t: (0.0, 0.6 * np.sin(0.83 * t), 0.0),
    "drives a curve at 0.4 m/s": lambda t: (0.4 * t, np.sin(0.4 * t), 1.0 - np.cos(0.4 * t)),
}
# The axes of a Kinect (left, up, forward) in those of a robot (forward, left, up), 1 m above the floor.
_MOUNTED = np.array([[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])


def pose_of(motion: Motion, seconds: float) -> np.ndarray:
    """(4, 4) of a camera in the map."""
    yaw, x, y = motion(seconds)
    return matrix_of(np.array([x, y, 0.0]), np.array([0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])) @ _MOUNTED


def frames_of(path: str) -> list[Frame]:
    """The skeletons of a bag."""
    with Bag(path) as bag:
        source, topic = find_skeletons(path, bag.topics)
        reader = SourceReader(source)
        return [reader.read(message, record_ns) for _, record_ns, message in bag.messages([topic])]


def thinned(frames: Sequence[Frame], rate_hz: float) -> list[Frame]:
    """The frames of a camera that gives at most so many a second; 0: all."""
    kept: list[Frame] = []
    for frame in frames:
        if not kept or not rate_hz or (frame.stamp_ns - kept[-1].stamp_ns) * rate_hz >= 0.99e9:
            kept.append(frame)
    return kept


def moved(frames: Sequence[Frame], motion: Motion) -> list[Frame]:
    """What the camera would have seen, had it moved so while people did the same."""
    first_ns, still = frames[0].stamp_ns, pose_of(lambda t: (0.0, 0.0, 0.0), 0.0)
    result = []
    for frame in frames:
        pose = np.linalg.inv(pose_of(motion, (frame.stamp_ns - first_ns) / 1e9)) @ still
        people = [replace(each, joints=each.joints @ pose[:3, :3].T + pose[:3, 3]) for each in frame.people]
        result.append(replace(frame, frame_id="camera", people=people))
    return result


def placed_by_tf(frames: Sequence[Frame], motion: Motion) -> Iterator[Frame]:
    """The frames in the map, by transforms that come as they would over tf."""
    buffer = TransformBuffer()
    placing = Placing("map", buffer, 0.2)
    first_ns, sent = frames[0].stamp_ns, 0

    def send(until_s: float) -> None:
        nonlocal sent
        while sent * TF_PERIOD_S + TF_LATE_S <= until_s:
            seconds = sent * TF_PERIOD_S
            yaw, x, y = motion(seconds)
            turn = (0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))
            buffer.add("map", "base", first_ns + round(seconds * 1e9), (x, y, 0.0), turn)
            sent += 1

    buffer.add("base", "camera", 0, (0.0, 0.0, 1.0), (0.5, 0.5, 0.5, 0.5), static=True)
    for frame in frames:
        seconds = (frame.stamp_ns - first_ns) / 1e9
        send(seconds)
        yield from placing.poll()
        yield from placing.push(frame)
    send(seconds + 1.0)
    yield from placing.flush()


def events_of(engine: Engine, frames: Iterable[Frame], rate_hz: float = 10.0) -> tuple[list[Event], dict[str, int]]:
    """What recognition makes of frames: ENDED events, and problems by cause."""
    recognizer, events = Recognizer(engine, Settings(rate=rate_hz)), []
    for frame in frames:
        recognizer.observe(frame)
        while (step := recognizer.step()) is not None:
            events += step.events
    events += recognizer.finish()
    causes = {cause: count for cause, count in recognizer.counters.items() if cause not in ("messages", "steps")}
    return [event for event in events if event.phase is Phase.ENDED], causes


def agreement(events: Sequence[Event], reference: Sequence[Event]) -> tuple[int, int, float]:
    """How many events are in both, how many in one alone, and the most that stamps of the same ones differ, s."""
    left, same, most = list(events), 0, 0.0
    for event in reference:
        apart = [
            max(abs(other.start_ns - event.start_ns), abs(other.end_ns - event.end_ns)) / 1e9
            if other.action == event.action
            else np.inf
            for other in left
        ]
        if apart and min(apart) <= SAME_S:
            most = max(most, min(apart))
            left.pop(int(np.argmin(apart)))
            same += 1
    return same, len(left) + len(reference) - same, most


def moving(options: argparse.Namespace) -> dict[str, Any]:
    """Events of a moving camera, with and without a fixed frame, beside those of the still one."""
    rows: dict[str, Any] = {name: {"fixed": [0, 0, 0.0], "camera": [0, 0, 0.0], "problems": {}} for name in MOTIONS}
    total = 0
    with load_engine(options.model) as engine:
        for path in options.bags:
            frames = thinned(frames_of(path), options.message_rate)
            reference, _ = events_of(engine, frames, options.rate)
            total += len(reference)
            for name, motion in MOTIONS.items():
                seen = moved(frames, motion)
                found, problems = events_of(engine, placed_by_tf(seen, motion), options.rate)
                for row, events in (("fixed", found), ("camera", events_of(engine, seen, options.rate)[0])):
                    same, other, most = agreement(events, reference)
                    kept = rows[name][row]
                    kept[0], kept[1], kept[2] = kept[0] + same, kept[1] + other, max(kept[2], most)
                for cause, count in problems.items():
                    rows[name]["problems"][cause] = rows[name]["problems"].get(cause, 0) + count
    table = Table(
        "the camera", "same events", "others", "stamps differ", "without fixed_frame: same", "others", "problems"
    )
    for name, row in rows.items():
        (same, other, most), (plain, plain_other, _) = row["fixed"], row["camera"]
        table.add_row(
            name,
            f"{same} of {total}",
            str(other),
            f"{most:.3f} s",
            f"{plain} of {total}",
            str(plain_other),
            str(row["problems"]),
        )
    Console(width=150).print(table)
    return {"events": total, "motions": rows}


VIEWS = (View(azimuth_deg=-40.0, height_m=1.4, distance_m=3.2), View(azimuth_deg=55.0, height_m=1.6, distance_m=3.0))


def acted(seed: int, people: int, actions: int, known: Sequence[str]) -> list[Recording]:
    """One performance, before each of `VIEWS`."""
    scripts = {f"person_{i + 1}": random_script(seed + i, actions, known) for i in range(people)}
    return [
        play(scripts, seed=seed, view=view, camera=number, occlusion=True, noise_m=0.015)
        for number, view in enumerate(VIEWS)
    ]


def seen_by(
    recordings: Sequence[Recording],
    cameras: Sequence[int],
    *,
    offsets_s: Sequence[float] = (0.0, 0.0),
    dies_s: float = 1e9,
) -> list[Frame]:
    """Frames of some cameras in the order in which they come, in the map; each numbers people in its own order.

    Args:
        recordings: Of each of `VIEWS`.
        cameras: Which of them.
        offsets_s: What their clocks are ahead.
        dies_s: When the first of the cameras stops.
    """
    arriving: list[tuple[float, Frame]] = []
    for number in cameras:
        recording, pose = recordings[number], VIEWS[number].pose()
        names = sorted(recording.joints, reverse=bool(number))
        for row, seconds in enumerate(recording.stamps.tolist()):
            if number == cameras[0] and seconds > dies_s:
                break
            people = [
                Person(str(k + 1), recording.layout, recording.joints[name][row])
                for k, name in enumerate(names)
                if np.isfinite(recording.joints[name][row]).all(-1).sum() >= 5
            ]
            at = seconds + 0.013 * number
            stamp_ns = round((1000.0 + at + offsets_s[number]) * 1e9)
            arriving.append((at, placed(Frame(stamp_ns, f"camera_{number}", people), pose, "map")))
    return [frame for _, frame in sorted(arriving, key=lambda pair: pair[0])]


def several(options: argparse.Namespace) -> dict[str, Any]:
    """Two cameras with occlusion, beside each alone; clocks that differ; and one that dies."""
    cases: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "first camera": ((0,), {}),
        "second camera": ((1,), {}),
        "both": ((0, 1), {}),
        "both, clocks 100 ms apart": ((0, 1), {"offsets_s": (0.0, 0.1)}),
        "both, the first dies midway": ((0, 1), {"dies_s": 0.0}),
        "both, the second dies midway": ((1, 0), {"dies_s": 0.0}),
    }
    rows: dict[str, dict[str, int]] = {
        name: {"found": 0, "false": 0, "doubled": 0, "ids": 0, "people": 0} for name in cases
    }
    truths = 0
    with load_engine(options.model) as engine:
        known = [action for action in ACTIONS if action in engine.info.actions]
        for seed in range(options.seeds):
            recordings = acted(31 + 10 * seed, options.people, options.actions, known)
            truth = [Interval("scene", each.action, each.start, each.end) for each in recordings[0].segments]
            truths += len(truth)
            middle_s = float(recordings[0].stamps[-1]) / 2
            for name, (cameras, given) in cases.items():
                changed = given | ({"dies_s": middle_s} if "dies_s" in given else {})
                events, _ = events_of(engine, seen_by(recordings, cameras, **changed), options.rate)
                result = compare(intervals_of_events("scene", events, round(1000e9)), truth)
                row = rows[name]
                row["found"] += len(result.found)
                row["false"] += len(result.false)
                row["doubled"] += _doubled(events)
                row["ids"] += len({event.person_id for event in events})
                row["people"] += options.people
    table = Table("cameras", "found", "false", "doubled events", "ids of people")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['found']} of {truths}",
            str(row["false"]),
            str(row["doubled"]),
            f"{row['ids']} of {row['people']}",
        )
    Console(width=110).print(table)
    return {"truths": truths, "cases": rows}


def _doubled(events: Sequence[Event]) -> int:
    """Events of one action at one place and time under two ids."""
    count = 0
    for i, one in enumerate(events):
        for other in events[i + 1 :]:
            overlap = min(one.end_ns, other.end_ns) - max(one.start_ns, other.start_ns)
            near = np.linalg.norm(np.subtract(one.position, other.position)) < 0.6
            count += one.action == other.action and one.person_id != other.person_id and overlap > 0 and bool(near)
    return count


def cost(options: argparse.Namespace) -> dict[str, Any]:
    """What fusion takes of a step (0.1 s) for six people and two cameras, by their frames a second."""
    from usdrl_ros.skeleton.canonical import to_ntu25

    recordings = acted(31, 6, 4, ("wave", "clap", "push", "walk", "pick_up"))
    result = {}
    table = Table("each camera", "one camera, ms a step (median)", "two cameras")
    for cameras in (1, 2):
        fusion, times = Fusion(), []
        for frame in (to_ntu25(frame) for frame in seen_by(recordings, range(cameras))):
            began = time.thread_time()
            fusion.update(frame)
            times.append((time.thread_time() - began) * 1e3)
        result[f"ms_a_frame_of_{cameras}"] = float(np.median(times))
    one, two = result.values()
    for rate in (10, 15, 30):
        table.add_row(f"{rate} frames a second", f"{one * rate / 10:.2f}", f"{two * 2 * rate / 10:.2f}")
    Console().print(table)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.cameras", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was measured to this file")
    commands = parser.add_subparsers(dest="command", required=True)
    own = commands.add_parser("moving")
    own.add_argument("bags", metavar="BAG", nargs="+")
    own.add_argument("--rate", type=float, default=10.0, help="steps a second; default: %(default)s")
    own.add_argument("--message-rate", type=float, default=0.0, metavar="HZ", help="at most so many messages a second")
    own = commands.add_parser("several")
    for name, default in (("seeds", 3), ("people", 2), ("actions", 5)):
        own.add_argument(f"--{name}", type=int, default=default)
    own.add_argument("--rate", type=float, default=10.0, help="steps a second; default: %(default)s")
    commands.add_parser("cost")
    options = parser.parse_args(arguments)
    result = {"moving": moving, "several": several, "cost": cost}[options.command](options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
