"""Recordings of one person played through a model and the event decoder, many settings at once.

Gives the events that `usdrl_ros.recognizer.Recognizer` gives for one person who is there all the time, an order of
magnitude faster where many settings or posteriors are compared: windows are inferred in batches and only once, and each
setting has a decoder of its own over a timeline that they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.shipped.detection import START_NS
from training.shipped.fusion import Fusion, fused_logits
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.actions.events import DecoderSettings, Event, EventDecoder
from usdrl_ros.actions.timeline import Timeline
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_events
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.normalize import normalize
from usdrl_ros.skeleton.window import frame_times, resample

BATCH = 8
PERSON = "person_1"


@dataclass(frozen=True)
class Played:
    """What a model says of a recording, step by step.

    Args:
        recording: What was played.
        ends_ns: (S,) stamp of the newest skeleton of each step, from `START_NS` on.
        detection: (S, T, K+1) logits.
        recognition: (S, K) logits.
    """

    recording: Recording
    ends_ns: np.ndarray
    detection: np.ndarray
    recognition: np.ndarray


def infer(engine: Engine, recording: Recording, rate: float) -> Played:
    """Run a model on the windows of `person_1`, `rate` a second.

    Args:
        engine: The model.
        recording: In NTU-25 order; `person_1` is there all the time.
        rate: Steps a second.
    """
    info = engine.info
    stamps, joints = recording.stamps, np.asarray(recording.joints[PERSON], float)
    first = stamps[0] + Settings().min_observed_s
    ends = np.arange(first, stamps[-1] + 1e-9, 1.0 / rate)
    windows = np.empty((len(ends), info.frames, 25, 3), np.float32)
    for row, end in enumerate(ends):
        known = slice(
            max(int(np.searchsorted(stamps, end - info.window_s)) - 1, 0), np.searchsorted(stamps, end, "right")
        )
        windows[row] = resample(stamps[known], joints[known], frame_times(end, info.window_s, info.frames))
    detection, recognition = [], []
    for begin in range(0, len(windows), BATCH):
        found = engine.infer(normalize.model_input(windows[begin : begin + BATCH, :, None], info.people))
        detection.append(np.asarray(found.detection))
        recognition.append(np.asarray(found.recognition))
    ends_ns = START_NS + np.round((ends - stamps[0]) * 1e9).astype(np.int64)
    if not detection:
        detection, recognition = [np.zeros((0, info.frames, len(info.actions) + 1))], [np.zeros((0, len(info.actions)))]
    return Played(recording, ends_ns, np.concatenate(detection), np.concatenate(recognition))


def events_of(
    played: Played, info: ModelInfo, settings: Sequence[Settings | DecoderSettings], fusion: Fusion | None = None
) -> list[list[Interval]]:
    """The events under each of some settings, in the recording's seconds.

    Args:
        played: What the model says.
        info: The model.
        settings: Choices of thresholds and times.
        fusion: Of the heads; None: the detection head alone.
    """
    logits = played.detection
    if fusion is not None and fusion.share:
        logits = fused_logits(logits, played.recognition, fusion)
    probabilities = softmax(np.array(logits, np.float32))
    timeline = Timeline(round(info.window_s * 1e9 / info.frames), info.frames, len(info.actions) + 1)
    chosen = [one if isinstance(one, DecoderSettings) else DecoderSettings.of(one) for one in settings]
    decoders = [EventDecoder(info.actions, one) for one in chosen]
    events: list[list[Event]] = [[] for _ in settings]
    last_ns = START_NS
    for end_ns, found in zip(played.ends_ns.tolist(), probabilities, strict=True):
        timeline.add(end_ns, found, START_NS)
        changed = timeline._changed  # each decoder asks what has changed since the last step
        for decoder, own in zip(decoders, events, strict=True):
            timeline._changed = changed
            own += [_event(state, end_ns) for state in decoder.update(timeline, end_ns)]
        last_ns = end_ns
    for decoder, own in zip(decoders, events, strict=True):
        own += [_event(state, last_ns) for state in decoder.finish(timeline, last_ns)]
    origin = START_NS - round(played.recording.stamps[0] * 1e9)
    return [intervals_of_events(played.recording.name, own, origin) for own in events]


def _event(state: object, stamp_ns: int) -> Event:
    """An event of the one person."""
    fields = {name: getattr(state, name) for name in ("phase", "action", "confidence", "start_ns", "end_ns")}
    number = getattr(state, "number")  # noqa: B009
    return Event(
        stamp_ns=stamp_ns, frame_id="", event_id=f"{PERSON}/{number}", person_id=PERSON, position=(0.0,) * 3, **fields
    )
