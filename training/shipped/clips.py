"""Recognition of trimmed clips over the vocabulary, by the model file as it is shipped."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from training.data.archive import Archive
from training.data.vocabulary import Vocabulary
from training.shipped.conditions import Condition
from training.shipped.sessions import SessionsConfig, parts_of
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.inference.contract import Engine
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.normalize import normalize
from usdrl_ros.skeleton.window import resample

BATCH = 32


@dataclass(frozen=True)
class Clip:
    """One trimmed clip: its data set, its action of the vocabulary, and the people in it."""

    data_set: str
    action: str
    recording: Recording


@dataclass(frozen=True)
class Recognized:
    """Probabilities (C, K) of C clips, their true classes (C,) and data sets (C,)."""

    probabilities: np.ndarray
    labels: np.ndarray
    data_sets: np.ndarray

    def figures(self, actions: tuple[str, ...]) -> dict[str, Any]:
        """Top-1 and macro F1 in all and by data set, recall and clips by action, and the expected calibration error."""
        found = self.probabilities.argmax(1)
        counts = np.bincount(self.labels, minlength=len(actions))
        recall = recall_score(self.labels, found, labels=range(len(actions)), average=None, zero_division=0.0)
        return {
            "clips": len(self.labels),
            "top1": float((found == self.labels).mean()),
            "macro_f1": _macro_f1(self.labels, found),
            "calibration_error": calibration_error(self.probabilities, self.labels),
            "by_set": {
                name: {
                    "clips": int((self.data_sets == name).sum()),
                    "top1": float((found == self.labels)[self.data_sets == name].mean()),
                    "macro_f1": _macro_f1(self.labels[self.data_sets == name], found[self.data_sets == name]),
                }
                for name in dict.fromkeys(self.data_sets.tolist())
            },
            "by_action": {
                action: {"clips": int(counts[i]), "recall": float(recall[i]) if counts[i] else None}
                for i, action in enumerate(actions)
            },
        }

    def confusion(self, actions: tuple[str, ...]) -> np.ndarray:
        """(K, K) counts, a row for each true action."""
        return confusion_matrix(self.labels, self.probabilities.argmax(1), labels=range(len(actions)))


def _macro_f1(labels: np.ndarray, found: np.ndarray) -> float:
    """Mean F1 of the actions that occur."""
    return float(f1_score(labels, found, labels=np.unique(labels), average="macro", zero_division=0.0))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al., ICML 2017): mean distance of confidence and accuracy, by bin.

    Args:
        probabilities: (N, K).
        labels: (N,) true classes.
        bins: Of equal width.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    weight = np.bincount(number, minlength=bins)
    gap = np.bincount(number, right.astype(float) - confidence, minlength=bins)
    return float(np.abs(gap[weight > 0]).sum() / len(labels))


def clips_of(config: SessionsConfig, vocabulary: Vocabulary, part: str) -> list[Clip]:
    """The clips of one part of all data sets that the vocabulary has a word for."""
    found = []
    for name, options in config.sets.items():
        archive = Archive(Path(config.archives) / name)
        parts = parts_of(archive, options)
        for segment in archive.segments[parts[archive.segments["recording"]] == part]:
            action = vocabulary.action(name, archive.actions[segment["action"]])
            if action not in vocabulary.actions:
                continue
            frames = slice(int(segment["first"]), int(segment["first"] + segment["length"]))
            joints = np.asarray(archive.joints[frames], float)
            people = {
                f"person_{slot + 1}": joints[:, slot]
                for slot in range(options.slots)
                if np.isfinite(joints[:, slot]).any()
            }
            label = f"{name}/{archive.names[segment['recording']]}/{segment['start']:.3f}"
            found.append(Clip(name, action, Recording(label, "ntu_25", np.asarray(archive.stamps[frames]), people)))
    return found


def recognize(engine: Engine, clips: list[Clip], condition: Condition) -> Recognized:
    """Recognise clips, each stretched to a window; of two people, the mean of what is said of each."""
    actions = engine.info.actions
    windows, owner = [], []
    for index, clip in enumerate(clips):
        rng = np.random.default_rng(zlib.crc32(clip.recording.name.encode()))
        seen = condition(clip.recording, rng)
        for joints in seen.joints.values():
            windows.append(stretched(seen.stamps, joints, engine.info.frames))
            owner.append(index)
    probabilities = np.zeros((len(clips), len(actions)))
    for first in track(range(0, len(windows), BATCH), "recognising", transient=True):
        batch = normalize.model_input(np.stack(windows[first : first + BATCH])[:, :, None], engine.info.people)
        found = softmax(engine.infer(batch).recognition)
        np.add.at(probabilities, owner[first : first + BATCH], found)
    probabilities /= np.bincount(owner, minlength=len(clips))[:, None]
    labels = np.array([actions.index(clip.action) for clip in clips])
    return Recognized(probabilities, labels, np.array([clip.data_set for clip in clips]))


def stretched(stamps: np.ndarray, joints: np.ndarray, frames: int) -> np.ndarray:
    """A clip (T, V, 3) as a window: as crops are resized in training, by frames and not by stamps."""
    count = len(stamps)
    centres = (np.arange(frames) + 0.5) * count / frames - 0.5
    return resample(np.arange(count, dtype=float), joints, centres.clip(0.0, count - 1.0))
