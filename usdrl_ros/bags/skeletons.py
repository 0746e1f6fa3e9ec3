"""Which topic of a bag holds the skeletons, and which source reads it: found by the types of the topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from usdrl_ros.bags.reader import Topic
from usdrl_ros.bags.types import BagError
from usdrl_ros.sources.reader import DEFAULT_SOURCE, Source, load_source, source_names

_COMMON_PACKAGES = ("visualization_msgs", "std_msgs", "sensor_msgs", "geometry_msgs")
"""Types of these hold skeletons only on the topic that their source names: markers are drawn by many."""


def find_skeletons(
    path: Path | str, topics: Mapping[str, Topic], *, source: str = "", topic: str = ""
) -> tuple[Source, str]:
    """The source that reads a bag's skeletons, and their topic.

    Args:
        path: Of the bag, for messages.
        topics: Of the bag.
        source: A name of `config/sources` or a file; "": the one that fits the types in the bag.
        topic: "": the source's, else the only one of its type.

    Raises:
        BagError: There is none, or there are several.
        SourceError: The source is not known.
    """
    if source:
        chosen = load_source(source)
        return chosen, _topic_of(path, topics, chosen, topic)
    fitting = list(_fitting(topics, topic))
    ours = [pair for pair in fitting if pair[0].name == DEFAULT_SOURCE]
    named = [pair for pair in fitting if pair[1] == _default_topic(pair[0])]
    spatial = [pair for pair in fitting if pair[0].dimensions == 3]
    for candidates in (ours, [pair for pair in named if pair in spatial], spatial, named, fitting):
        if len(candidates) == 1:
            return candidates[0]
        if candidates and len({pair[0].name for pair in candidates}) == 1:
            return candidates[0][0], _topic_of(path, topics, candidates[0][0], topic)
    if fitting:
        choices = " or ".join(f"--source {each.name} --topic {name}" for each, name in spatial or fitting)
        raise BagError(f"{path}: its skeletons can be read in several ways: give {choices}")
    default = load_source(DEFAULT_SOURCE)
    return default, _topic_of(path, topics, default, topic)


def _fitting(topics: Mapping[str, Topic], wanted: str) -> Iterator[tuple[Source, str]]:
    """Each source that is installed with each topic that it can read."""
    for source in map(load_source, source_names()):
        for name, topic in topics.items():
            common = topic.type.partition("/")[0] in _COMMON_PACKAGES and name != _default_topic(source)
            if topic.type in source.message_types and not common and wanted in ("", name):
                yield source, name


def _default_topic(source: Source) -> str:
    return f"/{source.topic.lstrip('/')}"


def _topic_of(path: Path | str, topics: Mapping[str, Topic], source: Source, wanted: str) -> str:
    """The topic of the skeletons: the one that is wanted, else the source's, else the only one of its type."""
    of_type = [name for name, topic in topics.items() if topic.type in source.message_types]
    name = wanted or _default_topic(source)
    if not wanted and name not in topics and len(of_type) == 1:
        name = of_type[0]
    if name not in topics:
        held = ", ".join(sorted(topics)) or "none"
        hint = f"; of type {source.message_types[0]}: {', '.join(of_type)}, choose by --topic" if of_type else ""
        raise BagError(f"{path}: no topic {name}; topics of the bag: {held}{hint}")
    if topics[name].type not in source.message_types:
        fitting = [each.name for each, _ in _fitting(topics, name)]
        advice = f"; give --source {' or '.join(fitting)}" if fitting else ""
        raise BagError(
            f"{path}: topic {name} has type {topics[name].type}, expected {source.message_types[0]} "
            f"(source '{source.name}'){advice}"
        )
    return name
