"""Events reach the listeners as STARTED, ONGOING, ENDED whatever fails: a publisher at times, an engine, the input."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from hypothesis import given
from hypothesis import strategies as st

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.nodes.delivery import MAX_WAITING, Delivery
from usdrl_ros.nodes.hearing import Hearing
from usdrl_ros.nodes.stamps import StampWatch
from usdrl_ros.nodes.worker import End, Worker
from usdrl_ros.recognizer import Step

STARTED, ONGOING, ENDED = Phase.STARTED, Phase.ONGOING, Phase.ENDED
SECOND = 10**9


def event(phase: Phase, number: int = 1) -> Event:
    return Event(5, "camera", phase, f"ann/wave/{number}", "ann", "wave", 0.5, 1, 2, (0.0, 0.0, 0.0))


class Listener:
    """Takes what is published; `broken` while it is set."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Phase]] = []
        self.broken = False
        self.errors: list[Exception] = []
        self.delivery = Delivery(self.publish, self.errors.append)

    def publish(self, published: Event) -> None:
        if self.broken:
            raise RuntimeError("cannot publish")
        self.heard.append((published.event_id, published.phase))

    def phases(self, number: int = 1) -> list[Phase]:
        return [phase for event_id, phase in self.heard if event_id == f"ann/wave/{number}"]


def test_events_are_published_once_and_in_order():
    listener = Listener()
    assert listener.delivery.hand_over([event(STARTED), event(STARTED, 2), event(ONGOING)]) == 3
    assert listener.delivery.hand_over([event(ENDED), event(ENDED, 2)]) == 2
    assert listener.heard == [
        ("ann/wave/1", STARTED), ("ann/wave/2", STARTED), ("ann/wave/1", ONGOING),
        ("ann/wave/1", ENDED), ("ann/wave/2", ENDED),
    ]  # fmt: skip
    assert listener.delivery.open == 0
    assert listener.delivery.end_all() == 0


@pytest.mark.parametrize("failing", [STARTED, ONGOING, ENDED])
def test_what_could_not_be_published_is_tried_again(failing):
    listener = Listener()
    for phase in (STARTED, ONGOING, ENDED):
        listener.broken = phase == failing
        listener.delivery.hand_over([event(phase)])
        listener.broken = False
        listener.delivery.retry()
    assert listener.phases() == [STARTED, ENDED] if failing == ONGOING else [STARTED, ONGOING, ENDED]
    assert len(listener.errors) == 1


def test_what_is_open_is_ended_at_the_end():
    listener = Listener()
    listener.delivery.hand_over([event(STARTED), event(STARTED, 2), event(ENDED, 2)])
    listener.broken = True
    listener.delivery.hand_over([event(STARTED, 3)])
    listener.broken = False
    listener.delivery.end_all()
    assert listener.phases(1) == listener.phases(2) == listener.phases(3) == [STARTED, ENDED]


def test_no_event_is_published_that_listeners_have_not_heard_the_beginning_of():
    listener = Listener()
    listener.delivery.hand_over([event(ONGOING), event(ENDED), event(STARTED, 2), event(STARTED, 2)])
    assert listener.heard == [("ann/wave/2", STARTED)]


@pytest.mark.slow
def test_a_publisher_that_fails_for_good_costs_bounded_memory():
    listener = Listener()
    listener.delivery.hand_over([event(STARTED, 10_000)])
    listener.broken = True
    for number in range(10 * MAX_WAITING):
        listener.delivery.hand_over([event(STARTED, number), event(ENDED, number)])
    listener.broken = False
    assert listener.delivery.retry() == 2 * MAX_WAITING
    listener.delivery.hand_over([event(ENDED, 10_000)])
    assert listener.phases(10_000) == [STARTED, ENDED]


@given(st.lists(st.tuples(st.sampled_from(["step", "break", "repair", "retry"]), st.integers(0, 4)), max_size=60))
def test_every_started_gets_one_ended(actions):
    """Any order of steps, breaks and repairs: after the end each action that was heard of is STARTED ... ENDED."""
    listener, phases, number = Listener(), {}, 0
    for action, person in actions:
        if action == "step":
            if person not in phases:
                number += 1
                phases[person] = (number, STARTED)
            else:
                own, phase = phases[person]
                phases[person] = (own, ONGOING if phase == STARTED else ENDED)
            listener.delivery.hand_over([event(phases[person][1], phases[person][0])])
            if phases[person][1] == ENDED:
                del phases[person]
        elif action == "retry":
            listener.delivery.retry()
        else:
            listener.broken = action == "break"
    listener.broken = False
    listener.delivery.end_all()
    for each in range(1, number + 1):
        heard = listener.phases(each)
        assert heard[:1] == [STARTED]
        assert heard[-1] == ENDED
        assert set(heard[1:-1]) <= {ONGOING}


def test_stamps_move_or_stand_still():
    watch = StampWatch()
    assert [watch.moved(stamp * SECOND, 1.0) for stamp in (5, 6, 6, 5.5, 6, 7)] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert watch.moved(3 * SECOND, 1.0)  # a jump back
    watch.clear_newest()
    assert not watch.known
    assert [watch.moved(stamp * SECOND, 1.0) for stamp in (3, 3, 2.5)] == [False] * 3  # it still stands
    assert watch.moved(round(2.6 * SECOND), 1.0)  # it moves again
    assert watch.known


class Subscriptions:
    """Stands for a node: what is published reaches each subscription that is not deaf."""

    def __init__(self) -> None:
        self.callbacks: list = []
        self.deaf: list = []
        self.taken: list[str] = []
        self.reports = 0
        self.hearing = Hearing(self, self.subscribe, lambda message, _: self.taken.append(message), self.report)

    def subscribe(self, callback):
        self.callbacks.append(callback)
        return callback

    def destroy_subscription(self, callback) -> None:
        self.callbacks.remove(callback)

    def report(self) -> None:
        self.reports += 1

    def publish(self, *messages: str, newest_first: bool = False) -> None:
        for message in messages:
            for callback in list(reversed(self.callbacks) if newest_first else self.callbacks):
                if callback not in self.deaf:
                    callback(message, None)


def test_a_deaf_subscription_is_replaced():
    node = Subscriptions()
    node.publish("a")
    node.deaf = list(node.callbacks)
    node.publish("lost")
    node.hearing.probe()
    node.publish("b", "c", "d", "e")
    assert (node.taken, node.reports, len(node.callbacks)) == (["a", "b", "c", "d", "e"], 1, 1)
    node.hearing.close()
    assert node.callbacks == []


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_subscription_that_was_only_silent_stays(newest_first):
    node = Subscriptions()
    first = list(node.callbacks)
    for _ in range(3):
        node.hearing.probe()
        assert len(node.callbacks) == 2
    node.publish("a", "b", "c", newest_first=newest_first)
    assert node.callbacks == first
    assert node.reports == 0
    assert node.taken == ["a", "b", "c"]


class Recognizer:
    """Gives the steps that a test prepares: an event list, or an exception."""

    def __init__(self) -> None:
        self.steps: list = []
        self.ends: list = []

    @property
    def due(self) -> int:
        return len(self.steps)

    def step(self) -> Step:
        found = self.steps.pop(0)
        if isinstance(found, Exception):
            raise found
        return Step(1, found)

    def finish(self) -> list[Event]:
        found = self.ends.pop(0) if self.ends else []
        if isinstance(found, Exception):
            raise found
        return found


class Run:
    """A worker on a prepared recognizer, and what it gave."""

    def __init__(self, timeout_s: float = 0.2, on_error=None) -> None:
        self.recognizer, self.listener = Recognizer(), Listener()
        self.ends: list[End] = []
        self.errors: list[Exception] = []
        self.ended = threading.Event()
        self.worker = Worker(
            self.recognizer,
            input_timeout_s=timeout_s,
            on_step=lambda step, duration_s: self.listener.delivery.hand_over(step.events),
            on_end=self._end,
            on_error=on_error or self.errors.append,
        )
        self.worker.start()

    def _end(self, events: list[Event], why: End) -> None:
        self.listener.delivery.hand_over(events)
        self.listener.delivery.end_all()
        self.ends.append(why)
        self.ended.set()

    def give(self, *steps) -> None:
        self.recognizer.steps += steps
        self.worker.notify()
        while self.recognizer.steps:
            time.sleep(0.002)


def test_silence_ends_what_runs():
    run = Run()
    run.give([event(STARTED)])
    assert run.ended.wait(10)
    assert run.listener.phases() == [STARTED, ENDED]
    run.worker.stop()
    assert run.ends == [End.INPUT_STOPPED, End.WORKER_STOPPED]


def test_steps_that_fail_for_long_end_what_runs():
    run = Run()
    run.give([event(STARTED)])
    until = time.monotonic() + 10
    while not run.ended.is_set():
        assert time.monotonic() < until
        run.give(RuntimeError("device lost"))
        time.sleep(0.02)
    assert run.ends == [End.STEPS_FAILED]
    assert run.listener.phases() == [STARTED, ENDED]
    run.give([event(STARTED, 2)])
    run.worker.stop()
    assert run.listener.phases(2) == [STARTED, ENDED]
    assert {str(error) for error in run.errors} == {"device lost"}


def test_one_failing_step_ends_nothing():
    run = Run(timeout_s=5.0)
    run.give([event(STARTED)], RuntimeError("once"), [replace(event(ONGOING), confidence=0.9)])
    assert run.ends == []
    run.worker.stop()
    assert run.listener.phases() == [STARTED, ONGOING, ENDED]


def test_an_end_that_fails_still_ends_what_runs():
    run = Run()
    run.recognizer.ends = [RuntimeError("half way")]
    run.give([event(STARTED)])
    run.worker.stop()
    assert run.listener.phases() == [STARTED, ENDED]
    assert [str(error) for error in run.errors] == ["half way"]


def test_a_report_that_fails_stops_nothing():
    def on_error(error: Exception) -> None:
        raise OSError("the log is gone")

    run = Run(timeout_s=5.0, on_error=on_error)
    run.give(RuntimeError("a step"), [event(STARTED)])
    run.worker.stop()
    assert run.listener.phases() == [STARTED, ENDED]
