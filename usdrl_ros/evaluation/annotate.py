"""Mark what people really did in a bag: `ros2 run usdrl_ros annotate BAG ...`.

    annotate BAG --export marks.csv         the model's events of the bag as a CSV, to be corrected in any editor
    annotate BAG marks.csv MARKED_BAG       a copy of the bag with the marks of the CSV as its ground truth

So marking starts from what the model saw, not from nothing. The events are those that the bag holds on /usdrl/actions,
else the model is run over it. The bag itself is never changed.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from usdrl_ros.actions.events import Event
from usdrl_ros.bags.labels import Label, LabelError, read_csv, write_csv
from usdrl_ros.bags.reader import EVENTS, TRUTH, Bag, BagError, bag_message_types
from usdrl_ros.bags.writer import BagWriter
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_events
from usdrl_ros.evaluation.run import EVENT_TYPE, run_bag, skeleton_topic
from usdrl_ros.evaluation.truth import check_truths, intervals_of_labels
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.messages import message_to_event, truth_to_message
from usdrl_ros.sources.reader import DEFAULT_SOURCE, SourceError, SourceReader, load_source

_NOTE = (
    "What people really did: correct, remove and add lines; start and end in seconds from the first skeletons.\n"
    "The person may be left out: then anyone's event may match."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code: 0, 1 where a bag or a file is not right, 2 for wrong options."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.export is None) == (options.csv is None or options.marked is None):
        parser.error("give a CSV and the path of the marked copy, or --export CSV")
    try:
        return _export(options) if options.export is not None else _mark(options)
    except (BagError, LabelError, ModelError, SourceError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="annotate", description=(__doc__ or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", metavar="BAG", type=Path, help="a rosbag2 directory, or one .mcap or .db3 file")
    parser.add_argument("csv", metavar="CSV", type=Path, nargs="?", help="the marks: start,end,action[,person]")
    parser.add_argument("marked", metavar="MARKED_BAG", type=Path, nargs="?", help="the copy; must not exist")
    parser.add_argument("--export", metavar="CSV", type=Path, help="write the events to this file; must not exist")
    parser.add_argument("--model", default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--rerun", action="store_true", help="run the model even where the bag holds events")
    parser.add_argument("--source", default=DEFAULT_SOURCE, help="what the skeletons are; default: %(default)s")
    parser.add_argument("--topic", default="", help="topic of the skeletons; default: the source's")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="of the copy; default: mcap")
    return parser


def _export(options: argparse.Namespace) -> int:
    """Write the events of a bag as a CSV."""
    if options.export.exists():
        raise LabelError(f"{options.export}: exists already; it may hold corrections: remove it or choose another path")
    found = None if options.rerun else _recorded_events(options)
    told = f"on {EVENTS}"
    if found is None:
        with load_engine(options.model) as engine:
            run = run_bag(options.bag, engine, source=options.source, topic=options.topic, ongoing=False)
            found, told = run.event_intervals, f"of model {engine.info.name}"
    rows = sorted(found, key=lambda event: (event.start, event.end))
    lines = [(f"{event.start:.2f}", f"{event.end:.2f}", event.action, event.person_id) for event in rows]
    write_csv(options.export, lines, note=_NOTE)
    events = f"{len(rows)} event{'s' if len(rows) != 1 else ''} {told}"
    print(f"{options.export}: {events}; correct them, then: annotate BAG {options.export} MARKED_BAG")
    return 0


def _recorded_events(options: argparse.Namespace) -> list[Interval] | None:
    """The events that a bag holds; None where it holds none."""
    origin_ns = _first_stamp(options)
    events: list[Event] = []
    with Bag(options.bag) as bag:
        if EVENTS not in bag.topics or bag.topics[EVENTS].type != EVENT_TYPE:
            return None
        for _, stamp_ns, message in bag.messages([EVENTS]):
            try:
                events.append(message_to_event(message))
            except ValueError as error:
                raise BagError(f"{options.bag}: event of {stamp_ns} ns on {EVENTS} is not valid: {error}") from error
    return intervals_of_events(str(options.bag), events, origin_ns) or None


def _mark(options: argparse.Namespace) -> int:
    """Copy a bag, with the marks of a CSV as its ground truth instead of what it had."""
    labels = read_csv(options.csv)
    origin_ns, newest_ns, frame_id = _span(options)
    marks = intervals_of_labels(str(options.bag), labels, origin_ns)
    kept, faults = check_truths(marks, (newest_ns - origin_ns) / 1e9)
    for fault in faults:
        print(f"{options.csv}: {fault}", file=sys.stderr)
    if len(kept) < len(marks):
        return 1
    with Bag(options.bag) as bag, BagWriter(options.marked, storage=options.storage) as writer:
        topics = {name: topic for name, topic in bag.topics.items() if name != TRUTH}
        total = sum(topic.count for topic in topics.values())
        messages = track(bag.raw_messages(list(topics)), "copying", total, console=Console(stderr=True), transient=True)
        truth = _truth_messages(labels, origin_ns, frame_id)
        copied = ((stamp_ns, "", connection, data) for connection, stamp_ns, data in messages)
        for stamp_ns, topic, what, data in heapq.merge(copied, truth, key=lambda entry: entry[0]):
            if topic:
                writer.write(topic, stamp_ns, what)
            else:
                writer.copy(what, stamp_ns, data, bag.typestore_of)
    print(f"{options.marked}: {total} messages and {len(labels)} true actions on {TRUTH}")
    return 0


def _truth_messages(labels: Sequence[Label], origin_ns: int, frame_id: str) -> Iterator[tuple[int, str, Any, bytes]]:
    """(stamp, topic, message, nothing) of each label, in the order of their ends."""
    stamped = []
    for label in labels:
        start_ns, end_ns = label.times_ns(origin_ns)
        stamped.append((end_ns, start_ns, label))
    for number, (end_ns, start_ns, label) in enumerate(sorted(stamped, key=lambda entry: entry[:2])):
        message = truth_to_message(
            bag_message_types(),
            frame_id=frame_id,
            event_id=f"truth_{number}",
            person_id=label.person_id,
            action=label.action,
            start_ns=start_ns,
            end_ns=end_ns,
        )
        yield end_ns, TRUTH, message, b""


def _first_stamp(options: argparse.Namespace) -> int:
    """The stamp from which the seconds of a bag count."""
    return _span(options, whole=False)[0]


def _span(options: argparse.Namespace, *, whole: bool = True) -> tuple[int, int, str]:
    """The first and the newest stamp of a bag's skeletons, and their frame; only the first message's if not `whole`."""
    source = load_source(options.source)
    reader = SourceReader(source)
    origin_ns: int | None = None
    newest_ns, frame_id = 0, ""
    with Bag(options.bag) as bag:
        topic = skeleton_topic(options.bag, bag.topics, source, options.topic)
        for _, record_ns, message in bag.messages([topic]):
            frame = reader.read(message, record_ns)
            if origin_ns is None:
                origin_ns, frame_id = frame.stamp_ns, frame.frame_id
            newest_ns = max(newest_ns, frame.stamp_ns)
            if not whole:
                break
    if origin_ns is None:
        raise BagError(f"{options.bag}: topic {topic} holds no message")
    return origin_ns, newest_ns, frame_id


if __name__ == "__main__":
    sys.exit(main())
