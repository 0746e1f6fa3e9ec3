"""Class probabilities of test clips, kept in `scores.npz` so that runs can be averaged, and what they are worth."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

SCORES = "scores.npz"
SMALLER = "smaller:"


@dataclass(frozen=True)
class Scores:
    """What a run says of its test clips.

    Args:
        probabilities: (C, K), rows sum to 1.
        labels: (C,) true classes.
        names: (C,) names of the clips.
        actions: K names.
        smaller: For further splits, which clips (C,) are in their test part, too.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    actions: tuple[str, ...]
    smaller: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Write `scores.npz`."""
        directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "probabilities": self.probabilities.astype(np.float32),
            "labels": self.labels,
            "names": self.names,
            "actions": np.array(self.actions, str),
        }
        arrays |= {f"{SMALLER}{name}": mask for name, mask in self.smaller.items()}
        np.savez_compressed(directory / SCORES, **arrays)

    @classmethod
    def load(cls, directory: Path) -> Scores:
        """Read the scores of a run.

        Raises:
            ValueError: The run's directory has none, or something else under that name.
        """
        path = directory / SCORES
        try:
            with np.load(path, allow_pickle=False) as content:
                return cls(
                    content["probabilities"],
                    content["labels"],
                    content["names"],
                    tuple(content["actions"].tolist()),
                    {key.removeprefix(SMALLER): content[key] for key in content.files if key.startswith(SMALLER)},
                )
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} holds no scores of a run of training.tasks.recognize ({error}): give such a run's directory"
            ) from error

    def measures(self) -> dict[str, Any]:
        """What the most probable classes are worth, see `all_measures`."""
        return all_measures(self.probabilities.argmax(-1), self.labels, self.actions, self.smaller)


def measures(predicted: np.ndarray, labels: np.ndarray, actions: Sequence[str]) -> dict[str, Any]:
    """What predictions of C clips are worth.

    Returns:
        top1; macro_f1, over the classes that occur; classes: for each action that occurs the share of its clips that is
        right; confusion: K x K counts, a row a true class; n_test: C.
    """
    found = np.unique(labels)
    confusion = confusion_matrix(labels, predicted, labels=np.arange(len(actions)))
    return {
        "top1": float(np.mean(predicted == labels)),
        "macro_f1": float(f1_score(labels, predicted, labels=found, average="macro", zero_division=0.0)),
        "classes": {actions[k]: float(confusion[k, k] / confusion[k].sum()) for k in found},
        "confusion": confusion.tolist(),
        "n_test": len(labels),
    }


def all_measures(
    predicted: np.ndarray, labels: np.ndarray, actions: Sequence[str], smaller: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The same, and under "also" top1, macro_f1 and n_test of each smaller test part, given by its mask (C,)."""
    result = measures(predicted, labels, actions)
    if smaller:
        result["also"] = {
            name: {
                key: value
                for key, value in measures(predicted[mask], labels[mask], actions).items()
                if key in ("top1", "macro_f1", "n_test")
            }
            for name, mask in smaller.items()
        }
    return result
