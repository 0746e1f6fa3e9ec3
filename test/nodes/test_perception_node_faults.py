"""What happens around a robot's node over DDS: floods, deaths, jumps, cycles, slow listeners. The results are printed.

python -m pytest test/nodes/test_perception_node_faults.py -s                     a minute
USDRL_ENDURANCE=1 python -m pytest test/nodes/test_perception_node_faults.py -s   and an hour of a bag at 10x
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros_fixtures import ROOT, Peer, Program, perception, pose, wait_until
from rosgraph_msgs.msg import Clock
from usdrl_ros.msg import ActionScores

from usdrl_ros.actions.events import Phase
from usdrl_ros.bags.writer import write_recording
from usdrl_ros.messages import ns_to_time, skeletons_to_message
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.person import Person

pytestmark = pytest.mark.slow

SECOND = 10**9
RELIABLE = ("input_reliability:=reliable", "input_depth:=1000")

# A pose estimator in a process of its own, to be killed; its arguments: who, and how high their hand is.
PUBLISHER = """
import sys, time
import rclpy
from ros_fixtures import pose
from usdrl_ros.messages import skeletons_to_message
from usdrl_ros.msg import SkeletonArray
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.skeleton.person import Person
rclpy.init()
node = rclpy.create_node("tracker")
publisher = node.create_publisher(SkeletonArray, "skeletons", 10)
while True:
    people = [Person(sys.argv[1], "ntu_25", pose(right_hand_m=float(sys.argv[2])), None)]
    publisher.publish(skeletons_to_message(message_types(), time.time_ns(), "camera", "ntu_25", people))
    time.sleep(1 / 30)
"""


def usage(pid: int) -> dict[str, float]:
    """Resident memory in MB, threads, and CPU seconds of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    times = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    cpu_s = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return {"MB": int(status["VmRSS"].split()[0]) / 1024, "threads": int(status["Threads"]), "cpu_s": cpu_s}


def problems(peer: Peer) -> dict[str, int]:
    return {
        key.removeprefix("problem."): int(value)
        for key, value in peer.diagnostics().items()
        if key.startswith("problem.")
    }


@contextmanager
def tracker(person: str, hand_m: float) -> Iterator[subprocess.Popen]:
    """A pose estimator, which is killed at the end."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'test'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen([sys.executable, "-c", PUBLISHER, person, str(hand_m)], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def phases(peer: Peer, person: str) -> list[Phase]:
    return [event.phase for event in peer.events if event.person_id == person]


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_a_thousand_messages_a_second(domain, model, reliability):
    """Stamps in real time at 1 kHz, one person: what is taken in, and what it costs."""
    seconds = 5.0
    parameters = (f"model:={model}", "latency_budget_ms:=0.0", f"input_reliability:={reliability}")
    with perception(*parameters) as node, Peer(domain) as peer:
        peer.wait_for_perception()
        people = [Person("ann", "ntu_25", pose(right_hand_m=0.2), None)]
        message = skeletons_to_message(message_types(), 0, "camera", "ntu_25", people)
        before, began, sent = usage(node.pid), time.monotonic(), 0
        while (now := time.monotonic()) - began < seconds:
            for _ in range(round((now - began) * 1000) - sent):
                message.header.stamp = ns_to_time(message_types(), time.time_ns())
                peer.skeletons.publish(message)
                sent += 1
            time.sleep(0.001)
        last_ns = time.time_ns()
        wait_until(lambda: peer.scored("ann", last_ns - SECOND // 2), what="scores of the end")
        time.sleep(1.5)
        after, status = usage(node.pid), peer.diagnostics()
        taken = int(status["messages"]) / sent
        cpu = (after["cpu_s"] - before["cpu_s"]) / seconds
        print(
            f"\n1 kHz, {reliability}: {sent} sent, {taken:.0%} taken, {status.get('dropped', 0)} reported as dropped, "
            f"{cpu:.2f} CPU cores, latency p99 {status['latency ms p99']} ms, {after['MB'] - before['MB']:+.1f} MB, "
            f"problems {problems(peer)}"
        )
        assert Phase.STARTED in phases(peer, "ann")
        assert after["MB"] - before["MB"] < 50
        assert set(problems(peer)) <= {"step_left_out", "late_stamp", "repeated_stamp", "dropped"}
        assert int(status["messages"]) + int(status.get("dropped", 0)) <= sent
        assert node.end() == 0


def test_a_publisher_that_dies_and_comes_back(domain, model):
    with perception(f"model:={model}", "input_timeout_s:=1.0") as node, Peer(domain, skeletons=False) as peer:
        peer.wait_for_perception()
        for count in (1, 2):
            with tracker("ann", 0.2):
                wait_until(lambda count=count: phases(peer, "ann").count(Phase.STARTED) == count, what="STARTED")
            died = time.monotonic()
            wait_until(lambda count=count: phases(peer, "ann").count(Phase.ENDED) == count, what="ENDED")
            ended_s = time.monotonic() - died
            wait_until(lambda: peer.diagnostics().get("level") == "3", what="STALE")
        print(f"\npublisher killed: ENDED {ended_s:.1f} s later (input_timeout_s 1.0), STALE, STARTED again")
        assert len({event.event_id for event in peer.events}) == 2
        assert not set(problems(peer)) - {"step_left_out", "over_budget", "dropped"}
        assert node.end() == 0


def test_two_publishers_at_once(domain, model):
    """Two trackers on one topic: of different people both are followed; of one person the later stamps win."""
    with perception(f"model:={model}", "latency_budget_ms:=0.0") as node, Peer(domain, skeletons=False) as peer:
        peer.wait_for_perception()
        with tracker("ann", 0.2), tracker("bob", 0.2):
            wait_until(lambda: {e.person_id for e in peer.events} == {"ann", "bob"}, what="events of both")
            assert not set(problems(peer)) - {"step_left_out", "dropped"}
            with tracker("ann", -0.4):
                time.sleep(4.0)
        print(f"\ntwo trackers of one person, 4 s: problems {problems(peer)}")
        assert set(problems(peer)) <= {"late_stamp", "repeated_stamp", "step_left_out", "dropped"}
        assert node.end() == 0
        assert "Traceback" not in node.log


def test_clocks_that_jump(domain, model):
    """The stamps jump back and ahead; under use_sim_time /clock jumps as well, as a bag in a loop makes it."""
    parameters = (f"model:={model}", "use_sim_time:=true", "latency_budget_ms:=0.0", *RELIABLE)
    with perception(*parameters) as node, Peer(domain) as peer:
        clock = peer.node.create_publisher(Clock, "/clock", 10)
        peer.wait_for_perception()
        starts = (100 * SECOND, 20 * SECOND, 3600 * SECOND, 20 * SECOND)
        for count, first_ns in enumerate(starts, 1):
            for i in range(60):
                now_ns = first_ns + i * SECOND // 30
                clock.publish(Clock(clock=ns_to_time(message_types(), now_ns)))
                peer.publish(now_ns, {"ann": pose(right_hand_m=0.2)})
                time.sleep(0.005)
            wait_until(lambda count=count: phases(peer, "ann").count(Phase.STARTED) == count, what=f"STARTED {count}")
        wait_until(lambda: problems(peer).get("clock_jump") == 2, what="both jumps back in the diagnostics")
        events = peer.events
        print(f"\nclock 100 s -> 20 s -> 1 h -> 20 s: {len(starts)} STARTED, problems {problems(peer)}")
        for event in events:
            assert event.start_ns <= event.end_ns
        assert len({event.event_id for event in events}) == len(starts)
        assert phases(peer, "ann").count(Phase.ENDED) == len(starts) - 1
        assert node.end() == 0


def test_fifty_cycles_leave_nothing_behind(domain, model):
    cycles = 50
    with perception("autostart:=false", f"model:={model}", *RELIABLE) as node, Peer(domain) as peer:
        used = []
        for cycle in range(cycles):
            for transition in ("configure", "activate"):
                assert peer.change_state(transition)
            if cycle % 10 == 0:  # with work in it
                wait_until(lambda: peer.skeletons.get_subscription_count(), what="the subscription")
                for i in range(30):
                    peer.publish(time.time_ns() + i * SECOND // 30, {"ann": pose(right_hand_m=0.2)})
            for transition in ("deactivate", "cleanup"):
                assert peer.change_state(transition)
            used.append(usage(node.pid))
        settled, last = used[cycles // 5], used[-1]
        # From one cycle to the next memory goes up and down by some MB, so spells of ten are compared.
        growth_mb = min(one["MB"] for one in used[-10:]) - min(one["MB"] for one in used[10:20])
        print(
            f"\n{cycles} cycles: {settled['MB']:.1f} MB after {cycles // 5}, {last['MB']:.1f} MB at the end "
            f"(least of ten cycles: {growth_mb:+.1f} MB in {cycles - 20}); threads {settled['threads']:.0f}, "
            f"{last['threads']:.0f}"
        )
        assert growth_mb < 8
        assert last["threads"] <= settled["threads"]
        assert node.end() == 0


def test_a_subscriber_slower_than_the_node(domain, model):
    """One that takes half a second for each message of the scores, reliable: the node does not wait for it."""
    with perception(f"model:={model}", "latency_budget_ms:=0.0", *RELIABLE) as node, Peer(domain) as peer:
        with Peer(domain, skeletons=False) as slow:
            got = []

            def take(message):
                got.append(message)
                time.sleep(0.5)

            slow.node.create_subscription(ActionScores, "usdrl/scores", take, QoSProfile(depth=1))
            peer.wait_for_perception()
            began_ns = time.time_ns()
            for _ in range(150):  # in real time
                peer.publish(time.time_ns(), {"ann": pose(right_hand_m=0.2)})
                time.sleep(1 / 30)
            wait_until(lambda: peer.scored("ann", began_ns + 4 * SECOND), what="scores for who listens")
            scores = len(peer.heard["usdrl/scores"])
            status = peer.diagnostics()
            print(
                f"\nslow subscriber: it took {len(got)}, the other {scores} scores in 5 s; step p99 "
                f"{status['step ms p99']} ms, problems {problems(peer)}"
            )
            assert scores > 35
            assert len(got) < scores / 2
        assert node.end() == 0


@pytest.mark.skipif("USDRL_ENDURANCE" not in os.environ, reason="takes six minutes: USDRL_ENDURANCE=1")
def test_an_hour_at_ten_times_its_speed(domain, model, tmp_path):
    """An hour of two people at 15 Hz, replayed at 10x: memory and threads do not grow."""
    seconds, rate_hz = 3600.0, 15.0
    stamps = 1.0 + np.arange(round(seconds * rate_hz)) / rate_hz
    poses = {up: pose(right_hand_m=0.2 if up else -0.4) for up in (False, True)}
    joints = {
        person: np.stack([poses[(t + shift) % 10.0 < 3.0] for t in stamps]).astype(np.float32)
        for person, shift in (("ann", 0.0), ("bob", 5.0))
    }
    write_recording(Recording("hour", "ntu_25", stamps, joints, ()), tmp_path / "hour")
    parameters = (f"model:={model}", "use_sim_time:=true", "latency_budget_ms:=0.0", *RELIABLE)
    with perception(*parameters) as node, Peer(domain, skeletons=False) as peer:
        peer.wait_for_perception()
        used: list[dict[str, float]] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(10.0):
                used.append(usage(node.pid))
                for topic in ("usdrl/scores", "/diagnostics"):  # so that this process does not grow either
                    del peer.heard[topic][:-5], peer.at[topic][:-5]

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        try:
            with Program("usdrl_ros.nodes.replay", str(tmp_path / "hour"), "--rate", "10") as program:
                assert program.wait(1200.0) == 0
        finally:
            done.set()
            watcher.join()
        took_s = time.monotonic() - began
        time.sleep(3.0)
        settled, last = used[len(used) // 5], used[-1]
        started = sum(event.phase == Phase.STARTED for event in peer.events)
        print(
            f"\n1 h at 10x in {took_s:.0f} s: {peer.diagnostics()['messages']} messages of {len(stamps)}, {started} "
            f"STARTED of {round(seconds / 10) * 2}; {settled['MB']:.1f} MB after a fifth, {last['MB']:.1f} MB at "
            f"the end, threads {settled['threads']:.0f} and {last['threads']:.0f}, {last['cpu_s'] / took_s:.2f} CPU "
            f"cores, problems {problems(peer)}"
        )
        assert last["MB"] - settled["MB"] < 10
        assert last["threads"] == settled["threads"]
        # A machine that is too slow for ten times the speed leaves steps out, and says so.
        assert started > 0.9 * seconds / 10 * 2 or {"step_left_out", "dropped"} & set(problems(peer))
        assert node.end(signal.SIGTERM) == 0
