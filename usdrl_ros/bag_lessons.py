"""Examples of an action out of recorded bags, for `usdrl_ros.teaching`; without ROS."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.bags.label_files import bag_name, labels_of_bag
from usdrl_ros.bags.reader import Bag
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.skeleton.canonical import to_ntu25
from usdrl_ros.sources.reader import SourceReader
from usdrl_ros.teaching import Example, example_of


def examples_of_bag(
    bag: Path,
    name: str,
    labels: Path | None = None,
    *,
    person_id: str = "",
    source: str = "",
    topic: str = "",
    frames: int = 64,
) -> list[Example]:
    """The examples of an action in a bag.

    Args:
        bag: The recording.
        name: Of the action, as the labels call it.
        labels: A table of start, end, action and perhaps person_id, as the evaluation reads; None: the one person of
            the bag acts once.
        person_id: Who acts, where the labels do not say; "": the one person of the bag.
        source, topic: Of the skeletons; "": found by the types in the bag.
        frames: Of the model's windows.

    Raises:
        TeachingError: There is no example in it.
        BagError, LabelError, SourceError: The bag, its labels or the source cannot be used.
    """
    people = read_people(bag, source=source, topic=topic)
    if labels is None:
        stamps, joints = _one_of(people, person_id, bag)
        return [example_of(stamps, joints, frames)]
    origin_ns = round(min(stamps[0] for stamps, _ in people.values()) * 1e9)
    marked = labels_of_bag(labels, bag, frame_rate=None, classes=(), one_bag=True)
    own = [label for label in marked if label.action == name]
    if not own:
        there = ", ".join(sorted({label.action for label in marked})) or "nothing"
        raise TeachingError(f"{labels} marks no '{name}' in {bag_name(bag)}; it marks {there}")
    found = []
    for label in own:
        stamps, joints = _one_of(people, label.person_id or person_id, bag)
        start_ns, stop_ns = label.times_ns(origin_ns)
        try:
            found.append(example_of(stamps, joints, frames, start=start_ns / 1e9, stop=stop_ns / 1e9))
        except TeachingError as error:
            raise TeachingError(f"{label.where}: {error}") from error
    return found


def read_people(bag: Path, *, source: str = "", topic: str = "") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The people of a bag, in NTU-25: seconds (n,) of the headers' stamps and joints (n, 25, 3) by person.

    Raises:
        TeachingError: Nobody is in it.
        BagError, SourceError: The bag or the source cannot be used.
    """
    samples: dict[str, list[tuple[float, np.ndarray]]] = defaultdict(list)
    with Bag(bag) as content:
        chosen, found = find_skeletons(bag, content.topics, source=source, topic=topic)
        reader = SourceReader(chosen)
        for _, record_ns, message in content.messages([found]):
            frame = to_ntu25(reader.read(message, record_ns))
            for person in frame.people:
                own = samples[person.person_id]
                if not own or frame.stamp_ns / 1e9 > own[-1][0]:
                    own.append((frame.stamp_ns / 1e9, person.joints))
    if not samples:
        raise TeachingError(f"nobody is in {bag} on {found}")
    return {
        name: (np.array([t for t, _ in own]), np.stack([joints for _, joints in own]).astype(float))
        for name, own in samples.items()
    }


def _one_of(
    people: dict[str, tuple[np.ndarray, np.ndarray]], person_id: str, bag: Path
) -> tuple[np.ndarray, np.ndarray]:
    there = ", ".join(people)
    if person_id and person_id not in people:
        raise TeachingError(f"'{person_id}' is not in {bag}; there are {there}")
    if not person_id and len(people) > 1:
        raise TeachingError(f"{bag} holds {len(people)} people, {there}: say who acts, in the labels or with --person")
    return people[person_id or next(iter(people))]
