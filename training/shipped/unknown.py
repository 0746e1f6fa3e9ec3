"""How well the model's outputs separate actions that it knows from those that it does not.

    python -m training.shipped.unknown usdrl_ros/models/hri_2.onnx

Known are the test clips of the vocabulary's actions, unknown those of all other labels (`other`;
not what is `ignored`). The area under the ROC curve is given for each score: the recognition head's
largest probability; one minus the detection head's background, averaged over the window; the
largest of the detection head's mean probabilities; and the geometric mean of the first two. 0.5 is
chance.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from training.configuration import ConfigError, load
from training.data.vocabulary import OTHER, Vocabulary, load_vocabulary
from training.shipped.clips import BATCH, Clip, clips_of, stretched
from training.shipped.leave_one_out import CHOSEN_ON, CONFIG, short_pieces
from training.shipped.sessions import SessionsConfig
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.skeleton.normalize import normalize

SCORES = ("recognition", "not background", "detection", "both")


def with_unknown(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary in which what has no word is an action of its own, so that its clips are read as well."""
    return replace(vocabulary, actions=(*vocabulary.actions, OTHER))


def scores(engine: Engine, clips: list[Clip]) -> np.ndarray:
    """(C, 4) the scores of clips' main people, in the order of `SCORES`."""
    found = []
    for first in range(0, len(clips), BATCH):
        windows = [
            stretched(clip.recording.stamps, next(iter(clip.recording.joints.values())), engine.info.frames)
            for clip in clips[first : first + BATCH]
        ]
        predictions = engine.infer(normalize.model_input(np.stack(windows)[:, :, None], engine.info.people))
        recognition = softmax(np.array(predictions.recognition)).max(-1)
        detection = softmax(np.array(predictions.detection)).mean(1)
        action = 1.0 - detection[:, 0]
        found.append(np.stack([recognition, action, detection[:, 1:].max(-1), np.sqrt(recognition * action)], -1))
    return np.concatenate(found)


def auroc(engine: Engine, config: SessionsConfig, sets: Sequence[str], part: str, most: int) -> dict[str, float]:
    """The area under the ROC curve by each of `SCORES`, and how many clips were known and unknown.

    Args:
        engine: The model.
        config: Of the sessions.
        sets: Data sets; none: all.
        part: Key of `CHOSEN_ON`.
        most: Clips of each kind.

    Raises:
        ConfigError: There is no such set, or there are no clips of one kind.
    """
    if unknown := sorted(set(sets) - set(config.sets)):
        raise ConfigError(f"there is no set {', '.join(unknown)}; there are {', '.join(config.sets)}")
    config = replace(config, sets={name: config.sets[name] for name in sets or config.sets})
    words = with_unknown(load_vocabulary(config.vocabulary))
    clips = short_pieces([clip for one in CHOSEN_ON[part] for clip in clips_of(config, words, one)])
    rng = np.random.default_rng(0)
    kinds = [[clip for clip in clips if (clip.action == OTHER) == other] for other in (False, True)]
    kinds = [[kind[i] for i in rng.permutation(len(kind))[:most]] for kind in kinds]
    if not all(kinds):
        raise ConfigError("there are no clips of known or of unknown actions")
    values = np.concatenate([scores(engine, kind) for kind in kinds])
    truth = np.repeat([1, 0], [len(kind) for kind in kinds])
    areas = {name: float(roc_auc_score(truth, values[:, i])) for i, name in enumerate(SCORES)}
    return {"known": len(kinds[0]), "unknown": len(kinds[1]), **areas}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.unknown",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, nargs="?", default=default_model(), help="an .onnx file")
    parser.add_argument("--archives", default="archives", help="where archives are (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the sessions (%(default)s)")
    parser.add_argument(
        "--part", default="test", choices=tuple(CHOSEN_ON), help="people of the sets (default: %(default)s)"
    )
    parser.add_argument("--sets", nargs="+", default=[], help="data sets; none: all")
    parser.add_argument("--clips", type=int, default=1500, help="of each kind at most (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        config = load(SessionsConfig, options.config, {"archives": options.archives})
        with load_engine(options.model, engine="onnxruntime") as engine:
            result = auroc(engine, config, options.sets, options.part, options.clips)
    except (ModelError, ValueError) as error:
        print(f"training.shipped.unknown: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
