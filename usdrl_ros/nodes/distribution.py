"""What differs between the rclpy of Humble, Jazzy and Kilted, in one place; `tools/distribution.mk` has the rest."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble calls the module so
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

__all__ = ["SubscriptionEventCallbacks", "UnsupportedEventTypeError", "answer_refused_transitions"]


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
