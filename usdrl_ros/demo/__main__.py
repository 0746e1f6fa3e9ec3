"""See it work: an acted scene, or a bag of yours, played through the live nodes over DDS.

Writes to the output directory: timeline.png (truth above, events below, for each person), `published` (the bag of all
that was on the topics) and, without --bag, `scene` (the bag that was acted).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live
from scipy.spatial.transform import Rotation

from usdrl_ros.bags.reader import TRUTH, BagError, read_topics
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.bags.writer import BagWriter, write_recording
from usdrl_ros.demo.actor import ACTIONS, DEMO_SEED, View, play, random_script
from usdrl_ros.demo.screen import live_screen, result_table
from usdrl_ros.evaluation.metrics.detection import compare, intervals_of_events, intervals_of_truth
from usdrl_ros.evaluation.report.timeline import save_timeline
from usdrl_ros.files import WriteError
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.sources.reader import Source, SourceError, SourceReader

if TYPE_CHECKING:
    from usdrl_ros.nodes.observer import Observer


SECOND_CAMERA = "/camera_2/skeletons"
VIEWS = (View(azimuth_deg=-40.0, height_m=1.4, distance_m=3.2), View(azimuth_deg=55.0, height_m=1.6, distance_m=3.0))
"""Where the cameras of a scene before two of them stand."""


class DemoError(Exception):
    """The demo cannot go on; the message is one line."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = _parse(arguments)
    console = Console()
    try:
        _demo(options, console)
    except (DemoError, BagError, ModelError, SourceError, WriteError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m usdrl_ros.demo", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--bag", type=Path, help="play this bag instead of an acted scene")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--rate", type=float, default=1.0, help="times real time; default: %(default)s")
    parser.add_argument("--people", type=int, default=2, help="people in the acted scene; default: %(default)s")
    parser.add_argument("--actions", type=int, default=7, help="actions of each; default: %(default)s")
    parser.add_argument("--cameras", type=int, default=1, help="cameras before the acted scene; default: %(default)s")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="of the acted scene; default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("demo_out"), help="directory; default: %(default)s")
    options = parser.parse_args(arguments)
    if options.bag is not None and options.cameras > 1:
        parser.error("--cameras is of the acted scene: a bag has the cameras that it has")
    for name, low, high in (("rate", 0.05, 20.0), ("people", 1, 6), ("actions", 2, 50), ("cameras", 1, 2)):
        if not low <= getattr(options, name) <= high:
            parser.error(f"--{name} must be from {low} to {high}")
    return options


def _demo(options: argparse.Namespace, console: Console) -> None:
    with load_engine(options.model) as engine:
        info = engine.info  # a bad model is refused here, in one line, before any node starts
    made = [options.output / "scene", options.output / "published"]
    if options.bag is not None and any(options.bag.resolve().is_relative_to(path.resolve()) for path in made):
        raise DemoError(f"bag {options.bag} lies where the demo writes: choose another --output, or move it")
    for path in made:
        shutil.rmtree(path, ignore_errors=True)
    options.output.mkdir(parents=True, exist_ok=True)
    bag = options.bag or _act(options, info.actions)
    topics = read_topics(bag)
    source, topic = find_skeletons(bag, topics)
    console.print(f"model [bold]{info.name}[/bold] ({len(info.actions)} actions): {', '.join(info.actions)}")
    console.print(f"playing {bag} at {options.rate:g} x real time, {topics[topic].count} messages on {topic}\n")
    with BagWriter(options.output / "published") as writer:
        observer = _play(options, bag, writer, console, source, topic, topics[topic].count)
    _report(options, observer, console, info.actions)


def _act(options: argparse.Namespace, actions: tuple[str, ...]) -> Path:
    known = tuple(action for action in ACTIONS if action in actions)
    if not known:
        raise DemoError(f"the actor can do nothing that the model knows, only {', '.join(ACTIONS)}: give a bag, --bag")
    scripts = {
        f"person_{i + 1}": random_script(options.seed + i, options.actions, known) for i in range(options.people)
    }
    scene = options.output / "scene"
    if options.cameras == 1:
        write_recording(play(scripts, seed=options.seed, name="demo"), scene)
        return scene
    first, second = (
        play(scripts, seed=options.seed, view=view, camera=number, occlusion=True, name="demo")
        for number, view in enumerate(VIEWS)
    )
    write_recording(first, scene, frame_id="camera", cameras={SECOND_CAMERA: ("camera_2", second)})
    return scene


def _parameters(options: argparse.Namespace, source: Source, topic: str) -> list[str]:
    """Of the perception node: its input, or both cameras with the poses that they have in the scene."""
    if options.cameras == 1:
        return [f"source:={source.name}", f"input_topic:={topic}"]
    poses = [
        f"{frame} {' '.join(f'{value:.6f}' for value in (*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()))}"
        for frame, pose in zip(("camera", "camera_2"), (view.pose() for view in VIEWS), strict=True)
    ]
    return [f"inputs:={[topic, SECOND_CAMERA]}", "fixed_frame:=map", f"camera_poses:={poses}"]


def _play(
    options: argparse.Namespace,
    bag: Path,
    writer: BagWriter,
    console: Console,
    source: Source,
    topic: str,
    messages: int,
) -> Observer:
    """Play the bag through the live nodes, with the screen."""
    try:
        from usdrl_ros.nodes.conversion import MissingMessagesError
        from usdrl_ros.nodes.live import LiveError, play_live
        from usdrl_ros.nodes.observer import Observer
    except ImportError as error:
        raise DemoError(
            f"ROS 2 or the built package is missing ({error}): run `make demo`, or source env.sh"
        ) from error

    cameras = [SECOND_CAMERA] if options.cameras > 1 else []
    with Live(console=console, refresh_per_second=8) as live:
        try:
            return play_live(
                bag,
                options.model,
                rate=options.rate,
                parameters=_parameters(options, source, topic),
                observe=partial(
                    Observer, writer, skeletons=topic, truth=TRUTH, reader=SourceReader(source), cameras=cameras
                ),
                watch=lambda o: live.update(_screen(o, messages)),
            )
        except (LiveError, MissingMessagesError) as error:
            raise DemoError(str(error)) from error


def _screen(observer: Observer, messages: int) -> RenderableType:
    people, running, recent = observer.state()
    origin_ns = observer.first_ns or 0
    now_s = ((observer.newest_ns or 0) - origin_ns) / 1e9
    duration_s = now_s * messages / max(observer.frames, 1)
    return live_screen(people, running.values(), recent, origin_ns=origin_ns, now_s=now_s, duration_s=duration_s)


def _report(options: argparse.Namespace, observer: Observer, console: Console, actions: Sequence[str]) -> None:
    origin_ns = observer.first_ns or 0
    events = intervals_of_events("demo", observer.events, origin_ns)
    truths = intervals_of_truth("demo", observer.truth, origin_ns)
    title = str(options.bag) if options.bag else "an acted scene"
    save_timeline(options.output / "timeline.png", truths, events, title=title, actions=actions)
    console.print()
    if truths:
        comparison = compare(events, truths)
        console.print(result_table(comparison))
        delay = comparison.delay_median_s
        after = "" if delay is None else f", reported {delay:.1f} s after the onset (median)"
        console.print(
            f"[bold]{len(comparison.found)} of {len(truths)} actions found{after}; "
            f"{len(comparison.missed)} missed, {len(comparison.false)} false.[/bold]"
        )
    else:
        console.print(f"{len(events)} events; the bag holds no truth on {TRUTH} to compare them with.")
    for cause, count in sorted(observer.problems.items()):
        console.print(f"[yellow]{count} x {cause}[/yellow], see the warnings above")
    console.print(
        f"picture: {options.output / 'timeline.png'}    all that was published: {options.output / 'published'}"
    )


if __name__ == "__main__":
    sys.exit(main())
