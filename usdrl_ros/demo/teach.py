"""See it learn: an actor teaches the running node a gesture that the model has no word for, and shows it again.

    make demo TEACH=1

One process plays the actor and prints what the robot says; the perception node is the real one, over DDS, with a
gallery of its own that is thrown away afterwards.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console

from usdrl_ros.demo.actor import play

GESTURE = "arm_circles"
RATE_HZ = 15.0
SEED, LATER_SEED = 4, 6
"""Of the actor who teaches, and of another one who shows it later."""
EXAMPLES = 3


def main() -> int:
    """Run the demo; returns the exit code."""
    try:
        import rclpy
        from rclpy.action import ActionClient
        from rclpy.executors import SingleThreadedExecutor

        from usdrl_ros.action import Teach
        from usdrl_ros.msg import ActionEvent, SkeletonArray
    except ImportError as error:
        print(f"demo: ROS 2 or the built package is missing ({error}): run `make demo TEACH=1`", file=sys.stderr)
        return 1
    from usdrl_ros.messages import skeletons_to_message
    from usdrl_ros.nodes.conversion import message_types
    from usdrl_ros.skeleton.person import Person

    console = Console()
    with tempfile.TemporaryDirectory() as gallery:
        arguments = ["--ros-args", "-p", f"gallery:={gallery}", "-r", "__node:=taught_perception"]
        robot = subprocess.Popen([sys.executable, "-m", "usdrl_ros.nodes.perception", *arguments],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        rclpy.init()
        node = rclpy.create_node("actor")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        heard: list[tuple[str, float, float]] = []

        def hear(message: ActionEvent) -> None:
            if message.phase == ActionEvent.STARTED:
                console.print(f"   robot: [green]{message.person_id} does {message.action}[/green]")
            elif message.phase == ActionEvent.ENDED:
                heard.append((message.action, message.confidence, time.monotonic()))

        node.create_subscription(ActionEvent, "usdrl/actions", hear, 50)
        publisher = node.create_publisher(SkeletonArray, "skeletons", 50)
        client = ActionClient(node, Teach, "usdrl/teach")
        stamp_ns = time.time_ns()

        def act(person: str, script: list[str], seed: int, until: Callable[[], bool] = lambda: False) -> None:
            nonlocal stamp_ns
            recording = play(script, seed=seed, idle_s=(0.95, 1.0), rate_hz=RATE_HZ)
            rest = np.repeat(recording.joints["person_1"][-1:], round(1.5 * RATE_HZ), 0)
            for joints in np.concatenate([recording.joints["person_1"], rest]):
                began = time.monotonic()
                stamp_ns += round(1e9 / RATE_HZ)
                people = [Person(person, recording.layout, joints)]
                publisher.publish(skeletons_to_message(message_types(), stamp_ns, "camera", recording.layout, people))
                while time.monotonic() - began < 1.0 / RATE_HZ:
                    executor.spin_once(timeout_sec=max(0.0, 1.0 / RATE_HZ - (time.monotonic() - began)))
                if until():
                    return

        try:
            console.print("starting the perception node")
            if not client.wait_for_server(timeout_sec=60.0):
                print("demo: the perception node did not start", file=sys.stderr)
                return 1
            console.print("\n[bold]1.[/bold] alice draws circles with her arms; the robot has no word for it")
            act("alice", [GESTURE], SEED)
            console.print(f"\n[bold]2.[/bold] alice teaches it: {EXAMPLES} examples of '{GESTURE}'")
            sent = client.send_goal_async(
                Teach.Goal(name=GESTURE, examples=EXAMPLES, person_id="alice"),
                feedback_callback=lambda m: console.print(f"   robot: [yellow]{m.feedback.text}[/yellow]"),
            )
            executor.spin_until_future_complete(sent, timeout_sec=10.0)
            result = sent.result().get_result_async()
            act("alice", [GESTURE] * (3 * EXAMPLES), SEED, until=result.done)
            executor.spin_until_future_complete(result, timeout_sec=30.0)
            outcome = result.result().result if result.done() else None
            console.print(f"   robot: [bold]{outcome.message if outcome else 'no answer'}[/bold]")
            if outcome is None or not outcome.success:
                return 1
            console.print("\n[bold]3.[/bold] bob, whom the robot has never seen, waves, draws circles and claps")
            heard.clear()
            act("bob", ["wave", GESTURE, "clap"], LATER_SEED)
            act("bob", ["clap"], LATER_SEED)
            named = [action for action, _, _ in heard]
            found = GESTURE in named
            console.print(f"\nrecognised: {', '.join(named) or 'nothing'}")
            return 0 if found else 1
        except KeyboardInterrupt:
            return 0
        finally:
            robot.terminate()
            robot.wait(timeout=30.0)
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
