"""How well actions are recognised that were taught by a few examples, on people never seen: one table.

    python -m training.shipped.few_shot usdrl_ros/models/hri_2.onnx --archives archives

Each row is a mean over ten draws of examples and teachers, with the standard deviation between draws. A taught action
must win against all built-in actions and all other taught ones. `built-in before` is the top-1 accuracy of the
recognition head on the clips of the same people that show a built-in action, `after` is the same once the actions have
been taught: a clip counts as a taught action where that is likelier than everything else together, else the head
decides. `forced` is the accuracy where the likeliest name is taken however unsure it is, as in published tables.

- utd_mhad: the 8 actions outside the vocabulary, 1 and 4 examples of one test person, asked of the three others.
- kinder_gator: the 20 actions outside, one example each of 1, 5 and 10 people, asked of the four test people.
- taken out: ten actions of the vocabulary are taken out of the heads and of the rivals, and taught again by 1 and 5
  training people, who are in the training of the encoder, too.
- cdta_hri: three built-in gestures are taken out of the heads and taught again, with a fourth that the vocabulary has
  no word for, from one take, asked of all other takes. hri-1 has never seen this set; hri-2 was trained on parts of it.
- unknown: AUROC of the known score, clips inside the vocabulary against clips outside, and how many known clips are
  lost at the threshold of one half.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from training.configuration import load
from training.data.archive import Archive
from training.data.vocabulary import Vocabulary, load_vocabulary
from training.shipped.clip_outputs import ClipOutputs, outputs_of
from training.shipped.sessions import SessionsConfig
from training.shipped.teaching import Lesson, features_of, few_shot_of, known_inputs, load_sets
from usdrl_ros.actions.few_shot import Statistics, TeachingError, statistics_path
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import ModelError

DRAWS = 10
TAKEN_OUT = (
    "wave", "clap", "cross_arms", "draw_x", "catch", "squat", "bow", "point", "jumping_jack", "raise_knee",
)  # fmt: skip
CDTA_GESTURES = ("beckon", "wave", "point", "ignored")

Draw = Callable[[np.random.Generator, int], Lesson]


@dataclass(frozen=True)
class Row:
    """One line of the table: shares 0 to 1, each (draws,)."""

    name: str
    examples: int
    taught: np.ndarray
    forced: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Means and standard deviations, for JSON."""
        columns = ("taught", "forced", "before", "after")
        means = {name: float(getattr(self, name).mean()) for name in columns}
        return {"name": self.name, "examples": self.examples, **means, "taught_sd": float(self.taught.std(ddof=1))}


def measure(name: str, examples: int, draw: Draw, statistics: Statistics, without: tuple[str, ...] = ()) -> Row:
    """Teach and ask ten times.

    Args:
        name: Of the row.
        examples: Of each action.
        draw: Gives a lesson.
        statistics: Of the model.
        without: Built-in actions that are taken out of the heads.
    """
    kept = np.array([action not in without for action in statistics.actions])
    chosen = kept[statistics.rival_classes]
    statistics = replace(statistics, rivals=statistics.rivals[chosen], rival_classes=statistics.rival_classes[chosen])
    results = []
    for number in range(DRAWS):
        lesson = draw(np.random.default_rng(number), number)
        outputs, queries, truth = lesson.outputs, lesson.queries, lesson.truth
        features = features_of(outputs, statistics, outputs.embedding.shape[1])
        few_shot = few_shot_of(lesson, statistics, features)
        known = known_inputs(outputs, statistics, kept)[queries]
        taught = few_shot.probabilities(features[queries, 0], known)[0]
        rivals = statistics.rival_similarities(features[queries, 0])
        similar = features[queries, 0] @ few_shot.prototypes.T
        head = np.where(kept, outputs.recognition[queries, 0], -np.inf).argmax(1)
        named = np.where(taught.sum(1) > 0.5, taught.argmax(1), -1)
        forced = similar.argmax(1) == truth
        forced &= similar.max(1) > rivals.max(1)
        new, old = truth >= 0, (truth < 0) & (outputs.words[queries] >= 0) & kept[outputs.words[queries]]
        right = head == outputs.words[queries]
        results.append(
            (
                (named == truth)[new].mean(),
                forced[new].mean(),
                right[old].mean() if old.any() else np.nan,
                (right & (named < 0))[old].mean() if old.any() else np.nan,
            )
        )
    return Row(name, examples, *np.array(results).T)


def of_one_person(outputs: ClipOutputs, shots: int) -> Draw:
    """Lessons by one test person, asked of the other test people."""
    people = sorted(set(outputs.people[outputs.parts == "test"].tolist()))
    labels = tuple(sorted(set(outputs.labels[outputs.outside].tolist())))

    def draw(rng: np.random.Generator, number: int) -> Lesson:
        teacher = people[number % len(people)]
        own = [np.flatnonzero((outputs.people == teacher) & (outputs.labels == label)) for label in labels]
        asked = np.flatnonzero((outputs.parts == "test") & (outputs.people != teacher))
        return Lesson(outputs, labels, tuple(rng.permutation(clips)[:shots] for clips in own), asked)

    return draw


def of_many_people(outputs: ClipOutputs, labels: tuple[str, ...], shots: int) -> Draw:
    """Lessons by so many people who are not test people, one example of each; asked of the test people."""
    teachers = sorted(set(outputs.people[outputs.parts != "test"].tolist()))

    def draw(rng: np.random.Generator, _: int) -> Lesson:
        order = rng.permutation(teachers)
        examples = []
        for label in labels:
            own = [np.flatnonzero((outputs.people == person) & (outputs.labels == label)) for person in order]
            examples.append(np.array([rng.choice(clips) for clips in own if len(clips)][:shots]))
        return Lesson(outputs, labels, tuple(examples), np.flatnonzero(outputs.parts == "test"))

    return draw


def by_take(outputs: ClipOutputs, takes: np.ndarray, labels: tuple[str, ...], shots: int) -> Draw:
    """Lessons from one take of each gesture, asked of all other takes."""

    def draw(rng: np.random.Generator, _: int) -> Lesson:
        examples, used = [], []
        for label in labels:
            take = rng.choice(sorted(set(takes[outputs.labels == label].tolist())))
            used.append(take)
            examples.append(rng.permutation(np.flatnonzero((outputs.labels == label) & (takes == take)))[:shots])
        return Lesson(outputs, labels, tuple(examples), np.flatnonzero(~np.isin(takes, used)))

    return draw


def joined(sets: list[ClipOutputs], vocabulary: tuple[str, ...]) -> ClipOutputs:
    """Several sets as one, by their words; only the clips of the vocabulary, as they are."""
    parts: dict[str, list[np.ndarray]] = {}
    for s in sets:
        chosen = s.words >= 0
        values = {
            "words": s.words,
            "labels": np.array([vocabulary[max(w, 0)] for w in s.words]),
            "people": np.char.add(f"{s.name}/", s.people.astype(str)),
            "parts": s.parts,
            "durations": s.durations,
            **{name: getattr(s, name)[:, :1] for name in ("embedding", "skeletons", "action", "recognition")},
        }
        for name, value in values.items():
            parts.setdefault(name, []).append(value[chosen])
    return ClipOutputs("joined", **{name: np.concatenate(values) for name, values in parts.items()})


def unknown(sets: list[ClipOutputs], statistics: Statistics) -> dict[str, dict[str, float]]:
    """AUROC of the known score, and the known clips lost, by set and in all; people never seen."""
    found: dict[str, dict[str, float]] = {}
    scores: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    for s in sets:
        asked = np.isin(s.parts, ("test", "unseen")) & ~s.background
        score = known_inputs(s, statistics)[asked] @ np.array(statistics.known[1:]) + statistics.known[0]
        truth = ~s.outside[asked]
        scores, truths = [*scores, score], [*truths, truth]
        if truth.any() and not truth.all():
            found[s.name] = _known(score, truth)
    found["all"] = _known(np.concatenate(scores), np.concatenate(truths))
    return found


def _known(score: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "auroc": float(roc_auc_score(truth, score)),
        "known_lost": float((score[truth] < 0).mean()),
        "unknown_found": float((score[~truth] < 0).mean()),
        "known": int(truth.sum()),
        "unknown": int((~truth).sum()),
    }


def rows_of(sets: dict[str, ClipOutputs], cdta: tuple[ClipOutputs, np.ndarray] | None, statistics: Statistics
            ) -> Iterator[Row]:  # fmt: skip
    """All rows of the table."""
    utd, gator = sets["utd_mhad"], sets["kinder_gator"]
    for shots in (1, 4):
        yield measure("utd_mhad, one person", shots, of_one_person(utd, shots), statistics)
    outside = tuple(sorted(set(gator.labels[gator.outside].tolist())))
    for shots in (1, 5, 10):
        yield measure("kinder_gator, so many people", shots, of_many_people(gator, outside, shots), statistics)
    everything = joined([s for s in sets.values() if s.name != "sbu_interaction"], statistics.actions)
    for shots in (1, 5):
        yield measure("taken out", shots, of_many_people(everything, TAKEN_OUT, shots), statistics, TAKEN_OUT)
    if cdta is not None:
        for shots in (1, 5):
            draw = by_take(*cdta, CDTA_GESTURES, shots)
            yield measure("cdta_hri, one take", shots, draw, statistics, CDTA_GESTURES)


def cdta_of(model: Path, sha256: str, archives: Path, vocabulary: Vocabulary, cache: Path | None
            ) -> tuple[ClipOutputs, np.ndarray] | None:  # fmt: skip
    """The gestures of `cdta_hri` with the take of each clip; None where there is no such archive."""
    if not (archives / "cdta_hri" / "archive.json").is_file():
        return None
    archive = Archive(archives / "cdta_hri")
    with load_engine(model) as engine:
        outputs = outputs_of(engine, sha256, archive, None, vocabulary, cache, varied=False)
    segments = archive.segments[np.linspace(0, len(archive.segments) - 1, len(outputs.labels)).astype(int)]
    takes = np.array([str(archive.names[i]).rsplit("_", 1)[0] for i in segments["recording"]])
    words = np.array([statistics_word(str(label), engine.info.actions) for label in outputs.labels])
    return replace(outputs, words=words), takes


def statistics_word(label: str, actions: tuple[str, ...]) -> int:
    """The number of the built-in action that a label of the same name stands for, or -1."""
    return actions.index(label) if label in actions else -1


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.few_shot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="an .onnx file with its .teaching.npz beside it")
    parser.add_argument("--archives", type=Path, default=Path("archives"), help="(default: %(default)s)")
    parser.add_argument("--sessions", type=Path, default=Path("training/configs/hri_2_sessions.yaml"))
    parser.add_argument("--cache", type=Path, help="directory in which outputs of the model are kept")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    try:
        config = load(SessionsConfig, options.sessions, None)
        sha256, _, sets = load_sets(options.model, config, options.archives, options.cache)
        statistics = Statistics.load(statistics_path(options.model), sha256)
        cdta = cdta_of(options.model, sha256, options.archives, load_vocabulary(config.vocabulary), options.cache)
        rows = list(rows_of({s.name: s for s in sets}, cdta, statistics))
        known = unknown(sets, statistics)
    except (ModelError, TeachingError, ValueError) as error:
        print(f"training.shipped.few_shot: {error}", file=sys.stderr)
        return 1
    console = Console()
    console.print(_table(rows))
    console.print(_unknown_table(known))
    if options.json:
        document = {"few_shot": [row.as_dict() for row in rows], "unknown": known}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _table(rows: list[Row]) -> Table:
    table = Table(title=f"taught actions, %, {DRAWS} draws", pad_edge=False)
    for name in ("what", "examples", "taught", "sd", "forced", "built-in before", "after"):
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=True)
    for row in rows:
        values = (row.taught.mean(), row.taught.std(ddof=1), row.forced.mean(), row.before.mean(), row.after.mean())
        table.add_row(row.name, str(row.examples), *(f"{100 * value:.1f}" for value in values))
    return table


def _unknown_table(found: dict[str, dict[str, float]]) -> Table:
    table = Table(title="known or unknown", pad_edge=False)
    for name in ("set", "AUROC", "known lost %", "unknown found %", "known", "unknown"):
        table.add_column(name, justify="left" if name == "set" else "right", no_wrap=True)
    for name, row in found.items():
        table.add_row(
            name, f"{row['auroc']:.3f}", f"{100 * row['known_lost']:.1f}", f"{100 * row['unknown_found']:.1f}",
            str(row["known"]), str(row["unknown"]),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
