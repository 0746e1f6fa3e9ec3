"""Untrimmed sessions with the actions of one vocabulary, from the archives of several data sets, as one more archive.

    python -m training.shipped.sessions training/configs/hri_2_sessions.yaml --output archives/hri_2

Whole takes (UTKinect-Action3D, MSRC-12) are kept as they are, with the words of the vocabulary. The clips of trimmed
sets are joined, person by person and view by view: Kinder-Gator's in the order in which they were recorded, others in
random orders, with smooth passages and idle stretches (`training.data.joining`). Beside them are takes of the
package's own actor. What the vocabulary has no word for is `other`, passages that would be actions themselves are
`ignored`.

The archive has one split, by the name of the configuration, with the parts train, validation and test. Its recordings
are called SET/..., their people SET/PERSON.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from training.configuration import ConfigError, configuration, load, option
from training.data.acted import TRAIN_SEED, VALIDATION_SEED, act
from training.data.archive import Archive, ArchiveWriter
from training.data.joining import Piece, join
from training.data.vocabulary import IGNORED, OTHER, Vocabulary, load_vocabulary
from usdrl_ros.demo.actor import ACTIONS
from usdrl_ros.recording import Recording, Segment

ACTOR = "actor"
PARTS = ("train", "validation", "test")


@configuration
class SetOptions:
    """What is taken of one data set."""

    split: str = option(help="split of its archive that says who is tested; all: nobody")
    validation: tuple[str, ...] = option((), "people of the training part who are validated on")
    untrimmed: bool = option(False, "its recordings are whole takes, and stay as they are")
    in_order: bool = option(False, "clips are joined in the order of their stamps; otherwise in random orders")
    slots: int = option(1, "people of a recording who are sessions of their own, with the same label", low=1)


@configuration
class SessionsConfig:
    """The keys of the YAML file."""

    name: str = option(help="of the archive and of its split")
    vocabulary: str = option(help="YAML file of the actions")
    sets: dict[str, SetOptions] = option(help="data set: what is taken of it")
    archives: str = option("archives", "directory that holds the archives")
    clips: int = option(12, "most clips of a session; those in order are one session", low=1)
    repeats: int = option(2, "in how many orders training clips are joined", low=1)
    acted: dict[str, int] = option({}, "part (train, validation): takes of the actor", low=0)
    seed: int = option(0, "of orders, passages and idle stretches", low=0)


def sessions(config: SessionsConfig, vocabulary: Vocabulary) -> Iterator[tuple[Recording, str]]:
    """All recordings with their parts.

    Raises:
        DatasetError: An archive, its split or a person is not there.
    """
    for name, options in config.sets.items():
        archive = Archive(Path(config.archives) / name)
        parts = parts_of(archive, options)
        if options.untrimmed:
            for index in np.flatnonzero((parts != "") & archive.labelled):
                yield _take(archive, int(index), vocabulary), str(parts[index])
        else:
            yield from _joined(config, archive, options, parts, vocabulary)
    for part, count in config.acted.items():
        first = {"train": TRAIN_SEED, "validation": VALIDATION_SEED}[part]
        for recording in act(count, first, tuple(a for a in ACTIONS if a in vocabulary.actions)):
            yield replace(recording, name=f"{ACTOR}/{recording.name}", person=f"{ACTOR}/{recording.name}"), part


def parts_of(archive: Archive, options: SetOptions) -> np.ndarray:
    """The part of each recording of an archive: (R,) "train", "validation", "test", or "" for none."""
    parts = np.full(len(archive), "train" if options.split == "all" else "", dtype="<U10")
    if options.split != "all":
        for part in ("train", "test"):
            parts[archive.split(options.split, part)] = part
    held_out = archive.of_people(options.validation) if options.validation else np.zeros(len(archive), bool)
    parts[held_out & (parts == "train")] = "validation"
    return parts


def _take(archive: Archive, index: int, vocabulary: Vocabulary) -> Recording:
    stamps, joints, segments = archive.recording_of(index)
    return Recording(
        f"{archive.name}/{archive.names[index]}",
        "ntu_25",
        np.asarray(stamps),
        {"person_1": np.asarray(joints[:, 0])},
        tuple(
            Segment(float(s["start"]), float(s["end"]), vocabulary.action(archive.name, archive.actions[s["action"]]))
            for s in segments
        ),
        person=f"{archive.name}/{archive.persons[index]}",
        view=str(archive.views[index]),
    )


def _joined(
    config: SessionsConfig, archive: Archive, options: SetOptions, parts: np.ndarray, vocabulary: Vocabulary
) -> Iterator[tuple[Recording, str]]:
    groups = sorted({(str(p), str(a), str(v)) for p, a, v in zip(parts, archive.persons, archive.views, strict=True)})
    for part, person, view in groups:
        if not part:
            continue
        members = np.flatnonzero((parts == part) & (archive.persons == person) & (archive.views == view))
        members = members[np.argsort([archive.recording_of(int(i))[0][0] for i in members], kind="stable")]
        for slot in range(options.slots):
            label = "/".join(filter(None, (archive.name, person, view, f"slot_{slot}" if slot else "")))
            # A seed of its own for each: a person left out changes nothing for the others.
            rng = np.random.default_rng((config.seed, zlib.crc32(label.encode())))
            for repeat in range(config.repeats if part == "train" and not options.in_order else 1):
                order = members if options.in_order else rng.permutation(members)
                size = len(order) if options.in_order else config.clips
                for number, first in enumerate(range(0, len(order), size)):
                    pieces = [
                        piece
                        for index in order[first : first + size]
                        if (piece := _piece(archive, int(index), slot, vocabulary)) is not None
                    ]
                    if pieces:
                        name = f"{label}/{repeat}_{number}"
                        yield replace(join(name, pieces, rng), person=f"{archive.name}/{person}", view=view), part


def _piece(archive: Archive, index: int, slot: int, vocabulary: Vocabulary) -> Piece | None:
    """A clip of one person; None where they are hardly seen, or the recording has no label."""
    stamps, joints, segments = archive.recording_of(index)
    poses = np.asarray(joints[:, slot], float)
    seen = np.isfinite(poses).all(-1).any(1)
    if seen.sum() < 4 or not len(segments):
        return None
    action = vocabulary.action(archive.name, archive.actions[segments[0]["action"]])
    times = np.asarray(stamps)[seen]
    return Piece(times - times[0], poses[seen], action)


def write(config: SessionsConfig, output: Path) -> Counter[str]:
    """Write the archive; returns how many recordings each part has.

    Raises:
        ValueError: The vocabulary, an archive, a split or a person is not there.
    """
    vocabulary = load_vocabulary(config.vocabulary)
    vocabulary.check({name: Archive(Path(config.archives) / name).actions for name in config.sets})
    counts: Counter[str] = Counter()
    with ArchiveWriter(output, name=config.name, actions=(*vocabulary.actions, OTHER, IGNORED)) as writer:
        for recording, part in track(sessions(config, vocabulary), "joining", transient=True):
            writer.add(recording, {config.name: part})
            counts[part] += 1
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.sessions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, help="YAML file, for instance training/configs/hri_2_sessions.yaml")
    parser.add_argument("--archives", help="directory that holds the archives (default: as the file says)")
    parser.add_argument("--output", type=Path, help="directory of the archive (default: ARCHIVES/NAME)")
    options = parser.parse_args(arguments)
    try:
        config = load(SessionsConfig, options.config, {"archives": options.archives} if options.archives else None)
        if unknown := sorted(set(config.acted) - set(PARTS[:2])):
            raise ConfigError(f"acted: {', '.join(unknown)}: the actor's takes are for train and validation")
        output = options.output or Path(config.archives) / config.name
        counts = write(config, output)
        archive = Archive(output)
    except ValueError as error:
        print(f"training.shipped.sessions: {error}", file=sys.stderr)
        return 1
    console = Console()
    for part in PARTS:
        if counts[part]:
            chosen = archive.split(config.name, part)
            minutes = sum(float(np.ptp(archive.recording_of(int(i))[0])) for i in chosen) / 60
            labels = archive.clips(chosen).label
            known = int((labels < len(archive.actions) - 2).sum())
            console.print(f"{part}: {counts[part]} recordings, {minutes:.0f} minutes, {known} actions", highlight=False)
    console.print(f"wrote {output}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
