"""The node over DDS: an actor teaches it a gesture and is recognised; choosing, asking and waiting."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ros_fixtures import LEFT, RIGHT, Peer, Program, perception, pose, wait_until

from usdrl_ros.actions.events import Phase
from usdrl_ros.demo.actor import play

pytest.importorskip("usdrl_ros.action", reason="the actions are not built: run `make test`", exc_type=ImportError)

from rclpy.action import ActionClient
from usdrl_ros.action import Teach, WaitForAction
from usdrl_ros.srv import GetActions, ManageGallery, Reset, SetActions

pytestmark = pytest.mark.slow
NAME = "arm_circles"
RATE_HZ = 15.0


class Player:
    """Publishes played skeletons in real time, on a clock that runs on from one recording to the next."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.stamp_ns = time.time_ns()

    def play(self, script: list[str], seed: int, until=lambda: False) -> None:
        recording = play(script, seed=seed, idle_s=(0.95, 1.0), rate_hz=RATE_HZ)
        for joints in recording.joints["person_1"]:
            if until():
                return
            self.stamp_ns += round(1e9 / RATE_HZ)
            self._peer.publish(self.stamp_ns, {"alice": joints})
            time.sleep(1.0 / RATE_HZ)


def send(peer: Peer, client: ActionClient, goal, feedback=None):
    """The handle of a goal and the future of its result."""
    assert client.wait_for_server(20.0)
    sent = client.send_goal_async(goal, feedback_callback=feedback)
    wait_until(sent.done, what="the goal")
    return sent.result(), sent.result().get_result_async() if sent.result().accepted else None


def test_an_actor_teaches_a_gesture_and_is_recognised(domain: int, tmp_path: Path) -> None:
    """Shown three times, learned within seconds, and recognised ten seconds later beside the built-in actions."""
    gallery = tmp_path / "gallery"
    with perception(f"gallery:={gallery}") as node, Peer(domain) as peer:
        peer.wait_for_perception()
        assert NAME not in peer.heard["usdrl/vocabulary"][-1].actions
        said: list[Teach.Feedback] = []
        client = ActionClient(peer.node, Teach, "usdrl/teach")
        goal = Teach.Goal(name=NAME, examples=3)
        handle, result = send(peer, client, goal, lambda message: said.append(message.feedback))
        assert handle.accepted
        second, _ = send(peer, client, Teach.Goal(name="other"))
        assert not second.accepted  # one lesson at a time
        player = Player(peer)
        player.play([NAME] * 8, seed=4, until=result.done)
        wait_until(result.done, 30.0, "the lesson")
        outcome = result.result().result
        assert outcome.success, outcome.message
        assert outcome.examples == 3
        assert [one.state for one in said].count(Teach.Feedback.TAKEN) == 3
        assert "act now" in " ".join(one.text for one in said)
        wait_until(lambda: NAME in peer.heard["usdrl/vocabulary"][-1].actions, what="the vocabulary")
        assert [path.name for path in gallery.iterdir()] == [f"{NAME}.npz"]
        player.play([NAME], seed=4)
        player.play(["clap"], seed=7, until=lambda: any(e.action == NAME for e in peer.events))
        wait_until(lambda: any(e.action == NAME and e.phase == Phase.STARTED for e in peer.events), 20.0, NAME)
        wait_until(lambda: NAME in peer.diagnostics().get("taught actions", ""), what="diagnostics")
        assert node.end() == 0


def test_lessons_end_with_the_reason(domain: int, tmp_path: Path) -> None:
    with perception(f"gallery:={tmp_path}") as _, Peer(domain) as peer:
        peer.wait_for_perception()
        client = ActionClient(peer.node, Teach, "usdrl/teach")
        for goal, why in (
            (Teach.Goal(name="wave"), "is an action of the model"),
            (Teach.Goal(name="a b"), "cannot be the name"),
            (Teach.Goal(name="quick", timeout_s=1.0), "nobody was seen"),
        ):
            _, result = send(peer, client, goal)
            wait_until(result.done, 20.0, "the result")
            assert not result.result().result.success
            assert why in result.result().result.message
        handle, result = send(peer, client, Teach.Goal(name="cancelled"))
        handle.cancel_goal_async()
        wait_until(result.done, 20.0, "the cancelled result")
        _, result = send(peer, client, Teach.Goal(name="crowd"))
        peer.publish(10**9, {"a": pose(), "b": pose() + np.array([0.3, 0.0, 0.1])})
        wait_until(result.done, 20.0, "the result")
        assert "equally near" in result.result().result.message


def test_choosing_asking_waiting_and_resetting(domain: int, model: Path, tmp_path: Path) -> None:
    with perception(f"model:={model}", "thresholds:=['raise_left_hand=0.9']") as _, Peer(domain) as peer:
        peer.wait_for_perception()
        client = ActionClient(peer.node, WaitForAction, "usdrl/wait_for_action")
        _, result = send(peer, client, WaitForAction.Goal(actions=[RIGHT], within_m=3.0, timeout_s=30.0))
        _, far = send(peer, client, WaitForAction.Goal(actions=[RIGHT], within_m=1.0, timeout_s=4.0))
        stop = threading.Event()
        clock = iter(range(1, 10**6))

        def stand() -> None:
            while not stop.is_set():
                peer.publish(10**9 + next(clock) * 66_000_000, {"alice": pose(right_hand_m=0.3)})
                time.sleep(0.066)

        publisher = threading.Thread(target=stand)
        publisher.start()
        try:
            wait_until(result.done, 20.0, "the action")
            assert result.result().result.success
            event = result.result().result.event
            assert (event.action, event.person_id) == (RIGHT, "alice")
            now = peer.call(GetActions, "usdrl/get_actions", GetActions.Request()).events
            assert [one.action for one in now] == [RIGHT]
            assert now[0].confidence > 0.9
            assert not peer.call(GetActions, "usdrl/get_actions", GetActions.Request(person_id="bob")).events
            wait_until(far.done, 20.0, "the timeout")
            assert "nobody did it in time" in far.result().result.message
            _, again = send(peer, client, WaitForAction.Goal(running=True, timeout_s=10.0))
            wait_until(again.done, 20.0, "what runs")
            assert again.result().result.success

            chosen = peer.call(SetActions, "usdrl/set_actions", SetActions.Request(disable=[RIGHT]))
            assert (chosen.success, list(chosen.actions)) == (True, [LEFT])
            wait_until(lambda: list(peer.heard["usdrl/vocabulary"][-1].actions) == [LEFT], what="the vocabulary")
            wait_until(lambda: peer.events[-1].phase == Phase.ENDED, what="the end of what is not in use")
            ended = peer.call(GetActions, "usdrl/get_actions", GetActions.Request(last_s=60.0)).events
            assert [(one.action, one.phase) for one in ended] == [(RIGHT, Phase.ENDED)]
            refused = peer.call(SetActions, "usdrl/set_actions", SetActions.Request(disable=["salute"]))
            assert not refused.success
            assert "no action 'salute'" in refused.message
            count = len(peer.events)
            peer.call(SetActions, "usdrl/set_actions", SetActions.Request(all=True))
            wait_until(lambda: len(peer.events) > count, what="the action in use again")
            assert peer.events[-1].action == RIGHT
            assert peer.call(Reset, "usdrl/reset", Reset.Request()).ended == 1
            assert peer.set_parameter("action_names", ["raise_right_hand=hello"]) is None
            wait_until(lambda: peer.events[-1].action == "hello", what="the new name")
            assert "expected a number" in peer.set_parameter("thresholds", ["wave=often"])
        finally:
            stop.set()
            publisher.join()
        _, result = send(peer, client, WaitForAction.Goal(actions=["salute"]))
        wait_until(result.done, what="the refusal")
        assert "salute is not in use" in result.result().result.message


def test_the_gallery_is_managed_over_a_service(domain: int, tmp_path: Path) -> None:
    from usdrl_ros.nodes.teach import main

    gallery = tmp_path / "gallery"
    with perception(f"gallery:={gallery}") as _, Peer(domain) as peer:
        peer.wait_for_perception()

        def manage(**fields) -> ManageGallery.Response:
            return peer.call(ManageGallery, "usdrl/manage_gallery", ManageGallery.Request(**fields))

        assert list(manage().names) == []
        refused = manage(command=ManageGallery.Request.DELETE, name="wink")
        assert not refused.success
        assert "holds no action 'wink'" in refused.message
        teach_from_bag(tmp_path, tmp_path / "other")
        other = tmp_path / "other" / f"{NAME}.npz"
        imported = manage(command=ManageGallery.Request.IMPORT, target=str(other), name="circles")
        assert imported.success, imported.message
        assert list(imported.names) == ["circles"]
        assert json.loads(imported.metadata[0])["examples"] == 3
        wait_until(lambda: "circles" in peer.heard["usdrl/vocabulary"][-1].actions, what="the vocabulary")
        renamed = manage(command=ManageGallery.Request.RENAME, name="circles", target="windmill")
        assert list(renamed.names) == ["windmill"]
        assert manage(command=ManageGallery.Request.EXPORT, name="windmill", target=str(tmp_path)).success
        assert (tmp_path / "windmill.npz").is_file()
        assert main(["--list", "--gallery", str(gallery)]) == 0
        assert list(manage(command=ManageGallery.Request.DELETE, name="windmill").names) == []
        wait_until(lambda: "windmill" not in peer.heard["usdrl/vocabulary"][-1].actions, what="the vocabulary")


def teach_from_bag(directory: Path, gallery: Path) -> None:
    """Teach from a recorded bag with labels, on the command line."""
    from usdrl_ros.bags.writer import write_recording

    recording = play([NAME] * 3, seed=100, idle_s=(1.5, 3.0), rate_hz=RATE_HZ)
    write_recording(recording, directory / "bag")
    labels = directory / "marks.csv"
    rows = [f"{s.start:.3f},{s.end:.3f},{NAME}" for s in recording.segments]
    labels.write_text("start,end,action\n" + "\n".join(rows) + "\n", encoding="utf-8")
    arguments = [NAME, "--bag", str(directory / "bag"), "--labels", str(labels), "--gallery", str(gallery)]
    with Program("usdrl_ros.nodes.teach", *arguments) as program:
        assert program.wait() == 0, program.log
