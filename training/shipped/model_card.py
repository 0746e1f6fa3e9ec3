"""How good the shipped model is, on people it never saw: every value of its model card.

    python -m training.shipped.model_card --data DATA

DATA holds the data sets, as directories or .tar.xz files by name. Writes model_card.json, model_card.md and
confusion.png. Everything about the model was chosen on other people: run this once, at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown

from training.configuration import ConfigError, load
from training.data.archive import Archive
from training.data.vocabulary import load_vocabulary
from training.runs import machine
from training.shipped.clips import clips_of, recognize
from training.shipped.conditions import CONDITIONS, Condition
from training.shipped.data import ensure_archives
from training.shipped.detection import RANKED, authors_figures, detect, recordings_of
from training.shipped.report import markdown, save_confusion
from training.shipped.sessions import SessionsConfig
from training.tasks.robot import words_of
from usdrl_ros.demo.actor import ACTIONS, DEMO_SEED, play, random_script
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.window import resample

CONFIG = Path(__file__).parents[1] / "configs" / "hri_2_sessions.yaml"
KNOWN = (
    "utkinect_action3d",
    "msrc12",
    "kinder_gator",
    "utd_mhad",
    "nw_ucla",
    "msr_daily_activity3d",
    "msr_action3d",
    "florence3d",
    "sbu_interaction",
)
"""The sets of the card's first tables, those of the model before this one."""
UNTRIMMED = ("utkinect_action3d", "kinder_gator")
ROBUST_ON = "utkinect_action3d"
SCENES = 10
"""Acted scenes beside the demo's own, of two people with seven actions each."""


def evaluate(engine: Engine, config: SessionsConfig, *, part: str, conditions: str, say: Console) -> dict[str, Any]:
    """Measure everything on one part of the people.

    Args:
        engine: The model.
        config: Of the sessions; its sets are the ones whose clips are judged.
        part: Of the people.
        conditions: Under which conditions: "all" of trimmed clips and takes, of "clips", or "none".
        say: Takes progress.

    Raises:
        ValueError: An archive is not there or knows other actions than the model.
    """
    vocabulary = load_vocabulary(config.vocabulary)
    archive = Archive(Path(config.archives) / config.name)
    if words_of(archive) != engine.info.actions:
        raise ConfigError(f"model '{engine.info.name}' knows other actions than {archive.directory}")
    clips = clips_of(config, vocabulary, part)
    untrimmed = {name: recordings_of(archive, part, f"{name}/", engine.info.actions) for name in UNTRIMMED}
    result: dict[str, Any] = {"model": engine.info.name, "part": part, "machine": machine()}
    clean = CONDITIONS["clean"]
    say.print(f"{len(clips)} clips")
    recognized = recognize(engine, clips, clean)
    result["recognition"] = recognized.figures(engine.info.actions)
    result["confusion"] = recognized.confusion(engine.info.actions).tolist()
    result["detection"], result["authors"] = {}, {}
    for name, recordings in untrimmed.items():
        say.print(f"{name}: {len(recordings)} untrimmed recordings")
        result["detection"][name] = _online(engine, recordings, clean)
        result["authors"][name] = authors_figures(engine, recordings)
    result["actor"] = _actor(engine)
    if conditions != "none":
        result["robustness"] = {}
        for name, condition in CONDITIONS.items():
            say.print(f"condition: {name}")
            top1 = float(recognize(engine, clips, condition).figures(engine.info.actions)["top1"])
            online = _online(engine, untrimmed[ROBUST_ON], condition) if conditions == "all" else {}
            result["robustness"][name] = online | {"top1": top1}
    if conditions == "all":
        say.print("condition: two people at once")
        # A trimmed clip has its own people.
        in_company = _online(engine, in_pairs(untrimmed[ROBUST_ON]), clean) | {"top1": None}
        result["robustness"]["two people at once"] = in_company
    return result


def _online(engine: Engine, recordings: Sequence[Recording], condition: Condition) -> dict[str, Any]:
    """The metrics under the default settings, and the average precision of all events that there are."""
    default, ranked = detect(engine, recordings, condition, Settings(), RANKED)
    found = ranked.figures()
    return default.figures() | {"ranked": {key: found[key] for key in ("map_action", "map_video", "found", "false")}}


def in_pairs(recordings: Sequence[Recording]) -> list[Recording]:
    """Recordings two by two at once: the second's person joins the first's, on the first's clock and frames."""
    pairs = []
    for one, other in zip(recordings[::2], recordings[1::2], strict=False):
        shift = one.stamps[0] - other.stamps[0]
        stamps = one.stamps if one.stamps[-1] >= other.stamps[-1] + shift else other.stamps + shift
        people, segments = {}, []
        for number, each in enumerate((one, other), 1):
            own = each.stamps + (one.stamps[0] - each.stamps[0])
            name = f"person_{number}"
            joints = resample(own, each.joints["person_1"], stamps)
            joints[stamps > own[-1]] = np.nan
            people[name] = joints
            offset = own[0] - each.stamps[0]
            segments += [replace(s, start=s.start + offset, end=s.end + offset, person_id=name) for s in each.segments]
        pairs.append(Recording(f"{one.name}+{other.name}", "ntu_25", stamps, people, tuple(segments)))
    return pairs


def _actor(engine: Engine) -> dict[str, Any]:
    """The scene of `make demo`, and others by seeds that nobody trained on."""

    def scene(seed: int) -> Recording:
        known = tuple(action for action in ACTIONS if action in engine.info.actions)
        scripts = {f"person_{i + 1}": random_script(seed + i, 7, known) for i in range(2)}
        return play(scripts, seed=seed, name=f"scene_{seed}")

    scenes = [scene(100 + 10 * number) for number in range(SCENES)]
    found, demo = (
        detect(engine, played, CONDITIONS["clean"], Settings())[0].figures() for played in (scenes, [scene(DEMO_SEED)])
    )
    keys = ("found", "actions", "false")
    return {key: found[key] for key in keys} | {"scenes": SCENES, "demo": {key: demo[key] for key in keys}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.model_card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="directory of the data sets; not needed where the archives are")
    parser.add_argument("--archives", default="archives", help="where archives are, or are written (%(default)s)")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the sessions (%(default)s)")
    parser.add_argument(
        "--part", choices=("test", "validation"), default="test", help="whom to judge on: validation to choose by"
    )
    parser.add_argument(
        "--conditions", choices=("all", "clips", "none"), default="all", help="the table of conditions (%(default)s)"
    )
    parser.add_argument("--sets", nargs="+", default=list(KNOWN), help="whose clips are judged (those of hri-1)")
    parser.add_argument("--output", type=Path, default=Path("runs/model_card"), help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    console = Console(stderr=True, highlight=False)
    try:
        config = load(SessionsConfig, options.config, {"archives": options.archives})
        with load_engine(options.model, precision="fp32") as engine:
            ensure_archives(config, options.data)
            judged = replace(config, sets={name: own for name, own in config.sets.items() if name in options.sets})
            result = evaluate(engine, judged, part=options.part, conditions=options.conditions, say=console)
            actions = engine.info.actions
    except (ModelError, ValueError) as error:
        print(f"training.shipped.model_card: {error}", file=sys.stderr)
        return 1
    result["seconds"] = time.monotonic() - started
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "model_card.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    (options.output / "model_card.md").write_text(text, encoding="utf-8")
    save_confusion(options.output / "confusion.png", np.array(result["confusion"]), actions)
    Console().print(Markdown(text))
    print(f"wrote {options.output}: {result['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
