"""Every STARTED gets exactly one ENDED over DDS: stamps that stand still, noise, engines and publishers that fail."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from ros_fixtures import ROOT, Peer, Program, own_domain, perception, pose, wait_until

from usdrl_ros.actions.events import Phase
from usdrl_ros.messages import skeletons_to_message
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.skeleton.person import Person

pytestmark = pytest.mark.slow

SECOND = 10**9
STARTED, ONGOING, ENDED = Phase.STARTED, Phase.ONGOING, Phase.ENDED
NOISE = b"\0\1\0\0" + b"\xff" * 40
PARAMETERS = (
    "input_reliability:=reliable", "input_depth:=1000", "input_timeout_s:=1.0", "latency_budget_ms:=0.0",
)  # fmt: skip


class Stage:
    """A running node, and a peer that plays a person who raises a hand; the stamps continue from test to test."""

    def __init__(self, program: Program, peer: Peer) -> None:
        self.program, self.peer = program, peer
        self.now_ns = time.time_ns()

    def play(self, seconds: float, person: str) -> None:
        for _ in range(round(seconds * 30)):
            self.now_ns += SECOND // 30
            hand_m = 0.2 + 0.01 * (self.now_ns // (SECOND // 30) % 3)  # a hand is never quite still
            self.peer.publish(self.now_ns, {person: pose(right_hand_m=hand_m)})
            time.sleep(0.005)

    def start(self, person: str) -> None:
        """Until the node has published STARTED of a person."""
        wait_until(
            lambda: self.play(0.1, person) or STARTED in self.phases(person), what=f"STARTED; {self.program.log}"
        )

    def phases(self, person: str) -> list[Phase]:
        return [event.phase for event in self.peer.events if event.person_id == person]

    def repeat_until(self, condition, publish, timeout_s: float = 30.0) -> None:
        """Call `publish` 30 times a second until a condition holds."""
        until = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < until, f"waited in vain; log:\n{self.program.log}"
            publish()
            time.sleep(1 / 30)

    def problems(self) -> dict[str, int]:
        values = self.peer.diagnostics()
        return {key[8:]: int(value) for key, value in values.items() if key.startswith("problem.")}


def check_phases(peer: Peer) -> dict[str, list[Phase]]:
    """Of each event: STARTED, ONGOING or nothing, ENDED; gives them by event id."""
    phases = defaultdict(list)
    for event in peer.events:
        phases[event.event_id].append(event.phase)
    for event_id, heard in phases.items():
        assert heard[0] == STARTED, event_id
        assert heard[-1] == ENDED, event_id
        assert set(heard[1:-1]) <= {ONGOING}, event_id
    return phases


@pytest.fixture(scope="module")
def stage(model):
    """A node that all tests of this fixture share; at its end everything that it started has ended."""
    with own_domain() as domain, perception(f"model:={model}", *PARAMETERS) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        stage = Stage(program, peer)
        yield stage
        stage.start("last")
        assert program.end() == 0
        wait_until(lambda: ENDED in stage.phases("last"), what="ENDED at the end")
        check_phases(peer)
        assert "Traceback" not in program.log
        assert "internal_error" not in program.log


def test_stamps_that_stand_still_end_what_runs(stage):
    stage.start("frozen")
    stage.repeat_until(
        lambda: ENDED in stage.phases("frozen"),
        lambda: stage.peer.publish(stage.now_ns, {"frozen": pose(right_hand_m=0.2)}),
    )
    stage.program.wait_for_log("messages come on /skeletons, but no newer stamp for 1.0 s: ended 1 actions")
    stage.repeat_until(
        lambda: "with a newer stamp for" in stage.peer.diagnostics().get("message", ""),
        lambda: stage.peer.publish(stage.now_ns, {"frozen": pose(right_hand_m=0.2)}),
    )
    assert stage.peer.diagnostics()["level"] in ("1", "3")
    assert stage.phases("frozen").count(STARTED) == 1  # it does not start again and again
    stage.start("moving_again")


def test_stamps_that_are_late_for_long_end_what_runs(stage):
    stage.start("late")
    stage.repeat_until(
        lambda: ENDED in stage.phases("late"),
        lambda: stage.peer.publish(stage.now_ns - SECOND // 2, {"late": pose(right_hand_m=0.2)}),
    )


def test_messages_without_people_and_a_stamp_that_stands_still_end_what_runs(stage):
    stage.start("left")
    stage.repeat_until(lambda: ENDED in stage.phases("left"), lambda: stage.peer.publish(stage.now_ns, {}))


def test_noise_alone_is_no_input(stage):
    stage.start("noise")
    stage.repeat_until(lambda: ENDED in stage.phases("noise"), lambda: stage.peer.skeletons.publish(NOISE))
    wait_until(lambda: "malformed" in stage.problems(), what="diagnostics")


@pytest.mark.parametrize(
    "payload",
    [b"\1", b"\0\0", b"\0\1\0", b"\0\1\0\0", b"\0\0\0\0", b"\0\0\0\0" + b"\xff" * 40, b"\xff" * 100],
    ids=["1 byte", "2 bytes", "3 bytes", "header only", "big endian, empty", "big endian, noise", "noise"],
)
def test_foreign_bytes_are_malformed_input(stage, payload):
    stage.play(0.1, "good")
    wait_until(lambda: "messages" in stage.peer.diagnostics(), what="diagnostics")
    time.sleep(1.2)
    before = stage.problems().get("malformed", 0)
    for _ in range(3):
        stage.peer.skeletons.publish(payload)
    wait_until(lambda: stage.problems().get("malformed", 0) == before + 3, what="three malformed messages")
    assert "internal_error" not in stage.problems()


def test_an_empty_payload_does_not_deafen_the_node(stage):
    stage.start("before_empty")
    time.sleep(0.2)
    before = len(stage.peer.events)
    stage.peer.skeletons.publish(b"")
    stage.repeat_until(lambda: STARTED in stage.phases("after_empty"), lambda: stage.play(1 / 30, "after_empty"), 60.0)
    stage.program.wait_for_log("deaf: the subscription of /skeletons had heard nothing")
    assert len(stage.peer.events) > before


def test_control_characters_of_ids_do_not_reach_the_terminal(stage):
    odd = "\x1b[2J\x1b[31mX\nfake log line"
    stage.now_ns += SECOND // 30
    message = skeletons_to_message(message_types(), stage.now_ns, "c", "ntu_25", [Person(odd, "ntu_25", pose()[:20])])
    stage.repeat_until(lambda: r"\x1b[2J" in stage.program.log, lambda: stage.peer.skeletons.publish(message))
    assert "\x1b[2J" not in stage.program.log
    assert "\nfake log line" not in stage.program.log


def test_messages_of_any_size_cost_bounded_memory(domain, model):
    """10,000 people in a message, layouts of a megabyte: dropped at the door and counted; recognition continues."""
    with perception(f"model:={model}", *PARAMETERS) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        stage = Stage(program, peer)

        def memory_mb() -> float:
            return int(Path(f"/proc/{program.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

        stage.start("before")
        before_mb = memory_mb()
        peer.publish(stage.now_ns, {f"crowd_{number}": pose() for number in range(10_000)})
        wait_until(lambda: "too_many_in_message" in stage.problems(), what="the crowd in the diagnostics")
        crowd_mb = memory_mb() - before_mb
        for number in range(20):
            message = skeletons_to_message(
                message_types(), stage.now_ns, "c", "ntu_25", [Person("p", "ntu_25", pose())]
            )
            message.layout = f"{number}" + "," * 1_000_000
            peer.skeletons.publish(message)
        wait_until(lambda: "too_long" in stage.problems(), what="the layouts in the diagnostics")
        layouts_mb = memory_mb() - before_mb
        print(f"10,000 people in a message: {crowd_mb:+.0f} MB; then 20 layouts of a megabyte: {layouts_mb:+.0f} MB")
        assert crowd_mb < 50
        assert layouts_mb < 80
        assert len(program.log) < 20_000
        stage.start("after")
        assert program.end() == 0


def test_noise_among_stamps_of_another_clock_moves_no_clock(domain, model):
    with perception(f"model:={model}", *PARAMETERS) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        stage = Stage(program, peer)
        stage.now_ns = 100 * SECOND
        stage.start("ann")
        for _ in range(20):
            stage.play(0.1, "ann")
            peer.skeletons.publish(NOISE)
        wait_until(lambda: stage.problems().get("malformed") == 20, what="the noise in the diagnostics")
        assert "clock_jump" not in stage.problems()
        assert stage.phases("ann").count(STARTED) == 1
        assert ENDED not in stage.phases("ann")
        assert program.end() == 0
        wait_until(lambda: ENDED in stage.phases("ann"), what="ENDED")


# A node whose engine or publisher fails while a file exists.
FAULTS = {
    "engine": """
import usdrl_ros.nodes.session as session
load = session.load_engine
def load_failing(*args, **kwargs):
    engine = load(*args, **kwargs)
    infer = engine.infer
    def failing(skeletons):
        if fault(): raise RuntimeError("device lost")
        return infer(skeletons)
    engine.infer = failing
    return engine
session.load_engine = load_failing
""",
    "events": """
import usdrl_ros.nodes.outputs as outputs
convert = outputs.event_to_message
def failing(types, event):
    if fault(): raise RuntimeError("cannot publish")
    return convert(types, event)
outputs.event_to_message = failing
""",
    "status": """
import usdrl_ros.nodes.statistics as statistics
values = statistics.Statistics.values
def failing(self):
    if fault(): raise RuntimeError("cannot compute")
    return values(self)
statistics.Statistics.values = failing
""",
}
MAIN = """
import os, sys
def fault(): return os.path.exists(os.environ["FAULT"])
{patch}
from usdrl_ros.nodes.perception import main
sys.exit(main())
"""


@contextmanager
def faulty(kind: str, model, tmp_path, monkeypatch):
    """A stage whose node fails while `fault` exists."""
    fault = tmp_path / "fault"
    (tmp_path / "faulty_perception.py").write_text(MAIN.format(patch=FAULTS[kind]))
    monkeypatch.setenv("FAULT", str(fault))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    arguments = [word for parameter in (f"model:={model}", *PARAMETERS) for word in ("-p", parameter)]
    with (
        own_domain() as domain,
        Program("faulty_perception", "--ros-args", *arguments) as program,
        Peer(domain) as peer,
    ):
        peer.wait_for_perception()
        yield Stage(program, peer), fault
        assert program.end() == 0
        time.sleep(0.3)
        check_phases(peer)


def test_an_engine_that_fails_for_good_ends_what_runs(model, tmp_path, monkeypatch):
    with faulty("engine", model, tmp_path, monkeypatch) as (stage, fault):
        stage.start("ann")
        fault.touch()
        stage.repeat_until(lambda: ENDED in stage.phases("ann"), lambda: stage.play(1 / 30, "ann"))
        wait_until(lambda: "steps_fail" in stage.problems(), what="diagnostics")
        assert stage.peer.diagnostics()["level"] == "2"
        fault.unlink()
        stage.start("bob")


def test_an_engine_that_fails_when_somebody_leaves_ends_their_actions(model, tmp_path, monkeypatch):
    with faulty("engine", model, tmp_path, monkeypatch) as (stage, fault):
        stage.start("ann")
        stage.play(0.5, "bob")
        fault.touch()
        stage.play(0.8, "bob")  # ann is lost while every step fails
        fault.unlink()
        stage.repeat_until(lambda: ENDED in stage.phases("ann"), lambda: stage.play(1 / 30, "bob"))


def test_events_that_could_not_be_published_come_later(model, tmp_path, monkeypatch):
    with faulty("events", model, tmp_path, monkeypatch) as (stage, fault):
        stage.play(0.3, "ann")
        fault.touch()
        stage.repeat_until(lambda: "internal_error" in stage.program.log, lambda: stage.play(1 / 30, "ann"))
        fault.unlink()
        stage.start("ann")  # STARTED, late
        fault.touch()
        stage.repeat_until(
            lambda: stage.peer.diagnostics().get("people") == "0", lambda: stage.peer.publish(stage.now_ns, {})
        )
        assert ENDED not in stage.phases("ann")
        fault.unlink()
        wait_until(lambda: ENDED in stage.phases("ann"), what="ENDED, late")


def test_a_status_that_fails_is_an_error_and_nothing_else(model, tmp_path, monkeypatch):
    with faulty("status", model, tmp_path, monkeypatch) as (stage, fault):
        fault.touch()
        stage.start("ann")
        wait_until(lambda: stage.peer.diagnostics().get("level") == "2", what="ERROR")
        assert "internal_error: RuntimeError: cannot compute" in stage.peer.diagnostics()["message"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_signals_end_what_runs(domain, model, number):
    with perception(f"model:={model}", *PARAMETERS) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        stage = Stage(program, peer)
        stage.start("ann")
        assert program.end(number) == 0
        wait_until(lambda: ENDED in stage.phases("ann"), what="ENDED")
        check_phases(peer)


def test_event_ids_are_unique_over_cycles_and_nodes(domain, model):
    with perception(f"model:={model}", *PARAMETERS) as program, Peer(domain) as peer:
        peer.wait_for_perception()
        stage = Stage(program, peer)
        for _ in range(3):
            peer.heard["usdrl/vocabulary"].clear()
            stage.repeat_until(
                lambda: stage.phases("ann")[-1:] in ([STARTED], [ONGOING]), lambda: stage.play(1 / 30, "ann")
            )
            for transition in ("deactivate", "cleanup", "configure", "activate"):
                assert peer.change_state(transition)
            wait_until(lambda: peer.heard["usdrl/vocabulary"] and peer.skeletons.get_subscription_count())
        assert len(check_phases(peer)) == 3

        with perception(f"model:={model}", *PARAMETERS) as namesake:
            namesake.wait_for_log("watching")
            time.sleep(2.0)  # each looks once a second
            assert "name_taken" not in program.log + namesake.log  # DDS keeps one that was killed for a while
            for each in (program, namesake):
                each.wait_for_log("name_taken: 2 nodes are called /perception, and all publish their events")
            peer.heard["usdrl/actions"].clear()
            wait_until(lambda: stage.play(0.1, "bob") or stage.phases("bob").count(STARTED) == 2, what="both")
            assert namesake.end() == 0
        assert program.end() == 0
        time.sleep(0.3)
        assert len(check_phases(peer)) == 2
