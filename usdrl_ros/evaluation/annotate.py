"""Mark what people really did in a bag: `ros2 run usdrl_ros annotate BAG ...`.

    annotate BAG --export marks.csv         the model's events of the bag as a CSV, to be corrected in any editor
    annotate BAG marks.csv MARKED_BAG       a copy of the bag with the marks of the CSV as its ground truth

So marking starts from what the model recognised, not from nothing. The events are those that the bag holds on
/usdrl/actions, else the model is run over it. The bag itself is never changed.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from usdrl_ros.bags.labels import Label, LabelError, read_csv, write_csv
from usdrl_ros.bags.reader import EVENT_TYPE, EVENTS, TRUTH, Bag, BagError, bag_message_types, read_events
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.bags.writer import BagWriter
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_events
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.evaluation.truth import check_truths, intervals_of_labels
from usdrl_ros.inference.factory import default_model
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.messages import truth_to_message
from usdrl_ros.scene.naming import Naming
from usdrl_ros.sources.reader import SourceError, SourceReader

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
    except OSError as error:
        print(f"{error.filename or options.marked or options.export}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="annotate", description=(__doc__ or ""), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", metavar="BAG", type=Path, help="a rosbag2 directory, or one .mcap or .db3 file")
    parser.add_argument("csv", metavar="CSV", type=Path, nargs="?", help="the marks: start,end,action[,person]")
    parser.add_argument("marked", metavar="MARKED_BAG", type=Path, nargs="?", help="the copy; must not exist")
    parser.add_argument("--export", metavar="CSV", type=Path, help="write the events to this file; must not exist")
    parser.add_argument("--model", default=default_model(), type=Path, help="an .onnx file; default: the shipped one")
    parser.add_argument("--rerun", action="store_true", help="run the model even where the bag holds events")
    parser.add_argument("--source", default="", help="what the skeletons are; default: by the types in the bag")
    parser.add_argument("--topic", default="", help="topic of the skeletons; default: the source's")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="of the copy; default: mcap")
    return parser


def _export(options: argparse.Namespace) -> int:
    """Write the events of a bag as a CSV."""
    if options.export.exists():
        raise LabelError(f"{options.export}: exists already; it may hold corrections: remove it or choose another path")
    found = None if options.rerun else _recorded_events(options)
    origin = f"on {EVENTS}"
    if found is None:
        chosen = EvaluationOptions(model=options.model, source=options.source, topic=options.topic)
        with chosen.load_engine() as engine:
            run = run_bag(options.bag, engine, chosen, ongoing=False)
            found, origin = run.event_intervals, f"of model {engine.info.name}"
    rows = sorted(found, key=lambda event: (event.start, event.end))
    lines = [(f"{event.start:.2f}", f"{event.end:.2f}", event.action, event.person_id) for event in rows]
    write_csv(options.export, lines, note=_NOTE)
    events = f"{len(rows)} event{'s' if len(rows) != 1 else ''} {origin}"
    print(f"{options.export}: {events}; correct them, then: annotate BAG {options.export} MARKED_BAG")
    return 0


def _recorded_events(options: argparse.Namespace) -> list[Interval] | None:
    """The events that a bag holds; None where it holds none."""
    with Bag(options.bag) as bag:
        if EVENTS not in bag.topics or bag.topics[EVENTS].type != EVENT_TYPE:
            return None
    origin_ns = _read_skeletons(options, whole=False).origin_ns
    return intervals_of_events(str(options.bag), read_events(options.bag), origin_ns) or None


def _mark(options: argparse.Namespace) -> int:
    """Copy a bag, with the marks of a CSV as its ground truth instead of what it had."""
    labels = read_csv(options.csv)
    seen = _read_skeletons(options)
    marks = intervals_of_labels(str(options.bag), labels, seen.origin_ns)
    kept, faults = check_truths(marks, (seen.newest_ns - seen.origin_ns) / 1e9, seen.people)
    for fault in faults:
        print(f"{options.csv}: {fault}", file=sys.stderr)
    if len(kept) < len(marks) or any(mark.person_id not in ("", *seen.people) for mark in kept):
        return 1
    console = Console(stderr=True)
    with (
        Bag(options.bag) as bag,
        BagWriter(options.marked, storage=options.storage) as writer,
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        topics = {name: topic for name, topic in bag.topics.items() if name != TRUTH}
        total = sum(topic.count for topic in topics.values())
        messages = bar.track(bag.raw_messages(list(topics)), total, description="copying")
        truth = _truth_messages(labels, kept, seen)
        copied = ((stamp_ns, "", connection, data) for connection, stamp_ns, data in messages)
        writer.declare(TRUTH, EVENT_TYPE)  # also where nothing happens: that is a truth, too
        for stamp_ns, topic, what, data in heapq.merge(copied, truth, key=lambda entry: entry[0]):
            if topic:
                writer.write(topic, stamp_ns, what)
            else:
                writer.copy(what, stamp_ns, data, bag.typestore_of)
    print(f"{options.marked}: {total} messages and {len(labels)} true actions on {TRUTH}")
    return 0


@dataclass(frozen=True)
class _Skeletons:
    """What the skeletons of a bag say: their first and newest stamp, their frame, and the people's ids."""

    origin_ns: int
    newest_ns: int
    frame_id: str
    people: frozenset[str]


def _truth_messages(
    labels: Sequence[Label], marks: Sequence[Interval], seen: _Skeletons
) -> Iterator[tuple[int, str, Any, bytes]]:
    """(stamp, topic, message, nothing) of each label, in the order of their ends."""
    stamped = [(*label.times_ns(seen.origin_ns), mark) for label, mark in zip(labels, marks, strict=True)]
    for number, (start_ns, end_ns, mark) in enumerate(sorted(stamped, key=lambda entry: (entry[1], entry[0]))):
        message = truth_to_message(
            bag_message_types(),
            frame_id=seen.frame_id,
            event_id=f"truth_{number}",
            person_id=mark.person_id,
            action=mark.action,
            start_ns=start_ns,
            end_ns=end_ns,
        )
        yield end_ns, TRUTH, message, b""


def _read_skeletons(options: argparse.Namespace, *, whole: bool = True) -> _Skeletons:
    """Read a bag's skeletons; only the first message if not `whole`."""
    origin_ns: int | None = None
    newest_ns, frame_id = 0, ""
    people: set[str] = set()
    with Bag(options.bag) as bag:
        source, topic = find_skeletons(options.bag, bag.topics, source=options.source, topic=options.topic)
        reader, naming = SourceReader(source), Naming()
        for _, record_ns, message in bag.messages([topic]):
            frame = naming.update(reader.read(message, record_ns))
            if origin_ns is None:
                origin_ns, frame_id = frame.stamp_ns, frame.frame_id
            newest_ns = max(newest_ns, frame.stamp_ns)
            people.update(person.person_id for person in frame.people)
            if not whole:
                break
    if origin_ns is None:
        raise BagError(f"{options.bag}: topic {topic} holds no message")
    return _Skeletons(origin_ns, newest_ns, frame_id, frozenset(people))


if __name__ == "__main__":
    sys.exit(main())
