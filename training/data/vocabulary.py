"""A vocabulary: actions by the labels of several data sets, read from a YAML file such as vocabulary_hri_2.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.configuration import ConfigError
from usdrl_ros.configuration import ConfigurationError, read_yaml

OTHER = "other"
"""Something is done that the vocabulary has no word for."""
IGNORED = "ignored"
"""What is done here is not known."""


@dataclass(frozen=True)
class Vocabulary:
    """Which labels of which data sets stand for an action.

    Args:
        actions: Names, in the order of the classes.
        words: Data set -> its label -> the action.
    """

    actions: tuple[str, ...]
    words: dict[str, dict[str, str]]

    def action(self, data_set: str, label: str) -> str:
        """What a data set's label stands for; `OTHER` where the vocabulary has no word for it.

        A set's own label `IGNORED` stays what it is.
        """
        return self.words.get(data_set, {}).get(label, IGNORED if label == IGNORED else OTHER)

    def check(self, labels: Mapping[str, Sequence[str]]) -> None:
        """Make sure that every data set and label of the vocabulary is there.

        Args:
            labels: Data set -> the labels that it has.

        Raises:
            ConfigError: One is not.
        """
        for data_set, words in self.words.items():
            if data_set not in labels:
                raise ConfigError(f"the vocabulary has words for {data_set}; there are {', '.join(labels)}")
            if unknown := sorted(set(words) - set(labels[data_set])):
                raise ConfigError(
                    f"{data_set} has no label {', '.join(unknown)}, which stands for {words[unknown[0]]}; "
                    f"it has {', '.join(labels[data_set])}"
                )


def load_vocabulary(path: Path | str) -> Vocabulary:
    """Read `action: {data set: [label, ...], ...}` for each action.

    An entry `ignored` lists labels that may be one of the actions, or not: no loss is taken where they are done.

    Raises:
        ConfigError: The file is missing or malformed, or a label stands for two actions.
    """
    try:
        content = read_yaml(Path(path))
    except ConfigurationError as error:
        raise ConfigError(f"cannot read the vocabulary: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path}: expected a mapping of actions to data sets and their labels")
    words: dict[str, dict[str, str]] = {}
    for action, sets in content.items():
        if action == OTHER or not isinstance(action, str) or not isinstance(sets, dict):
            raise ConfigError(f"{path}: {action!r}: expected the name of an action and `data set: [label, ...]`")
        for data_set, labels in sets.items():
            for label in labels if isinstance(labels, list) else [labels]:
                if words.setdefault(data_set, {}).setdefault(label, action) != action:
                    raise ConfigError(
                        f"{path}: '{label}' of {data_set} stands for {words[data_set][label]} and for {action}"
                    )
    return Vocabulary(tuple(action for action in content if action != IGNORED), words)
