"""A short measurement of a model on test people: top-1 of the card's clips, and UTKinect's takes online."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.configuration import load
from training.data.archive import Archive
from training.data.vocabulary import load_vocabulary
from training.runs import machine
from training.shipped.clips import Clip, clips_of, recognize
from training.shipped.conditions import Condition
from training.shipped.detection import detect, recordings_of
from training.shipped.model_card import CONFIG, KNOWN, ROBUST_ON
from training.shipped.sessions import SessionsConfig
from usdrl_ros.inference.contract import Engine
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings


def people_of_test(archives: str, actions: tuple[str, ...]) -> tuple[list[Clip], list[Recording]]:
    """The clips of the card's sets, and UTKinect's takes.

    Raises:
        ValueError: An archive is not there.
    """
    config = load(SessionsConfig, CONFIG, {"archives": archives})
    config = replace(config, sets={name: own for name, own in config.sets.items() if name in KNOWN})
    archive = Archive(Path(config.archives) / config.name)
    clips = clips_of(config, load_vocabulary(config.vocabulary), "test")
    return clips, recordings_of(archive, "test", f"{ROBUST_ON}/", actions)


def measure(engine: Engine, clips: list[Clip], takes: list[Recording], condition: Condition) -> dict[str, Any]:
    """Top-1 of clips in all and of UTKinect's, and what is detected in takes under the default settings."""
    found = recognize(engine, clips, condition).figures(engine.info.actions)
    online = detect(engine, takes, condition, Settings())[0].figures()
    return {
        "clips": found["clips"],
        "top1": found["top1"],
        "top1_utkinect": found["by_set"][ROBUST_ON]["top1"],
        "found": online["found"],
        "actions": online["actions"],
        "false": online["false"],
        "false_events_per_minute": online["false_events_per_minute"],
        "map_action": online["map_action"]["0.5"],
        "delay_median_s": online["delay_median_s"],
    }


def collect(path: Path, model: str, names: Iterable[str], run: Callable[[str], dict[str, Any]]) -> None:
    """Measure under each name and write the file after each; what it holds of this model already stays. Print a table.

    Raises:
        ValueError: The file is no such measurement.
    """
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if result.get("model") != model:
        result = {"model": model, "machine": machine(), "measured": {}}
    for name in names:
        if name not in result["measured"]:
            result["measured"][name] = run(name)
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = Table("", "top-1 %", "of UTKinect %", "found", "false", "mAP_a@0.5", "delay s")
    for name, found in result["measured"].items():
        delay = found["delay_median_s"]
        table.add_row(
            name,
            f"{100 * found['top1']:.1f}",
            f"{100 * found['top1_utkinect']:.1f}",
            f"{found['found']} of {found['actions']}",
            f"{found['false']}",
            f"{found['map_action']:.3f}",
            "-" if delay is None else f"{delay:.2f}",
        )
    Console().print(table)
