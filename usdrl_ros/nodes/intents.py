"""Events as `hri_actions_msgs/msg/Intent` of ROS4HRI: what a person who acts may want of the robot."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from usdrl_ros.actions.events import Event

TYPE = "hri_actions_msgs/msg/Intent"
TOPIC = "/intents"
"""Where ROS4HRI's controllers listen."""
_PRIORITY = 128
"""The message's own default."""


def intent_names(pairs: Sequence[str]) -> dict[str, str]:
    """Action -> intent, from pairs such as "wave=__intent_greet__"."""
    return {action.strip(): intent.strip() for action, _, intent in (pair.partition("=") for pair in pairs)}


def event_to_intent(message_class: type[Any], event: Event, names: dict[str, str]) -> Any:
    """The Intent of an event.

    `source` is the person; the person is the recipient of what the robot may do; what else is known of the event
    stands in `other_data`, the key that the message's definition leaves to applications.
    """
    position = [value if math.isfinite(value) else None for value in event.position]
    data = {
        "recipient": event.person_id,
        "other_data": {
            "event_id": event.event_id,
            "action": event.action,
            "frame_id": event.frame_id,
            "position": position,
            "start_s": event.start_ns / 1e9,
        },
    }
    return message_class(
        intent=names.get(event.action, event.action),
        data=json.dumps(data),
        source=event.person_id,
        modality=message_class.MODALITY_MOTION,
        priority=_PRIORITY,
        confidence=float(event.confidence),
    )
