"""What differs between the rclpy of Humble, Jazzy and Kilted, in one place; `tools/distribution.mk` has the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble calls the module so
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = [
    "NUMBERED",
    "SubscriptionEventCallbacks",
    "UnsupportedEventTypeError",
    "answer_refused_transitions",
    "with_information",
]

NUMBERED = hasattr(Subscription, "CallbackType")
"""Whether a callback may ask for a message's number; not in Humble."""


def with_information(take: Callable[[Any, Any], None]) -> Callable[..., None]:
    """A callback that gives `take` each message and what the middleware says of it; None in Humble."""
    if NUMBERED:
        return lambda message, information: take(message, information)
    return lambda message: take(message, None)


def answer_refused_transitions(node: LifecycleNode) -> None:
    """Answer a request for a transition that the present state does not have with a "no".

    Until Jazzy, rclpy raises in the service's callback: the caller waits for ever, and the exception ends the node.
    Later ones answer by themselves, and are not changed by this.
    """
    service = getattr(node, "_service_change_state", None)
    if service is None:
        return
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except Exception as error:  # RCLError, which is private
            what = request.transition.label or request.transition.id
            node.get_logger().warning(f"transition {what} refused: {' '.join(str(error).split())}")
            response.success = False
            return response

    service.callback = answer
