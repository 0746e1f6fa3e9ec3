"""The event decoder against a state machine written out cell by cell, and cases by hand.

With windows of one frame a cell's probability is what the window says and is never revised.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from usdrl_ros.actions.events import EVIDENCE_S, ActionState, DecoderSettings, EventDecoder, Phase
from usdrl_ros.actions.timeline import Timeline

CELL_NS = 100_000_000
ORIGIN = 17_000_000_000  # the first cell
SETTINGS = DecoderSettings(start_threshold=0.5, end_threshold=0.25, confirm_s=0.3, patience_s=0.5, ongoing_period_s=1.0)


def decode(
    probabilities: np.ndarray, settings: DecoderSettings = SETTINGS, history_s: float = 60.0, finish: bool = True
) -> list[tuple[int, ActionState]]:
    """(cell, the state that came of it) for probabilities (T,) or (T, K), a cell each; times count from `ORIGIN`."""
    probabilities = probabilities.reshape(len(probabilities), -1)
    actions = [f"action {k}" for k in range(probabilities.shape[1])]
    decoder = EventDecoder(actions, settings)
    timeline = Timeline(CELL_NS, 1, 1 + len(actions), history_s)
    states = []
    for cell, row in enumerate(probabilities):
        now_ns = (ORIGIN + cell) * CELL_NS + CELL_NS - 1
        timeline.add(now_ns, np.array([[0.0, *row]]), 0)
        states += [(cell, state) for state in decoder.update(timeline, now_ns)]
    if finish:
        states += [(len(probabilities), state) for state in decoder.finish(timeline, now_ns)]
        assert decoder.running == ()
    return states


def cells(state: ActionState) -> tuple[int, int]:
    """First cell and cell after the last one of a state; an end in the midst of a cell belongs to it."""
    return state.start_ns // CELL_NS - ORIGIN, -(-state.end_ns // CELL_NS) - ORIGIN


def by_hand(p: list[float], settings: DecoderSettings = SETTINGS) -> list[tuple[int, int, int, int]]:
    """(STARTED at, start, stop, ENDED at), cell by cell; the end of the input ends all."""
    patience = max(settings.patience_s * 1e9 / CELL_NS, 1.0)
    threshold = settings.start_threshold
    found: list[tuple[int, int, int, int]] = []
    free = 0
    running: tuple[int, int, int] | None = None
    for now in range(len(p)):
        if running is not None:
            reported, start, stop = running
            if p[now] >= settings.end_threshold:
                stop = now + 1
            running = reported, start, stop
            if now + 1 - stop >= patience:
                found.append((reported, start, stop, now))
                free, running = stop, None
        if running is None:
            evidence, most, anchor = 0.0, 0.0, None
            for c in range(max(free, now + 1 - round(EVIDENCE_S * 1e9 / CELL_NS)), now + 1):
                evidence = max(0.0, evidence + (p[c] - threshold) / (1.0 - threshold) * CELL_NS / 1e9)
                if p[c] >= threshold and evidence >= most:
                    most, anchor = evidence, c
            if anchor is not None and most >= settings.confirm_s:
                start, last_up, silent = anchor, anchor, 0
                for c in range(anchor, free - 1, -1):  # back as far as it stays up, short gaps bridged
                    if p[c] >= settings.end_threshold:
                        start, silent = c, 0
                    elif (silent := silent + 1) >= patience:
                        break
                silent = 0
                for c in range(anchor, now + 1):  # and forth
                    if p[c] >= settings.end_threshold:
                        last_up, silent = c, 0
                    elif (silent := silent + 1) >= patience:
                        break
                running = now, start, last_up + 1
    if running is not None:
        found.append((*running, len(p)))
    return found


def intervals_of(states: list[tuple[int, ActionState]]) -> list[tuple[int, int, int, int]]:
    started = {state.number: cell for cell, state in states if state.phase is Phase.STARTED}
    return [(started[s.number], *cells(s), cell) for cell, s in states if s.phase is Phase.ENDED]


@pytest.mark.parametrize("patience_s", [0.0, 0.1, 0.5, 0.75])
@pytest.mark.parametrize("confirm_s", [0.0, 0.3, 0.5])
def test_equals_the_state_machine(patience_s: float, confirm_s: float) -> None:
    settings = replace(SETTINGS, patience_s=patience_s, confirm_s=confirm_s)
    rng = np.random.default_rng(0)
    events = 0
    for _ in range(12):
        levels = rng.choice([0.0, 0.1, 0.2, 0.3, 0.6, 0.99], 40) + rng.uniform(
            0.0, 0.01, 40
        )  # no two sums are the same
        p = np.repeat(levels, rng.choice([1, 1, 2, 3, 7], 40))[:120]
        expected = by_hand(p.tolist(), settings)
        assert intervals_of(decode(p, settings)) == expected
        events += len(expected)
    assert events > 12


def test_one_action_by_hand() -> None:
    """Up at 10 by 0.8 of what there can be, STARTED once four cells make 0.3 s, down at 30, ENDED five cells later."""
    p = np.zeros(50)
    p[10:30] = 0.9
    states = decode(p)
    phases = [(cell, state.phase) for cell, state in states]
    assert phases == [
        (13, Phase.STARTED),
        *((cell, Phase.ONGOING) for cell in (23, 33)),
        (34, Phase.ENDED),
    ]
    assert [cells(state) for _, state in states] == [(10, 14), (10, 24), (10, 30), (10, 30)]
    assert [state.confidence for _, state in states] == pytest.approx([0.9] * 4)
    assert {state.number for _, state in states} == {0}
    assert {state.action for _, state in states} == {"action 0"}


def test_the_end_is_never_later_than_what_was_seen() -> None:
    p = np.ones(20)
    for cell, state in decode(p, finish=False):
        assert state.end_ns <= (ORIGIN + cell + 1) * CELL_NS - 1


@pytest.mark.parametrize(("gap", "events"), [(1, 1), (4, 1), (5, 2), (9, 2)])
def test_a_gap_shorter_than_patience_is_bridged(gap: int, events: int) -> None:
    p = np.concatenate([np.zeros(5), np.ones(10), np.zeros(gap), np.ones(10), np.zeros(8)])
    states = intervals_of(decode(p))
    assert len(states) == events
    assert (states[0][1], states[-1][2]) == (5, 25 + gap)


def test_between_the_thresholds_it_goes_on_but_does_not_start() -> None:
    assert decode(np.full(50, 0.4)) == []
    p = np.concatenate([np.zeros(5), np.full(20, 0.4), np.ones(5), np.full(20, 0.4), np.zeros(10)])
    assert [(start, stop) for _, start, stop, _ in intervals_of(decode(p))] == [(5, 50)]


def test_actions_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(1)
    p = np.stack([np.repeat(rng.choice([0.0, 0.3, 0.8], 30), 4) for _ in range(3)], 1)
    together = decode(p)
    for k in range(3):
        mine = [(cell, state) for cell, state in together if state.action == f"action {k}"]
        assert [(cell, replace(s, number=0, action="action 0")) for cell, s in mine] == [
            (cell, replace(s, number=0)) for cell, s in decode(p[:, k])
        ]
    assert len({state.number for _, state in together}) == sum(s.phase is Phase.STARTED for _, s in together)


def test_each_event_is_started_reported_and_ended_in_order() -> None:
    rng = np.random.default_rng(2)
    states = decode(np.stack([np.repeat(rng.choice([0.0, 0.3, 0.8], 60), 5) for _ in range(2)], 1))
    numbers = {state.number for _, state in states}
    assert len(numbers) > 5
    for number in numbers:
        mine = [(cell, state) for cell, state in states if state.number == number]
        assert [s.phase for _, s in mine] == [Phase.STARTED, *[Phase.ONGOING] * (len(mine) - 2), Phase.ENDED]
        for (earlier, _), (later, _) in itertools.pairwise(mine[:-1]):
            assert later - earlier == 10
        for _, state in mine:
            assert state.start_ns <= state.end_ns


def test_events_of_one_action_never_overlap() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        p = np.repeat(rng.choice([0.0, 0.2, 0.3, 0.8], 60), 3)
        found = intervals_of(decode(p, replace(SETTINGS, confirm_s=1.0, patience_s=0.2)))
        for (*_, stop, _), (_, start, *_) in itertools.pairwise(found):
            assert stop <= start


def test_what_ended_does_not_start_the_next_one() -> None:
    """Averaged over more time than patience, an action that has ended is still in the average."""
    p = np.concatenate([np.zeros(30), np.ones(20), np.zeros(40)])
    states = intervals_of(decode(p, replace(SETTINGS, confirm_s=2.0)))
    assert [(start, stop) for _, start, stop, _ in states] == [(30, 50)]


def test_certain_is_reported_after_confirm_s_and_likely_takes_longer() -> None:
    settings = replace(SETTINGS, start_threshold=0.4, confirm_s=0.55)
    states = {
        level: intervals_of(decode(np.concatenate([np.zeros(5), np.full(40, level)]), settings)) for level in (1.0, 0.7)
    }
    assert states[1.0] == [(10, 5, 45, 45)]  # six cells of 0.1 s
    assert states[0.7] == [(15, 5, 45, 45)]  # eleven, each worth half
    assert decode(np.full(80, 0.39), settings) == []


def test_an_action_that_later_windows_made_clear_is_reported_though_it_is_over() -> None:
    """Windows of 20 frames: what the first ones took for nothing was an action, from 10 to 16."""
    timeline, decoder = Timeline(CELL_NS, 20, 2), EventDecoder(["a"], SETTINGS)
    truth = np.zeros(60)
    truth[10:16] = 1.0
    states = []
    for newest in range(20, 60):
        p = truth[newest - 19 : newest + 1] * (newest >= 22)
        now_ns = (ORIGIN + newest + 1) * CELL_NS - 1
        timeline.add(now_ns, np.stack([1 - p, p], 1), 0)
        states += [(newest, state) for state in decoder.update(timeline, now_ns)]
    (started, first), (ended, last) = states
    assert (first.phase, last.phase) == (Phase.STARTED, Phase.ENDED)
    assert 22 <= started < ended
    assert cells(first) == cells(last) == (10, 16)


def test_evidence_counts_whichever_of_the_windows_since_the_last_update_brought_it() -> None:
    """Ten windows an update, and what the last of them changed is below the threshold."""
    probabilities = np.array([0.0] * 2 + [1.0] * 7 + [0.3] + [0.0] * 10)
    timeline, decoder = Timeline(CELL_NS, 1, 2), EventDecoder(["a"], replace(SETTINGS, confirm_s=5 * CELL_NS / 1e9))
    states = []
    for cell, p in enumerate(probabilities):
        timeline.add(cell * CELL_NS, np.array([[1.0 - p, p]]), 0)
        if cell % 10 == 9:
            states += decoder.update(timeline, cell * CELL_NS)
    assert states[0].phase == Phase.STARTED
    assert states[0].start_ns == 2 * CELL_NS


def test_evidence_does_not_survive_ten_seconds() -> None:
    """0.2 s of it, then 11 s of neither for nor against, then 0.2 s: never 0.3."""
    once = [1.0, 1.0]
    p = np.concatenate([once, np.full(110, 0.5), once, np.zeros(10)])
    assert decode(p) == []
    p = np.concatenate([once, np.full(50, 0.5), once, np.zeros(10)])
    assert len(intervals_of(decode(p))) == 1


def test_without_patience_an_action_lasts_while_it_is_up() -> None:
    p = np.concatenate([np.zeros(5), np.ones(20), np.zeros(5), np.ones(3), np.zeros(5)])
    states = decode(p, replace(SETTINGS, patience_s=0.0, confirm_s=0.0))
    assert [(start, stop) for _, start, stop, _ in intervals_of(states)] == [(5, 25), (30, 33)]


@pytest.mark.parametrize("seconds", [20, 200])
def test_longer_than_the_history(seconds: int) -> None:
    """The history is 10 s: what it has forgotten of the action stays known."""
    p = np.concatenate([np.zeros(20), np.full(10 * seconds, 0.8), np.zeros(150)])
    states = decode(p, history_s=10.0)
    assert intervals_of(states) == [(24, 20, 20 + 10 * seconds, 20 + 10 * seconds + 4)]
    assert all(cells(state)[0] == 20 for _, state in states)
    assert all(state.confidence == pytest.approx(0.8) for _, state in states)


def run(timeline: Timeline, decoder: EventDecoder, cell: int, probability: float) -> list[ActionState]:
    now_ns = (ORIGIN + cell + 1) * CELL_NS - 1
    timeline.add(now_ns, np.array([[1.0 - probability, probability]]), 0)
    return decoder.update(timeline, now_ns)


@pytest.mark.parametrize("afterwards", [0.0, 1.0])
def test_a_silence_longer_than_the_history_ends_where_it_was_last_seen(afterwards: float) -> None:
    """As when a person was left out of many steps: others were nearer."""
    timeline, decoder = Timeline(CELL_NS, 1, 2, 10.0), EventDecoder(["a"], SETTINGS)
    for cell in range(40):
        run(timeline, decoder, cell, 1.0)
    assert decoder.running == ("a",)
    states = run(timeline, decoder, 5000, afterwards)
    assert [state.phase for state in states] == [Phase.ENDED]
    assert cells(states[0]) == (0, 40)
    assert np.isfinite(states[0].confidence)
    later = [state for cell in range(5001, 5010) for state in run(timeline, decoder, cell, afterwards)]
    assert [(s.phase, s.number) for s in later if s.phase is not Phase.ONGOING] == (
        [(Phase.STARTED, 1)] if afterwards else []
    )
    assert all(cells(state)[0] == 5000 for state in later)


def test_finish_ends_with_what_came_since() -> None:
    timeline, decoder = Timeline(CELL_NS, 1, 2), EventDecoder(["a"], SETTINGS)
    for cell in range(7):
        run(timeline, decoder, cell, 1.0)
    (ended,) = decoder.finish(timeline, (ORIGIN + 7) * CELL_NS - 1)
    assert (ended.phase, ended.number, cells(ended)) == (Phase.ENDED, 0, (0, 7))
    assert decoder.finish(timeline, (ORIGIN + 7) * CELL_NS) == []
    assert decoder.started == 1


def test_start_and_end_follow_what_later_windows_say() -> None:
    """Windows of 8 frames: a start first seen at 12 is known to be 10 once later windows have said so."""
    timeline, decoder = Timeline(CELL_NS, 8, 2), EventDecoder(["a"], SETTINGS)
    truth = np.zeros(60)
    truth[10:40] = 1.0
    states = []
    for newest in range(8, 60):
        p = truth[newest - 7 : newest + 1].copy()
        if newest < 15:
            p[np.arange(newest - 7, newest + 1) < 12] = 0.0
        now_ns = (ORIGIN + newest + 1) * CELL_NS - 1
        timeline.add(now_ns, np.stack([1 - p, p], 1), 0)
        states += decoder.update(timeline, now_ns)
    assert states[0].phase is Phase.STARTED
    assert cells(states[0])[0] == 12
    assert states[-1].phase is Phase.ENDED
    assert cells(states[-1]) == (10, 40)


def test_nothing_to_decode() -> None:
    timeline, decoder = Timeline(CELL_NS, 8, 2), EventDecoder(["a"], SETTINGS)
    assert decoder.finish(timeline, 0) == []


def two_repeats(gap: int, background: float) -> list[tuple[int, ActionState]]:
    """An action of a second, a gap in which it is at 0.1 and background as given, and the action again."""
    action = np.concatenate([np.full(10, 0.9), np.full(gap, 0.1), np.full(10, 0.9), np.zeros(10)])
    decoder = EventDecoder(["action 0"], replace(SETTINGS, rest_threshold=0.7, rest_s=0.2))
    timeline = Timeline(CELL_NS, 1, 2)
    found = []
    for cell, probability in enumerate(action):
        now_ns = (ORIGIN + cell) * CELL_NS + CELL_NS - 1
        rest = background if 10 <= cell < 10 + gap or cell >= 20 + gap else 0.1
        timeline.add(now_ns, np.array([[rest, probability]]), 0)
        found += [(cell, state) for state in decoder.update(timeline, now_ns)]
    return found + [(len(action), state) for state in decoder.finish(timeline, now_ns)]


def test_a_rest_makes_two_events_of_a_repeat() -> None:
    ended = [(cell, cells(state)) for cell, state in two_repeats(3, 0.9) if state.phase is Phase.ENDED]
    assert ended == [(11, (0, 10)), (24, (13, 23))], "ENDED as soon as the rest is long enough"


@pytest.mark.parametrize(("gap", "background"), [(3, 0.6), (1, 0.9)])
def test_a_gap_that_is_no_rest_is_bridged(gap: int, background: float) -> None:
    """Background is not sure enough of it, or not for long enough."""
    ended = [cells(state) for _, state in two_repeats(gap, background) if state.phase is Phase.ENDED]
    assert ended == [(0, 20 + gap)]


def test_without_rest_a_sure_background_is_bridged_as_before() -> None:
    p = np.concatenate([np.full(10, 0.9), np.full(3, 0.0), np.full(10, 0.9), np.zeros(10)])
    assert [cells(state) for _, state in decode(p) if state.phase is Phase.ENDED] == [(0, 23)]
