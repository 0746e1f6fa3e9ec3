"""Wait for a wave near the robot, greet, and go on: a behaviour tree around /usdrl/wait_for_action.

pip install py_trees
python examples/behaviour_tree.py

Needs a running perception node. py_trees alone is used, so that it runs wherever rclpy does.
"""

from __future__ import annotations

import py_trees
import rclpy
from py_trees.common import Status
from rclpy.action import ActionClient
from rclpy.node import Node
from usdrl_ros.action import WaitForAction


class WaitFor(py_trees.behaviour.Behaviour):
    """Running until somebody does one of some actions; failed when the time is over."""

    def __init__(self, node: Node, actions: list[str], *, within_m: float = 0.0, timeout_s: float = 60.0) -> None:
        super().__init__(f"wait for {' or '.join(actions)}")
        self._client = ActionClient(node, WaitForAction, "usdrl/wait_for_action")
        self._goal = WaitForAction.Goal(actions=actions, within_m=within_m, timeout_s=timeout_s)
        self._sent = self._result = None

    def initialise(self) -> None:
        self._sent, self._result = None, None

    def update(self) -> Status:
        if self._sent is None:
            if self._client.server_is_ready():
                self._sent = self._client.send_goal_async(self._goal)
            return Status.RUNNING
        if not self._sent.done():
            return Status.RUNNING
        if not self._sent.result().accepted:
            return Status.FAILURE
        if self._result is None:
            self._result = self._sent.result().get_result_async()
        if not self._result.done():
            return Status.RUNNING
        outcome = self._result.result().result
        self.feedback_message = outcome.message
        return Status.SUCCESS if outcome.success else Status.FAILURE

    def terminate(self, new_status: Status) -> None:
        interrupted = new_status == Status.INVALID and self._sent is not None and self._sent.done()
        if interrupted and self._sent.result().accepted and not (self._result and self._result.done()):
            self._sent.result().cancel_goal_async()


class Say(py_trees.behaviour.Behaviour):
    """Stands for what your robot does."""

    def update(self) -> Status:
        print(self.name, flush=True)
        return Status.SUCCESS


def main() -> None:
    """Run the tree once."""
    rclpy.init()
    node = rclpy.create_node("behaviour_tree")
    wave = WaitFor(node, ["wave", "beckon"], within_m=3.5, timeout_s=30.0)
    root = py_trees.composites.Sequence("greet", memory=True, children=[wave, Say("Hello!")])
    try:
        while rclpy.ok() and root.status not in (Status.SUCCESS, Status.FAILURE):
            root.tick_once()
            rclpy.spin_once(node, timeout_sec=0.1)
        print(wave.feedback_message or root.status.value)
    finally:
        root.stop(Status.INVALID)
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
