"""Recognise actions from a few examples each, against the built-in ones: nearest prototypes of whitened features.

A clip is described by two unit vectors side by side: the embedding of the model, and the pose statistics of the
skeletons themselves. Both are centred and whitened by the covariance within the classes of the training people, so that
what differs between people and takes counts less. A taught action is the mean of its examples, a built-in action is one
mean for each data set and label that stands for it (its rivals); the similarity of two clips is the dot product of
their features. Whether a clip is a taught action at all is decided by its lead, by how much it is more similar to one
than to the nearest rival; which one it is, by a softmax of the similarities. `training.shipped.teaching` fits both on
validation people.

The method was chosen on validation people (see docs/teach.md). Nearest class means: Snell et al., "Prototypical
networks", NeurIPS 2017; whitening by the within-class covariance: Hastie and Tibshirani, PAMI 1996.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

POSE_WEIGHT = 0.5
"""Of the pose statistics' similarity, beside 1 of the embedding's."""
STEEPNESS = 20.0
"""How fast a similarity decides."""
COUNTER_MARGIN = 0.1
"""By how much an action may be more similar to a clip than a counter-example, which wins nevertheless."""
SUFFIX = ".teaching.npz"
FORMAT = 2
LARGEST_FILE = 64_000_000
"""Bytes of a statistics file or a gallery file beyond which it is refused unread."""

_POSE_JOINTS = (3, 4, 5, 6, 8, 9, 10, 13, 14, 17, 18, 20)
_SPINE_SHOULDER = 20
_ARRAYS = (
    "mean",
    "whitening",
    "pose_mean",
    "pose_whitening",
    "rivals",
    "rival_classes",
)


class TeachingError(Exception):
    """Something cannot be taught, read or stored; the message says what was found and what to do."""


@dataclass(frozen=True)
class Statistics:
    """What few-shot recognition needs to know of a model; `training.shipped.teaching` writes it beside the model file.

    Args:
        model: SHA-256 of the model file, hexadecimal.
        actions: K built-in actions.
        mean, whitening: (D,) and (D, D) of the embedding.
        pose_mean, pose_whitening: (P,) and (P, P) of the pose statistics.
        rivals: (R, D + P) prototypes of the built-in actions.
        rival_classes: (R,) the action of each.
        scale: Of the similarities in the softmax.
        least: The similarity to a taught action below which a clip is none, whatever it is less like.
        gate: (2,) weights of the log-odds that a clip is a taught action: the constant, and of the lead.
        known: (4,) weights of the log-odds that a clip is a built-in action: the constant, then of the logarithms of
            the probability that there is an action and of the likeliest action, and of the largest similarity of the
            embedding to a rival's.
    """

    model: str
    actions: tuple[str, ...]
    mean: np.ndarray
    whitening: np.ndarray
    pose_mean: np.ndarray
    pose_whitening: np.ndarray
    rivals: np.ndarray
    rival_classes: np.ndarray
    scale: float
    least: float
    gate: tuple[float, ...]
    known: tuple[float, ...]

    def features(self, embedding: np.ndarray, skeletons: np.ndarray) -> np.ndarray:
        """What similarities are made of.

        Args:
            embedding: (N, D) of the model.
            skeletons: (N, 3, T, 25, M) that the model was given; the first person counts.

        Returns:
            (N, D + P) float32.
        """
        own = _unit((embedding - self.mean) @ self.whitening)
        pose = _unit((pose_statistics(skeletons) - self.pose_mean) @ self.pose_whitening)
        return np.concatenate([own, np.sqrt(POSE_WEIGHT) * pose], 1).astype(np.float32)

    def prototype(self, features: np.ndarray) -> np.ndarray:
        """The mean of examples (E, D + P) as a feature of its own, (D + P,)."""
        split = len(self.mean)
        mean = features.mean(0)
        return np.concatenate([_unit(mean[:split]), np.sqrt(POSE_WEIGHT) * _unit(mean[split:])]).astype(np.float32)

    def rival_similarities(self, features: np.ndarray) -> np.ndarray:
        """(N, K) similarity to the nearest prototype of each built-in action; -1 where there is none."""
        similar = features @ self.rivals.T
        found = np.full((len(features), len(self.actions)), -1.0, np.float32)
        for number in np.unique(self.rival_classes):
            found[:, number] = similar[:, self.rival_classes == number].max(1)
        return found

    def known_inputs(self, features: np.ndarray, action: np.ndarray, likeliest: np.ndarray) -> np.ndarray:
        """(N, 3) what separates known clips from unknown ones.

        Args:
            features: (N, D + P).
            action: (N,) mean probability over the frames that there is any built-in action.
            likeliest: (N,) largest probability of the recognition head.
        """
        split = len(self.mean)
        nearest = (features[:, :split] @ self.rivals[:, :split].T).max(1, initial=-1.0)
        return np.stack([np.log(action + 1e-2), np.log(likeliest + 1e-6), nearest], 1)

    def save(self, path: Path) -> None:
        """Write the file."""
        head = {
            "format": FORMAT,
            "model": self.model,
            "actions": list(self.actions),
            "scale": self.scale,
            "least": self.least,
            "gate": list(self.gate),
            "known": list(self.known),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        whole = {name: v.astype(np.float16 if v.dtype.kind == "f" else np.int16) for name, v in arrays.items()}
        np.savez_compressed(path, metadata=np.frombuffer(json.dumps(head).encode(), np.uint8), **whole)

    @classmethod
    def load(cls, path: Path, model: str = "") -> Statistics:
        """Read the file beside a model.

        Args:
            path: The file.
            model: SHA-256 that it must have been written for; "" for any.

        Raises:
            TeachingError: It is missing, damaged, or of another model.
        """
        remedy = "write it with `python -m training.shipped.teaching MODEL`"
        if not path.is_file():
            raise TeachingError(f"{path} is not there, and teaching needs it beside the model: {remedy}")
        head, arrays = read_arrays(path, _ARRAYS)
        try:
            if head["format"] != FORMAT:
                raise TeachingError(f"{path} has format {head['format']}, this version reads {FORMAT}: {remedy}")
            if model and head["model"] != model:
                raise TeachingError(f"{path} belongs to another model file: {remedy}")
            values = {name: array.astype(np.float32) for name, array in arrays.items() if name != "rival_classes"}
            return cls(
                model=str(head["model"]),
                actions=tuple(map(str, head["actions"])),
                rival_classes=arrays["rival_classes"].astype(int),
                scale=float(head["scale"]),
                least=float(head["least"]),
                gate=tuple(map(float, head["gate"])),
                known=tuple(map(float, head["known"])),
                **values,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TeachingError(f"{path} is damaged ({error}): {remedy}") from error


@dataclass(frozen=True)
class FewShot:
    """Taught actions and counter-examples, ready to be compared with.

    Args:
        statistics: Of the model.
        actions: G names of the taught actions.
        prototypes: (G', D + P) of the taught actions; an action may have several.
        classes: (G',) the action of each prototype.
        counter_actions: C names of the actions that counter-examples are about.
        counter_prototypes: (C, D + P) of the counter-examples.
    """

    statistics: Statistics
    actions: tuple[str, ...]
    prototypes: np.ndarray
    classes: np.ndarray
    counter_actions: tuple[str, ...]
    counter_prototypes: np.ndarray

    def probabilities(self, features: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How likely clips show a taught action, are what a counter-example shows, or are no built-in action.

        Args:
            features: (N, D + P) of `Statistics.features`.
            known: (N, 3) of `Statistics.known_inputs`.

        Returns:
            (N, G), whose sum is at most 1; (N, C), each by itself; and (N,).
        """
        s = self.statistics
        rivals = s.rival_similarities(features).max(1, initial=-1.0)
        taught = np.full((len(features), len(self.actions)), -1.0, np.float32)
        if len(self.classes):
            similar = features @ self.prototypes.T
            for number in np.unique(self.classes):
                taught[:, number] = similar[:, self.classes == number].max(1)
        best = taught.max(1, initial=-1.0)
        shares = np.exp(s.scale * (taught - best[:, None]))
        shares /= np.maximum(shares.sum(1, keepdims=True), 1e-9)
        is_taught = _logistic(s.gate[0] + s.gate[1] * (best - rivals))
        is_taught = np.minimum(is_taught, _logistic(STEEPNESS * (best - s.least)))
        counter = features @ self.counter_prototypes.T
        lead = np.minimum(counter - np.maximum(rivals, best)[:, None] + COUNTER_MARGIN, counter - s.least)
        is_counter = _logistic(STEEPNESS * lead)
        if len(self.counter_actions) and len(self.actions):  # what is no example of a taught action, is none
            is_taught = is_taught * (1.0 - is_counter.max(1))
        unknown = 1.0 - _logistic(s.known[0] + known @ np.array(s.known[1:]))
        return shares * is_taught[:, None], is_counter, unknown


def pose_statistics(skeletons: np.ndarray) -> np.ndarray:
    """What poses a clip goes through, whatever their order.

    Args:
        skeletons: (N, 3, T, 25, M) normalised; the first person counts.

    Returns:
        (N, P): mean, standard deviation, 5 % and 95 % quantile of 12 joints' coordinates over time, and how fast each
        changes on average, in lengths of the trunk.
    """
    joints = skeletons[..., 0].transpose(0, 2, 3, 1).astype(np.float32)
    trunk = np.median(np.linalg.norm(joints[:, :, _SPINE_SHOULDER] - joints[:, :, 0], axis=-1), 1)
    poses = joints[:, :, _POSE_JOINTS] / np.maximum(trunk, 0.15)[:, None, None, None]
    poses = poses.reshape(*poses.shape[:2], -1)
    low, high = np.quantile(poses, (0.05, 0.95), axis=1)
    change = np.abs(np.diff(poses, axis=1)).mean(1)
    return np.concatenate([poses.mean(1), poses.std(1), low, high, change], 1)


def statistics_path(model: Path) -> Path:
    """The statistics file that belongs to a model file."""
    return model.with_name(model.name.removesuffix(".onnx") + SUFFIX)


def read_arrays(path: Path, names: Sequence[str]) -> tuple[dict, dict[str, np.ndarray]]:
    """Read a small .npz file with JSON `metadata`; nothing in it is ever executed.

    Raises:
        TeachingError: It is too large, damaged, or lacks an array.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise TeachingError(f"{path} has more than {LARGEST_FILE / 1e6:.0f} MB: it is no file of this package")
        with np.load(path, allow_pickle=False) as content:
            if missing := sorted({"metadata", *names} - set(content.files)):
                raise TeachingError(f"{path} lacks {', '.join(missing)}: it is damaged, or no file of this package")
            head = json.loads(content["metadata"].tobytes())
            arrays = {name: content[name] for name in names}
    except TeachingError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise TeachingError(f"{path} cannot be read, it is damaged or no file of this package: {error}") from error
    if not isinstance(head, dict):
        raise TeachingError(f"{path} is damaged: its metadata is no mapping")
    return head, arrays


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -50.0, 50.0)))


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9)
