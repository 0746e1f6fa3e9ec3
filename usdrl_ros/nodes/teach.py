"""Teach the robot an action: by showing it to a running node, or from recordings.

ros2 run usdrl_ros teach beckon_left --examples 5
ros2 run usdrl_ros teach beckon_left --bag BAG --labels marks.csv
ros2 run usdrl_ros teach no_wave --not wave
ros2 run usdrl_ros teach --list
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usdrl_ros.nodes.program import run_program

_WAIT_FOR_NODE_S = 10.0


def main(args: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    given = sys.argv[1:] if args is None else list(args)
    own = given[: given.index("--ros-args")] if "--ros-args" in given else given
    options = _parser().parse_args(own)
    if options.list or options.delete or options.rename or options.export or options.load:
        return _manage(options)
    if not options.name:
        _parser().error("give the NAME of the action")
    if options.bag:
        return _from_bags(options)

    def program(stop: threading.Event, _: Sequence[str]) -> int:
        return _show(options, stop)

    return run_program("teach", program, [a for a in given if a not in own] if args is not None else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="teach", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="", help="of the action: letters, digits and _")
    parser.add_argument("--examples", type=int, default=5, help="how many are shown (default: %(default)s)")
    parser.add_argument("--person", default="", help="id of the person who shows them; default: who is in front")
    parser.add_argument("--not", dest="counter_to", default="", metavar="ACTION", help="what the examples are not")
    parser.add_argument("--both-sides", action="store_true", help="learn the mirrored action as the same one")
    parser.add_argument("--replace", action="store_true", help="replace an action of this name")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for all examples (default: %(default)s)")
    recorded = parser.add_argument_group("from recordings, without a node")
    recorded.add_argument("--bag", type=Path, action="append", help="a rosbag2 bag; may be given several times")
    recorded.add_argument("--labels", type=Path, help="table of start,end,action; or a directory of such, by bag")
    recorded.add_argument("--source", default="", help="what the skeletons are; default: found by their type")
    recorded.add_argument("--model", type=Path, help="an .onnx file; default: the shipped one")
    files = parser.add_argument_group("the gallery")
    files.add_argument("--gallery", default="", help="its directory; default: usdrl_ros/gallery in the user's data")
    files.add_argument("--list", action="store_true", help="list what it holds")
    files.add_argument("--delete", metavar="ACTION", help="delete an action")
    files.add_argument("--rename", nargs=2, metavar=("OLD", "NEW"), help="rename an action")
    files.add_argument("--export", nargs=2, metavar=("ACTION", "FILE"), help="copy an action out")
    files.add_argument("--import", dest="load", metavar="FILE", help="copy an action in")
    return parser


def _manage(options: argparse.Namespace) -> int:
    """What concerns the files alone; a running node reads them when it configures, or over its service."""
    from usdrl_ros.actions.few_shot import TeachingError
    from usdrl_ros.actions.gallery import Gallery

    gallery = Gallery(options.gallery)
    try:
        if options.delete:
            gallery.delete(options.delete)
        if options.rename:
            gallery.rename(*options.rename)
        if options.export:
            print(f"wrote {gallery.export(*options.export)}")
        if options.load:
            loaded = gallery.add_file(options.load, name=options.name, replace_existing=options.replace)
            print(f"imported {loaded.name}")
    except TeachingError as error:
        return _failed(str(error))
    actions, faults = gallery.load_all()
    print(f"{gallery.directory}: {len(actions)} actions")
    for action in actions:
        what = f"is no {action.counter_to}" if action.counter_to else f"{action.durations.mean():.1f} s"
        by = f" by {action.taught_by}" if action.taught_by else ""
        print(f"  {action.name}: {action.examples} examples, {what}; {action.created}{by}, model {action.model_name}")
    for fault in faults:
        print(f"teach: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _from_bags(options: argparse.Namespace) -> int:
    """Teach from recordings; needs no ROS."""
    from usdrl_ros.actions.few_shot import TeachingError
    from usdrl_ros.actions.gallery import Gallery
    from usdrl_ros.bag_lessons import examples_of_bag
    from usdrl_ros.bags.labels import LabelError
    from usdrl_ros.bags.types import BagError
    from usdrl_ros.inference.factory import default_model, load_engine
    from usdrl_ros.inference.model_file import ModelError
    from usdrl_ros.sources.reader import SourceError
    from usdrl_ros.teaching import Teacher

    model = options.model or default_model()
    try:
        with load_engine(model, max_batch=16) as engine:
            teacher = Teacher(engine, model, Gallery(options.gallery))
            teacher.check_name(options.name, options.counter_to, options.replace)
            examples = []
            for bag in options.bag:
                labels = options.labels
                examples += examples_of_bag(
                    bag, options.name, labels, person_id=options.person, source=options.source, frames=teacher.frames
                )
            report = teacher.teach(
                options.name, examples, taught_by=", ".join(bag.name for bag in options.bag),
                counter_to=options.counter_to, both_sides=options.both_sides, replace_existing=options.replace,
            )  # fmt: skip
    except (TeachingError, ModelError, BagError, LabelError, SourceError) as error:
        return _failed(str(error))
    looks = f"they look most like '{report.resembles}' ({100 * report.resemblance:.0f} %)"
    print(f"learned '{options.name}' from {report.action.examples} examples; {looks}")
    return 0


def _show(options: argparse.Namespace, stop: threading.Event) -> int:
    """Ask a running node to learn, and pass on what the person should do."""
    import rclpy
    from rclpy.action import ActionClient

    from usdrl_ros.action import Teach

    node = rclpy.create_node("teach")
    client = ActionClient(node, Teach, "usdrl/teach")
    try:
        if not client.wait_for_server(timeout_sec=_WAIT_FOR_NODE_S):
            return _failed(f"no perception node serves usdrl/teach within {_WAIT_FOR_NODE_S:.0f} s: start it first")
        goal = Teach.Goal(
            name=options.name, examples=min(max(options.examples, 1), 50), person_id=options.person,
            counter_to=options.counter_to, both_sides=options.both_sides, replace=options.replace,
            timeout_s=options.timeout,
        )  # fmt: skip
        sent = client.send_goal_async(goal, feedback_callback=_tell)
        handle = _wait(node, sent, stop)
        if handle is None:
            return 130
        if not handle.accepted:
            return _failed("the node is teaching somebody else: wait until it is done")
        result = _wait(node, handle.get_result_async(), stop)
        if result is None:
            handle.cancel_goal_async()
            return 130
        print(result.result.message, file=sys.stdout if result.result.success else sys.stderr)
        return 0 if result.result.success else 1
    finally:
        client.destroy()
        node.destroy_node()


def _tell(message: Any) -> None:
    print(message.feedback.text, flush=True)


def _wait(node: Any, future: Any, stop: threading.Event) -> Any:
    """The result of a future; None where the program is to stop."""
    import rclpy

    while not future.done():
        if stop.is_set():
            return None
        rclpy.spin_once(node, timeout_sec=0.1)
    return future.result()


def _failed(message: str) -> int:
    print(f"teach: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
