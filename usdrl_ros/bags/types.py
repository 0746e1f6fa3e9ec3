"""What this room shares: its error, the topics of our bags, the message types known without a bag."""

from __future__ import annotations

from functools import lru_cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from usdrl_ros.messages import MessageTypes, numpy_floats
from usdrl_ros.resources import data_directory

SKELETONS = "/skeletons"
TRUTH = "/usdrl/ground_truth"
EVENTS = "/usdrl/actions"

OURS = "usdrl_ros/msg/"
EVENT_TYPE = f"{OURS}ActionEvent"


class BagError(Exception):
    """A bag cannot be read or written. The message is one line that names the bag, the fault and what to do."""


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """ROS 2's common types and ours."""
    store = get_typestore(Stores.ROS2_JAZZY)
    ours: dict = {}
    for file in sorted(data_directory("interfaces").glob("*.msg")):
        ours.update(get_types_from_msg(file.read_text(encoding="utf-8"), OURS + file.stem))
    store.register(ours)
    return store


@lru_cache(maxsize=1)
def bag_message_types() -> MessageTypes:
    """The message classes of bags."""
    return MessageTypes.lookup(typestore().types.__getitem__, numpy_floats)
