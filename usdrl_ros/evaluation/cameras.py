"""The cameras of a bag: topics of skeletons, and `/tf` that places them in a fixed frame, as the live node does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from usdrl_ros.bags.reader import Topic
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.messages import message_to_transforms
from usdrl_ros.problems import Problem
from usdrl_ros.scene.placing import Placing, add_poses
from usdrl_ros.scene.transforms import TransformBuffer
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.sources.inputs import read_inputs
from usdrl_ros.sources.reader import SourceReader

TF, TF_STATIC = "/tf", "/tf_static"


class BagCameras:
    """Reads the frames of all cameras of a bag.

    Args:
        path: The bag, for messages.
        topics: Of the bag.
        options: Which topics, and the fixed frame.

    Raises:
        BagError: A topic is not there.
        SourceError: A source is not known or does not suit.
    """

    def __init__(self, path: Path | str, topics: Mapping[str, Topic], options: EvaluationOptions) -> None:
        self._readers: dict[str, SourceReader] = {}
        inputs = read_inputs(options.inputs)
        for each in inputs:
            source, topic = find_skeletons(path, topics, source=each.source, topic=f"/{each.topic.lstrip('/')}")
            layout = each.layout or options.layout
            self._readers[topic] = SourceReader(source, layout=layout, association=options.association)
        if not inputs:
            source, topic = find_skeletons(path, topics, source=options.source, topic=options.topic)
            self._readers[topic] = SourceReader(source, layout=options.layout, association=options.association)
        self._placing: Placing | None = None
        self._buffer = TransformBuffer()
        self._problems: list[Problem] = []
        self._transform_topics: list[str] = []
        if options.fixed_frame:
            add_poses(self._buffer, options.fixed_frame, options.camera_poses)
            self._placing = Placing(options.fixed_frame, self._buffer, options.transform_timeout_s)
            self._transform_topics = [name for name in (TF_STATIC, TF) if name in topics]

    @property
    def skeletons(self) -> str:
        """The topics of the skeletons, in words."""
        return ", ".join(self._readers)

    @property
    def topics(self) -> list[str]:
        """All topics that are read."""
        return [*self._readers, *self._transform_topics]

    def frames(self, topic: str, record_ns: int, message: Any) -> list[Frame]:
        """The frames that are complete after a message of one of the topics."""
        if topic in self._transform_topics:
            return self._add_transforms(message, static=topic == TF_STATIC)
        frame = self._readers[topic].read(message, record_ns)
        if len(self._readers) > 1:
            frame = replace(frame, camera=topic)
        if self._placing is None:
            return [frame]
        if self._problems:
            frame = replace(frame, problems=[*self._problems, *frame.problems])
            self._problems = []
        return self._placing.push(frame)

    def rest(self) -> list[Frame]:
        """The frames that still wait for the pose of their camera at the end."""
        return [] if self._placing is None else self._placing.flush()

    def _add_transforms(self, message: Any, *, static: bool) -> list[Frame]:
        assert self._placing is not None
        for parent, child, stamp_ns, translation, rotation in message_to_transforms(message):
            if fault := self._buffer.add(parent, child, stamp_ns, translation, rotation, static=static):
                self._problems.append(Problem("bad_transform", fault))
        return self._placing.poll()
