"""What the shipped model gives for the clips of the data sets: computed once a model and set, kept in a cache.

A clip is stretched to a window as in training, and so are two variants of it that stand for what a gesture cut out of a
recording may look like: cut short at both ends, and with rest at both ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from training.data.archive import Archive
from training.data.errors import DatasetError
from training.data.vocabulary import OTHER, Vocabulary
from training.shipped.sessions import SetOptions, parts_of
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.actions.examples import TAUGHT_VARIANTS, as_input, cut, variant
from usdrl_ros.actions.movement import find_movements
from usdrl_ros.inference.contract import Engine
from usdrl_ros.skeleton.window import resample

BATCH = 16
SEARCH_HZ = 15.0
LONGEST_BACKGROUND_S = 6.0
BACKGROUND = "background"
"""Label of what people do between the actions of untrimmed recordings: movements that nobody labelled."""
UNSEEN = "unseen"
"""The part of all clips of a set that the model has never seen."""
_KEPT = ("labels", "people", "parts", "durations", "embedding", "skeletons", "action", "recognition")


@dataclass(frozen=True)
class ClipOutputs:
    """The clips of one set; N clips (of each person of an interaction), V variants.

    Args:
        name: Of the set.
        words: (N,) the built-in action of each, its number, or -1 where the vocabulary has no word for its label.
        labels, people: (N,) as the set names them.
        parts: (N,) "train", "validation", "test" or "unseen".
        durations: (N,) seconds.
        embedding: (N, V, D).
        skeletons: (N, V, 3, T, 25) normalised.
        action: (N, V) mean probability over the frames that there is any built-in action.
        recognition: (N, V, K) logits.
    """

    name: str
    words: np.ndarray
    labels: np.ndarray
    people: np.ndarray
    parts: np.ndarray
    durations: np.ndarray
    embedding: np.ndarray
    skeletons: np.ndarray
    action: np.ndarray
    recognition: np.ndarray

    @property
    def outside(self) -> np.ndarray:
        """(N,) whether the vocabulary has no word for an action."""
        return (self.words < 0) & ~self.background

    @property
    def background(self) -> np.ndarray:
        """(N,) whether a clip is a movement between actions."""
        return self.labels == BACKGROUND


def outputs_of(
    engine: Engine,
    model: str,
    archive: Archive,
    options: SetOptions | None,
    vocabulary: Vocabulary,
    cache: Path | None,
    *,
    varied: bool,
    at_most: int = 1500,
) -> ClipOutputs:
    """Run a model on the clips of a set.

    Args:
        engine: Runs the model.
        model: SHA-256 of the model file: a part of the name in the cache.
        archive: Of the set.
        options: Who is trained, validated and tested on; None: the model has never seen the set.
        vocabulary: Of the model.
        cache: Directory to keep outputs in; None: none.
        varied: Whether the variants are computed, too.
        at_most: More clips are thinned out evenly.
    """
    names = TAUGHT_VARIANTS if varied else TAUGHT_VARIANTS[:1]
    file = None if cache is None else cache / f"{archive.name}_{model[:12]}_{len(names)}.npz"
    if file is not None and file.is_file():
        with np.load(file) as content:
            kept = {name: content[name] for name in _KEPT}
    else:
        kept = _compute(engine, archive, options, names, at_most)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **kept)  # type: ignore[arg-type]
    words = [vocabulary.action(archive.name, str(label)) for label in kept["labels"]]
    numbers = np.array([-1 if word == OTHER or word not in engine.info.actions else engine.info.actions.index(word)
                        for word in words])  # fmt: skip
    return ClipOutputs(archive.name, numbers, **kept)


def _compute(
    engine: Engine, archive: Archive, options: SetOptions | None, names: tuple[str, ...], at_most: int
) -> dict[str, np.ndarray]:
    parts = np.full(len(archive), UNSEEN) if options is None else parts_of(archive, options)
    segments = archive.segments[parts[archive.segments["recording"]] != ""]
    if len(segments) > at_most:
        segments = segments[np.linspace(0, len(segments) - 1, at_most).astype(int)]
    if not len(segments):
        raise DatasetError(f"{archive.directory} has no labelled clips")
    slots = 1 if options is None else options.slots
    clips = list(_clips(archive, segments, slots, engine.info.frames))
    if options is not None and options.untrimmed:
        clips += list(_background(archive, np.unique(segments["recording"]), engine.info.frames))
    windows = np.stack([clip.window for clip in clips])
    recordings = np.array([clip.recording for clip in clips])
    found: list[dict[str, np.ndarray]] = []
    batches = range(0, len(windows), BATCH)
    for first in track(batches, f"{archive.name}", console=Console(stderr=True), transient=True):
        batch = windows[first : first + BATCH]
        varied = np.stack([variant(batch, name) for name in names], 1)
        skeletons = as_input(varied.reshape(-1, *batch.shape[1:]), engine.info.people)
        out = engine.infer(skeletons)
        values = {
            "embedding": out.embedding,
            "skeletons": skeletons[..., 0].astype(np.float16),
            "action": 1.0 - softmax(np.array(out.detection))[..., 0].mean(1),
            "recognition": out.recognition,
        }
        found.append({name: v.reshape(len(batch), len(names), *v.shape[1:]) for name, v in values.items()})
    return {
        "labels": np.array([clip.label for clip in clips]),
        "people": archive.persons[recordings],
        "parts": parts[recordings],
        "durations": np.array([clip.duration for clip in clips]),
        **{name: np.concatenate([batch[name] for batch in found]) for name in found[0]},
    }


@dataclass(frozen=True)
class _Clip:
    label: str
    recording: int
    duration: float
    window: np.ndarray  # (T, 25, 3)


def _clips(archive: Archive, segments: np.ndarray, slots: int, frames: int) -> Iterator[_Clip]:
    """Each clip of each person, as crops are resized in training: by frames, not by stamps."""
    for segment in segments:
        joints = archive.joints[int(segment["first"]) : int(segment["first"] + segment["length"])]
        count = len(joints)
        centres = ((np.arange(frames) + 0.5) * count / frames - 0.5).clip(0.0, count - 1.0)
        for slot in range(slots):
            own = np.asarray(joints[:, slot], float)
            if np.isfinite(own).any():
                window = resample(np.arange(count, dtype=float), own, centres)
                label, duration = archive.actions[segment["action"]], float(segment["end"] - segment["start"])
                yield _Clip(label, int(segment["recording"]), duration, window)


def _background(archive: Archive, recordings: np.ndarray, frames: int) -> Iterator[_Clip]:
    """The movements of untrimmed recordings that touch no labelled action."""
    for index in recordings.tolist():
        stamps, joints, segments = archive.recording_of(index)
        own = np.asarray(joints[:, 0], float)
        times = np.arange(stamps[0], stamps[-1], 1.0 / SEARCH_HZ)
        for movement in find_movements(times, resample(np.asarray(stamps), own, times)):
            free = ((segments["end"] <= movement.start) | (segments["start"] >= movement.stop)).all()
            if free and movement.duration <= LONGEST_BACKGROUND_S:
                window = cut(np.asarray(stamps), own, movement.start, movement.stop, frames)
                yield _Clip(BACKGROUND, index, movement.duration, window)
