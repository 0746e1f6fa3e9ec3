"""The parts of an archive that a labelled task takes: training, validation and test clips, and shares of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.configuration import ConfigError
from training.data.archive import Archive, Clips
from training.data.errors import DatasetError


@dataclass(frozen=True)
class Parts:
    """The clips of a task; `validation` may be empty."""

    train: Clips
    validation: Clips
    test: Clips


def take_parts(
    archive: Archive, split: str, validation_people: Sequence[str] = (), label_share: float = 1.0, seed: int = 0
) -> Parts:
    """Split an archive's labelled clips.

    Args:
        archive: What to split.
        split: Name of its split; "": its first.
        validation_people: People of the training part who are held out of it.
        label_share: Share of the training clips of each class that is left, see `draw_share`.
        seed: Which clips those are.

    Raises:
        DatasetError: There is no such split, no such person in its training part, or nobody is left.
    """
    train, test = (archive.split(split or None, part) for part in ("train", "test"))
    held_out = np.zeros(len(train), bool)
    if validation_people:
        held_out = archive.of_people(validation_people)[train]
        if absent := sorted(set(validation_people) - set(archive.persons[train].tolist())):
            raise DatasetError(f"{', '.join(absent)} of validation_people: not in the training part of {archive.name}")
        if held_out.all():
            raise DatasetError(f"validation_people are all of the training part of {archive.name}: nobody is left")
    clips = archive.clips(train[~held_out])
    parts = Parts(
        clips.select(draw_share(clips.label, label_share, seed)),
        archive.clips(train[held_out]),
        archive.clips(test),
    )
    for name, found in (("training", parts.train), ("test", parts.test)):
        if not len(found):
            raise DatasetError(f"the {name} part of {archive.directory} has no labelled clip")
    return parts


def draw_share(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Sorted indices of a share of clips: of each class the rounded share of it, at least one, drawn with the seed.

    Smaller shares are parts of larger ones.
    """
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"label_share is {share}; give a share above 0 and up to 1")
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(round(share * len(members)), 1)])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def clip_names(archive: Archive, clips: Clips) -> np.ndarray:
    """(C,) a name a clip: its recording's, and the frame of it where the clip begins."""
    starts = clips.first - archive.first[clips.recording]
    names = archive.names[clips.recording]
    return np.array([f"{name}@{start}" for name, start in zip(names, starts, strict=True)], str)


def smaller_tests(archive: Archive, clips: Clips, splits: Sequence[str]) -> dict[str, np.ndarray]:
    """For each further split, which of the test clips (C,) are in its test part, too.

    Raises:
        DatasetError: There is no such split, or its test part is not within the clips.
    """
    masks = {}
    for split in splits:
        part = archive.split(split, "test")
        if outside := set(part.tolist()) - set(clips.recording.tolist()):
            raise DatasetError(
                f"also_tested '{split}': {len(outside)} of its test recordings are not in the test part of the split"
            )
        masks[split] = np.isin(clips.recording, part)
    return masks
