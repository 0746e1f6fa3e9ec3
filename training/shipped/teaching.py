"""Write what teaching on the robot needs to know of a model: `MODEL.teaching.npz`, beside the model file.

    python -m training.shipped.teaching usdrl_ros/models/hri_2.onnx --archives archives

From the training people: the whitening of the embedding and of the pose statistics, and one prototype for each data set
and label of a built-in action. From the validation people, whom training left out: the scale at which similarities
become probabilities, and the weights of the score that separates known actions from unknown ones. Test people are not
looked at. See `usdrl_ros.actions.few_shot`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from training.configuration import load
from training.data.archive import Archive
from training.data.vocabulary import load_vocabulary
from training.shipped.clip_outputs import ClipOutputs, outputs_of
from training.shipped.sessions import SessionsConfig
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.actions.few_shot import FewShot, Statistics, pose_statistics, statistics_path
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import ModelError, read_model_file

EMBEDDING_SHRINKAGE, POSE_SHRINKAGE = 0.1, 0.3
"""Share of the within-class covariance that is replaced by its mean variance (Ledoit and Wolf, 2004): on validation
people 0.03 to 0.3 give the same to a point."""
IDLE_TAKEN = 0.1
"""Share of the movements between actions that may be more similar to a taught action than `Statistics.least`."""
VARIED = ("utd_mhad", "kinder_gator")
"""Sets that are taught from in measurements: of their clips, the variants are computed, too."""
KNOWN_LOST = 0.02
"""Share of the validation people's known clips that may be taken for unknown."""
BUILT_IN_LOST = 0.01
"""Share of the validation people's clips of built-in actions that may be taken for a taught one."""
EPISODES = 40
"""Lessons that the calibration is fitted on."""


@dataclass(frozen=True)
class Lesson:
    """Taught actions and what is asked afterwards, for fitting and for measuring; all are numbers of clips of one set.

    Args:
        outputs: The clips.
        labels: The taught actions.
        examples: For each taught action its examples.
        queries: Clips of other people.
    """

    outputs: ClipOutputs
    labels: tuple[str, ...]
    examples: tuple[np.ndarray, ...]
    queries: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """(Q,) the taught action of each query, or -1."""
        return np.array([self.labels.index(x) if x in self.labels else -1 for x in self.outputs.labels[self.queries]])


def features_of(outputs: ClipOutputs, statistics: Statistics, variants: int = 1) -> np.ndarray:
    """(N, V, D + P) features of clips."""
    shape = (len(outputs.embedding), variants)
    embedding = outputs.embedding[:, :variants].reshape(-1, outputs.embedding.shape[-1])
    skeletons = outputs.skeletons[:, :variants].reshape(-1, *outputs.skeletons.shape[2:])[..., None]
    return statistics.features(embedding.astype(np.float32), skeletons).reshape(*shape, -1)


def few_shot_of(lesson: Lesson, statistics: Statistics, features: np.ndarray) -> FewShot:
    """What a robot knows after a lesson; `features` (N, V, F) of all clips, of which the first V - 1 variants serve."""
    prototypes = [statistics.prototype(features[e].reshape(-1, features.shape[-1])) for e in lesson.examples]
    empty = np.zeros((0, features.shape[-1]), np.float32)
    return FewShot(statistics, lesson.labels, np.stack(prototypes), np.arange(len(prototypes)), (), empty)


def fit(model: str, actions: Sequence[str], sets: Sequence[ClipOutputs]) -> Statistics:
    """Statistics from the training people, calibrated on the validation people.

    Args:
        model: SHA-256 of the model file.
        actions: Of the model.
        sets: Outputs for all sets, with the taught variants where there are clips outside the vocabulary.
    """
    training = [(s, np.flatnonzero((s.parts == "train") & (s.words >= 0))) for s in sets]
    training = [(s, chosen) for s, chosen in training if len(chosen)]
    words = np.concatenate([s.words[chosen] for s, chosen in training])
    classes = np.concatenate([np.char.add(f"{s.name}/", s.labels[chosen].astype(str)) for s, chosen in training])
    embedding = np.concatenate([s.embedding[chosen, 0] for s, chosen in training]).astype(float)
    poses = np.concatenate([pose_statistics(s.skeletons[chosen, 0][..., None]) for s, chosen in training]).astype(float)
    empty = np.zeros((0, embedding.shape[1] + poses.shape[1]), np.float32)
    statistics = Statistics(
        model,
        tuple(actions),
        embedding.mean(0).astype(np.float32),
        whitening(embedding, classes, EMBEDDING_SHRINKAGE).astype(np.float32),
        poses.mean(0).astype(np.float32),
        whitening(poses, classes, POSE_SHRINKAGE).astype(np.float32),
        empty,
        np.zeros(0, int),
        scale=10.0,
        least=0.0,
        gate=(0.0,) * 2,
        known=(0.0,) * 4,
    )
    features = np.concatenate([features_of(s, statistics)[chosen, 0] for s, chosen in training])
    names = list(dict.fromkeys(classes.tolist()))
    rivals = np.stack([statistics.prototype(features[classes == name]) for name in names])
    numbers = np.array([words[classes == name][0] for name in names])
    statistics = replace(statistics, rivals=rivals, rival_classes=numbers)
    return calibrated(statistics, sets)


def whitening(values: np.ndarray, classes: np.ndarray, shrinkage: float) -> np.ndarray:
    """The matrix (D, D) under which values (N, D) have the covariance 1 within their classes, after shrinkage."""
    centred = np.concatenate([values[classes == c] - values[classes == c].mean(0) for c in np.unique(classes)])
    covariance = centred.T @ centred / len(centred)
    covariance = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(
        len(covariance)
    )
    variances, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(variances)


def calibrated(statistics: Statistics, sets: Sequence[ClipOutputs]) -> Statistics:
    """The gate, the scale under which the answers of lessons are likeliest, and the known score."""
    rng = np.random.default_rng(0)
    leads, taught = [], []
    idle = [(s, np.flatnonzero(s.background & np.isin(s.parts, ("train", "validation")))) for s in sets]
    between = np.concatenate([features_of(s, statistics)[chosen, 0] for s, chosen in idle])
    similar_idle: list[np.ndarray] = []
    right: list[tuple[np.ndarray, np.ndarray]] = []  # similarities to the taught actions, truths
    for outputs in sets:
        features = features_of(outputs, statistics, outputs.embedding.shape[1])
        for lesson in _validation_lessons(outputs, rng):
            prototypes = few_shot_of(lesson, statistics, features).prototypes
            queries, truth = features[lesson.queries, 0], lesson.truth
            similar, rivals = queries @ prototypes.T, statistics.rival_similarities(queries).max(1)
            is_taught = truth >= 0
            right.append((similar[is_taught], truth[is_taught]))
            similar_idle.append((between @ prototypes.T).max(1))
            asked = is_taught | (outputs.words[lesson.queries] >= 0)
            leads.append((similar.max(1) - rivals)[asked])
            taught.append(is_taught[asked])
    lead, is_taught = np.concatenate(leads), np.concatenate(taught)
    steepness = float(LogisticRegression(class_weight="balanced", C=10.0).fit(lead[:, None], is_taught).coef_[0, 0])
    gate = (-steepness * float(np.quantile(lead[~is_taught], 1.0 - BUILT_IN_LOST)), steepness)

    def loss(log_scale: float) -> float:
        logits = [np.exp(log_scale) * similar for similar, _ in right]
        likely = [logit - logsumexp(logit, 1, keepdims=True) for logit in logits]
        return -sum(float(p[np.arange(len(t)), t].sum()) for p, (_, t) in zip(likely, right, strict=True))

    scale = float(np.exp(minimize_scalar(loss, bounds=(0.0, 5.0), method="bounded").x))
    known_weights = _fit_known(statistics, sets)
    least = float(np.quantile(np.concatenate(similar_idle), 1.0 - IDLE_TAKEN))
    return replace(statistics, scale=scale, least=least, gate=gate, known=known_weights)


def _validation_lessons(outputs: ClipOutputs, rng: np.random.Generator) -> Iterator[Lesson]:
    """Lessons by training people, questions by validation people; half of the labels outside are not taught."""
    outside = sorted(set(outputs.labels[outputs.outside & (outputs.parts == "train")].tolist()))
    asked = np.flatnonzero(outputs.parts == "validation")
    if len(outside) < 2 or not len(asked):
        return
    for number in range(EPISODES):
        shots, count = (1, 2, 4, 5)[number % 4], (1, 2, len(outside) // 4, len(outside) // 2)[number // 4 % 4]
        taught = tuple(rng.permutation(outside)[: max(count, 1)].tolist())
        examples = tuple(
            rng.permutation(np.flatnonzero((outputs.labels == label) & (outputs.parts == "train")))[:shots]
            for label in taught
        )
        yield Lesson(outputs, taught, examples, asked)


def known_inputs(outputs: ClipOutputs, statistics: Statistics, kept: np.ndarray | None = None) -> np.ndarray:
    """(N, 3) what the known score is made of; with the built-in actions of the mask `kept` (K,) alone."""
    logits = np.array(outputs.recognition[:, 0])
    if kept is not None:
        logits[:, ~kept] = -np.inf
    features = features_of(outputs, statistics)[:, 0]
    return statistics.known_inputs(features, outputs.action[:, 0], softmax(logits).max(1))


def _fit_known(statistics: Statistics, sets: Sequence[ClipOutputs]) -> tuple[float, ...]:
    """Logistic regression on the validation people: does a clip show a built-in action?

    The constant is chosen so that at one half `KNOWN_LOST` of the known clips are taken for unknown.
    """
    asked = [(s.parts == "validation") & ~s.background for s in sets]
    chosen = [(known_inputs(s, statistics)[which], ~s.outside[which]) for s, which in zip(sets, asked, strict=True)]
    inputs, known = (np.concatenate(values) for values in zip(*chosen, strict=True))
    found = _weights(LogisticRegression(class_weight="balanced", C=10.0).fit(inputs, known))
    constant = -float(np.quantile(inputs[known] @ np.array(found[1:]), KNOWN_LOST))
    return constant, *found[1:]


def _weights(fitted: LogisticRegression) -> tuple[float, ...]:
    return float(fitted.intercept_[0]), *(float(x) for x in fitted.coef_[0])


def load_sets(
    model: Path, config: SessionsConfig, archives: Path, cache: Path | None, threads: int = 1
) -> tuple[str, tuple[str, ...], list[ClipOutputs]]:
    """Outputs of a model for all trimmed clips of the sets that it was trained on: its hash, its actions, the outputs.

    Raises:
        ValueError: An archive is missing.
        ModelError: The model cannot be used.
    """
    sha256 = read_model_file(model).sha256()
    vocabulary = load_vocabulary(config.vocabulary)
    with load_engine(model, threads=threads) as engine:
        sets = []
        for name, options in config.sets.items():
            archive = Archive(archives / name)
            sets.append(outputs_of(engine, sha256, archive, options, vocabulary, cache, varied=name in VARIED))
        return sha256, engine.info.actions, sets


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.teaching",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="an .onnx file")
    parser.add_argument("--archives", type=Path, default=Path("archives"), help="(default: %(default)s)")
    parser.add_argument(
        "--sessions", type=Path, default=Path("training/configs/hri_2_sessions.yaml"),
        help="what the model was trained on (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--cache", type=Path, help="directory in which outputs of the model are kept")
    parser.add_argument("--output", type=Path, help="default: beside the model")
    options = parser.parse_args(arguments)
    try:
        config = load(SessionsConfig, options.sessions, None)
        statistics = fit(*load_sets(options.model, config, options.archives, options.cache))
    except (ModelError, ValueError) as error:
        print(f"training.shipped.teaching: {error}", file=sys.stderr)
        return 1
    output = options.output or statistics_path(options.model)
    statistics.save(output)
    print(
        f"wrote {output}: {output.stat().st_size / 1e6:.2f} MB, {len(statistics.rivals)} prototypes, "
        f"scale {statistics.scale:.1f}, least {statistics.least:.2f}, "
        f"gate {', '.join(f'{x:.2f}' for x in statistics.gate)}, "
        f"known {', '.join(f'{x:.2f}' for x in statistics.known)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
