"""A subscription that is renewed when it has gone deaf.

A reliable subscription of Fast DDS goes deaf once an empty payload has come: it waits for ever for the message that
it cannot take, while all that follow wait behind it. Nothing reports this, so a silent subscription is compared to a
second one: the one that hears stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription

_DECIDED_AFTER = 3
"""Messages that one of two subscriptions has heard, after which the other is deaf if it has heard none."""


class Hearing:
    """One subscription, or two while they are compared.

    Args:
        node: Subscribes.
        subscribe: Makes a subscription with a callback of (message, information).
        take: Takes each message, once.
        on_deaf: Called when the subscription has turned out to be deaf, and has been replaced.
    """

    def __init__(
        self,
        node: Node,
        subscribe: Callable[[Callable[[Any, Any], None]], Subscription],
        take: Callable[[Any, Any], None],
        on_deaf: Callable[[], None],
    ) -> None:
        self._node, self._subscribe, self._take, self._on_deaf = node, subscribe, take, on_deaf
        self._subscriptions: dict[int, Subscription] = {}
        self._heard: dict[int, int] = {}  # messages of each, since there are two
        self._made = 0
        self._repeated = 0  # messages of the first that the second has given already
        self._add()

    def probe(self) -> None:
        """Subscribe a second time, to find out whether the first subscription is deaf."""
        for number in list(self._subscriptions)[1:]:
            self._drop(number)
        self._add()

    def close(self) -> None:
        """Unsubscribe."""
        for number in list(self._subscriptions):
            self._drop(number)

    def _add(self) -> None:
        number, self._made = self._made, self._made + 1
        self._subscriptions[number] = self._subscribe(
            lambda message, information: self._on(number, message, information)
        )
        self._heard = dict.fromkeys(self._subscriptions, 0)

    def _drop(self, number: int) -> None:
        self._node.destroy_subscription(self._subscriptions.pop(number))

    def _on(self, number: int, message: Any, information: Any) -> None:
        if number not in self._subscriptions:  # it was still on its way
            return
        if len(self._subscriptions) > 1:
            self._heard[number] += 1
            first, second = self._subscriptions
            if number == first:  # it hears; the second was faster with some of its messages
                self._repeated = self._heard[second]
                self._drop(second)
            elif self._heard[second] >= _DECIDED_AFTER:
                self._drop(first)
                self._on_deaf()
        if self._repeated:
            self._repeated -= 1
            return
        self._take(message, information)
