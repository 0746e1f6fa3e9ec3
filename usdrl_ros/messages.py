"""Between the library's own types and usdrl_ros/msg: each field is mapped here, once, for the nodes and for bags alike.

A message is made by its class, given with `MessageTypes`: rclpy's classes and those that rosbags makes from the same
.msg files both take every field as a keyword. Reading is duck-typed and needs no class.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.skeleton.person import Person

if TYPE_CHECKING:
    from usdrl_ros.actions.scores import Scores

_NANOSECONDS = 1_000_000_000


def numpy_floats(values: np.ndarray | Sequence[float]) -> np.ndarray:
    """A float32[] field for rosbags."""
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1)


def array_floats(values: np.ndarray | Sequence[float]) -> array:
    """A float32[] field for rclpy, which takes `array.array` without looking at each value."""
    return array("f", numpy_floats(values).tobytes())


@dataclass(frozen=True)
class MessageTypes:
    """The message classes of one world, and how it wants a float32[]."""

    Time: type
    Header: type
    Point: type
    Skeleton: type
    SkeletonArray: type
    ActionEvent: type
    ActionScores: type
    ActionVocabulary: type
    floats: Callable[[Any], Any]

    @classmethod
    def lookup(cls, message_class: Callable[[str], type], floats: Callable[[Any], Any]) -> MessageTypes:
        """Take each class from `message_class`, a function of names such as "usdrl_ros/msg/ActionEvent"."""
        ours = ("Skeleton", "SkeletonArray", "ActionEvent", "ActionScores", "ActionVocabulary")
        return cls(
            Time=message_class("builtin_interfaces/msg/Time"),
            Header=message_class("std_msgs/msg/Header"),
            Point=message_class("geometry_msgs/msg/Point"),
            floats=floats,
            **{name: message_class(f"usdrl_ros/msg/{name}") for name in ours},
        )


def time_to_ns(time: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(time.sec) * _NANOSECONDS + int(time.nanosec)


def ns_to_time(types: MessageTypes, stamp_ns: int) -> Any:
    """The builtin_interfaces/Time of nanoseconds."""
    seconds, nanoseconds = divmod(int(stamp_ns), _NANOSECONDS)
    return types.Time(sec=seconds, nanosec=nanoseconds)


def header(types: MessageTypes, stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header."""
    return types.Header(stamp=ns_to_time(types, stamp_ns), frame_id=frame_id)


def skeletons_to_message(
    types: MessageTypes, stamp_ns: int, frame_id: str, layout: str, people: Iterable[Person]
) -> Any:
    """A SkeletonArray of people who all have the same layout.

    Raises:
        ValueError: A person has another layout.
    """
    skeletons = []
    for person in people:
        if person.layout != layout:
            raise ValueError(f"person '{person.person_id}' has layout '{person.layout}' in a message of '{layout}'")
        confidences = () if person.confidence is None else person.confidence
        skeletons.append(
            types.Skeleton(
                person_id=person.person_id,
                positions=types.floats(person.joints),
                confidences=types.floats(confidences),
            )
        )
    return types.SkeletonArray(header=header(types, stamp_ns, frame_id), layout=layout, skeletons=skeletons)


def event_to_message(types: MessageTypes, event: Event) -> Any:
    """An ActionEvent."""
    x, y, z = (float(value) for value in event.position)
    return types.ActionEvent(
        header=header(types, event.stamp_ns, event.frame_id),
        phase=int(event.phase),
        event_id=event.event_id,
        person_id=event.person_id,
        action=event.action,
        confidence=float(event.confidence),
        start=ns_to_time(types, event.start_ns),
        end=ns_to_time(types, event.end_ns),
        position=types.Point(x=x, y=y, z=z),
        partner_id=event.partner_id,
    )


def message_to_event(message: Any) -> Event:
    """The Event of an ActionEvent.

    Raises:
        ValueError: The phase is none of STARTED, ONGOING and ENDED.
    """
    return Event(
        stamp_ns=time_to_ns(message.header.stamp),
        frame_id=message.header.frame_id,
        phase=Phase(message.phase),
        event_id=message.event_id,
        person_id=message.person_id,
        action=message.action,
        confidence=float(message.confidence),
        start_ns=time_to_ns(message.start),
        end_ns=time_to_ns(message.end),
        position=(float(message.position.x), float(message.position.y), float(message.position.z)),
        partner_id=getattr(message, "partner_id", ""),  # recordings that predate this field lack it
    )


def truth_to_message(
    types: MessageTypes, *, frame_id: str, event_id: str, person_id: str, action: str, start_ns: int, end_ns: int
) -> Any:
    """The ActionEvent of a true action in a bag: ENDED, stamped with its end, certain, without position."""
    return event_to_message(
        types,
        Event(
            stamp_ns=end_ns,
            frame_id=frame_id,
            phase=Phase.ENDED,
            event_id=event_id,
            person_id=person_id,
            action=action,
            confidence=1.0,
            start_ns=start_ns,
            end_ns=end_ns,
            position=(math.nan, math.nan, math.nan),
        ),
    )


def scores_to_message(types: MessageTypes, scores: Scores) -> Any:
    """An ActionScores."""
    return types.ActionScores(
        header=header(types, scores.stamp_ns, scores.frame_id),
        person_id=scores.person_id,
        detection=types.floats(scores.detection),
        recognition=types.floats(scores.recognition),
    )


def vocabulary_to_message(types: MessageTypes, model: str, actions: Sequence[str]) -> Any:
    """An ActionVocabulary."""
    return types.ActionVocabulary(model=model, actions=list(actions))


Transform = tuple[str, str, int, tuple[float, float, float], tuple[float, float, float, float]]
"""Parent, child, stamp in nanoseconds, metres, and quaternion (x, y, z, w)."""


def message_to_transforms(message: Any) -> list[Transform]:
    """The transforms of a tf2_msgs/TFMessage."""
    found: list[Transform] = []
    for each in message.transforms:
        place, turn = each.transform.translation, each.transform.rotation
        translation = (float(place.x), float(place.y), float(place.z))
        rotation = (float(turn.x), float(turn.y), float(turn.z), float(turn.w))
        stamp_ns = time_to_ns(each.header.stamp)
        found.append((str(each.header.frame_id), str(each.child_frame_id), stamp_ns, translation, rotation))
    return found
