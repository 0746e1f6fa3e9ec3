"""One's own recordings as rosbag2 bags: a directory of bags, each with skeletons and the true actions.

Below ROOT, at any depth, each bag (a directory with a metadata.yaml, or a lone .mcap or .db3 file) is a recording,
named by its path. It holds usdrl_ros/msg/SkeletonArray on /skeletons, or on the only topic of that type, or the
messages of another source (`source` in dataset.yaml), and, if it is labelled, usdrl_ros/msg/ActionEvent on
/usdrl/ground_truth: one ENDED event for each action. ROOT/dataset.yaml may say how the axes lie, who is recorded, and
who tests: see `own_dataset`.

Seconds count from the first message. Joints with confidence 0 are unseen. A bag without true actions has no segments:
it serves pretraining, and supervised tasks leave it out.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.own_dataset import (
    Description,
    check_names,
    check_segments,
    check_units,
    protocols,
    read_description,
)
from usdrl_ros.actions.events import Phase
from usdrl_ros.bags.reader import TRUTH, BagError, read_events, read_messages, read_topics
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.scene.naming import Naming
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.sources.reader import SourceError, SourceReader, load_source

__all__ = ["ACTIONS", "LAYOUT", "NAME", "PROTOCOLS", "TITLE", "Source", "actions", "find", "protocols", "read"]

NAME, TITLE, LAYOUT = "bags", "a directory of bags", ""
ACTIONS: tuple[str, ...] = ()
"""They are in the bags; see `actions`."""
PROTOCOLS: dict = {}
"""They are in dataset.yaml; see `protocols`."""


@dataclass(frozen=True)
class Source:
    """One bag, its name, and what dataset.yaml says."""

    path: Path
    name: str
    description: Description = field(default_factory=Description)

    def __str__(self) -> str:
        return str(self.path)


def find(root: Path) -> list[Source]:
    """The bags, in order of path; `root` may be one itself.

    Raises:
        DatasetError: There are none, or dataset.yaml is not right.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no directory; give one that holds bags", "not the data set")
    bags = {path.parent for path in root.glob("**/metadata.yaml")}
    bags |= {path for ending in ("mcap", "db3") for path in root.glob(f"**/*.{ending}") if path.parent not in bags}
    if not bags:
        raise DatasetError(f"{root} holds no bag: no directory with a metadata.yaml, no .mcap or .db3 file", "no bag")
    description = read_description(root)
    sources = [Source(bag, _name(bag, root), description) for bag in sorted(bags)]
    check_names(root, description, [source.name for source in sources])
    return sources


def _name(bag: Path, root: Path) -> str:
    name = bag.relative_to(root).as_posix() if bag != root else root.resolve().name
    return name if bag.is_dir() else name.removesuffix(bag.suffix)


def actions(root: Path) -> tuple[str, ...]:
    """All actions in the bags, in alphabetical order; a bag that is wrong is left to `read`.

    Raises:
        DatasetError: As `find`.
    """
    found: set[str] = set()
    for source in find(root):
        with contextlib.suppress(DatasetError):
            found |= {segment.action for _, segment in _truth(source, 0)}
    return tuple(sorted(found))


def read(source: Source) -> Recording:
    """One bag.

    Raises:
        DatasetError: The bag is damaged, has no usable skeletons, or true actions that disagree with them.
    """
    frames = _frames(source)
    first_ns = frames[0].stamp_ns
    stamps = np.array([(frame.stamp_ns - first_ns) / 1e9 for frame in frames])
    layouts = sorted({person.layout for frame in frames for person in frame.people})
    if len(layouts) != 1:
        raise DatasetError(f"{source} has people in {' and '.join(layouts) or 'no frame'}, expected one joint layout")
    joints: dict[str, np.ndarray] = {}
    shape = (len(frames), len(load_layout(layouts[0]).joint_names), 3)
    for index, frame in enumerate(frames):
        for person in frame.people:
            values = source.description.upright(np.asarray(person.joints, float))
            if person.confidence is not None:
                values[~(person.confidence > 0.0)] = np.nan
            if person.person_id not in joints:
                joints[person.person_id] = np.full(shape, np.nan)
            joints[person.person_id][index] = values
    check_units(source, load_layout(layouts[0]), joints)
    segments = check_segments(_truth(source, first_ns), stamps, joints)
    subject = source.description.people.get(source.name, "")
    labelled = TRUTH in read_topics(source.path)
    return Recording(source.name, layouts[0], stamps, joints, segments, subject, labelled=labelled)


def _frames(source: Source) -> list[Frame]:
    """All messages with skeletons, in order; whatever is wrong with one is an error."""
    frames: list[Frame] = []
    naming = Naming()
    try:
        reader = SourceReader(load_source(source.description.source), layout=source.description.layout)
    except SourceError as error:
        raise DatasetError(f"{source}: {error}", "unknown source") from error
    try:
        for _, record_ns, message in read_messages(source.path, [_topic(source, reader)]):
            frame = naming.update(reader.read(message, record_ns))
            where = f"{source}, message {len(frames) + 1}"
            if frame.problems:
                raise DatasetError(f"{where}: {frame.problems[0].message}", frame.problems[0].cause)
            if frames and reader.source.one_person and frame.stamp_ns == frames[-1].stamp_ns:
                frames[-1].people.extend(frame.people)
                continue
            if frames and frame.stamp_ns <= frames[-1].stamp_ns:
                raise DatasetError(
                    f"{where} is stamped {frame.stamp_ns} ns, not after the one before: cut the bag there",
                    "time does not advance",
                )
            if frames and frame.frame_id != frames[-1].frame_id:
                raise DatasetError(
                    f"{where} is in frame '{frame.frame_id}', the one before in '{frames[-1].frame_id}': a bag may "
                    f"hold the skeletons of one camera only",
                    "several cameras",
                )
            frames.append(frame)
    except BagError as error:
        raise DatasetError(str(error), "unreadable file") from error
    if len(frames) < 2:
        raise DatasetError(f"{source} has {len(frames)} skeleton messages, expected 2 or more", "fewer than two frames")
    return frames


def _topic(source: Source, reader: SourceReader) -> str:
    types = reader.source.message_types
    topics = [name for name, topic in read_topics(source.path).items() if topic.type in types]
    wanted = source.description.topic or f"/{reader.source.topic.lstrip('/')}"
    if wanted in topics:
        return wanted
    if len(topics) == 1 and not source.description.topic:
        return topics[0]
    raise DatasetError(
        f"{source}: no topic {wanted} of type {types[0]}; topics of that type: {', '.join(topics) or 'none'}",
        "no skeletons",
    )


def _truth(source: Source, first_ns: int) -> list[tuple[str, Segment]]:
    try:
        events = read_events(source.path, TRUTH) if TRUTH in read_topics(source.path) else []
    except BagError as error:
        raise DatasetError(str(error), "unreadable file") from error
    segments = []
    for event in events:
        if event.phase == Phase.ENDED:
            where = f"{source}, {TRUTH}"
            if not event.action or event.end_ns <= event.start_ns:
                raise DatasetError(f"{where}: event '{event.event_id}' has no action or no duration", "not a label")
            start, end = ((stamp - first_ns) / 1e9 for stamp in (event.start_ns, event.end_ns))
            segments.append((where, Segment(start, end, event.action, event.person_id)))
    return segments
