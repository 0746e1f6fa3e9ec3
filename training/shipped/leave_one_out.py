"""How good a recipe is on a data set that it never saw: another sensor, other people, other ways of acting.

    python -m training.shipped.leave_one_out measure usdrl_ros/models/hri_2.onnx --sets msrc12
    python -m training.shipped.leave_one_out train training/configs/hri_2_small.yaml --sets cdta_hri cad60

`measure` takes a model file whose training left the sets out. `train` trains a recipe without the sets, all at once,
writes the model and measures it. Per set: trimmed clips of its actions, named among all of the vocabulary; and its
sessions, online at 10 Hz through the recognizer: how much is found at one false event a minute, by the set's own curve
over `start_threshold`, and at the default settings. `--part` says which people of the set are looked at: settings and
recipes are chosen on `choose` (all but its test people), figures reported on `test`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from training.checkpoints import read_checkpoint
from training.configuration import ConfigError, RunOptions, load
from training.data.archive import Archive
from training.data.balanced import LONGEST_S
from training.data.vocabulary import Vocabulary, load_vocabulary
from training.export import Outputs, export, model_info
from training.shipped.clips import Clip, clips_of, recognize
from training.shipped.conditions import CONDITIONS
from training.shipped.detection import RANKED, Detected, recordings_of, truths_of
from training.shipped.fusion import Fusion
from training.shipped.replaying import events_of, infer
from training.shipped.sessions import PARTS, SessionsConfig
from training.tasks.robot import RobotConfig, train_robot, words_of
from usdrl_ros.actions.events import DecoderSettings
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings

CONFIG = Path(__file__).parents[1] / "configs" / "hri_2_sessions.yaml"
CHOSEN_ON = {"test": ("test",), "validation": ("validation",), "choose": ("train", "validation"), "all": PARTS}
STARTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85)
"""Values of `start_threshold` that make a set's curve."""
FALSE_A_MINUTE = 1.0


def curve_settings(rest: tuple[float, float] | None = None) -> list[DecoderSettings]:
    """The defaults, the ranking of all events, and the points of the curve.

    Args:
        rest: `rest_threshold` and `rest_s` of the decoder; None: it does not look for rest.
    """
    settings = [Settings(), RANKED] + [
        Settings(start_threshold=start, end_threshold=min(0.15, start / 2), confirm_s=0.35) for start in STARTS
    ]
    threshold, seconds = rest or (1.0, 0.0)
    return [replace(DecoderSettings.of(one), rest_threshold=threshold, rest_s=seconds) for one in settings]


def found_at(rates: Sequence[float], shares: Sequence[float], wanted: float) -> float:
    """The largest share found at a rate of false events of at most `wanted`, between points of a curve interpolated.

    Args:
        rates, shares: False events a minute and the share found, of each setting.
        wanted: False events a minute.
    """
    points = sorted(zip(rates, shares, strict=True))
    best = 0.0
    for (rate, share), (next_rate, next_share) in zip(points, [*points[1:], points[-1]], strict=True):
        if rate > wanted:
            break
        best = max(best, share)
        if next_rate > wanted:
            best = max(best, share + (next_share - share) * (wanted - rate) / (next_rate - rate))
    return best


def short_pieces(clips: Sequence[Clip]) -> list[Clip]:
    """Clips of more than `LONGEST_S`, which show an action over and over, in pieces of half of it."""
    pieces = []
    for clip in clips:
        stamps = clip.recording.stamps
        count = int(np.ceil((stamps[-1] - stamps[0]) / (LONGEST_S / 2))) if stamps[-1] - stamps[0] > LONGEST_S else 1
        for number, rows in enumerate(np.array_split(np.arange(len(stamps)), count)):
            joints = {name: values[rows] for name, values in clip.recording.joints.items()}
            name = clip.recording.name if count == 1 else f"{clip.recording.name}/{number}"
            pieces.append(
                replace(clip, recording=replace(clip.recording, name=name, stamps=stamps[rows], joints=joints))
            )
    return pieces


def some(recordings: Sequence[Recording], minutes: float) -> list[Recording]:
    """Recordings of so many minutes in all, the same ones each time; all of them where minutes is 0."""
    order = np.random.default_rng(0).permutation(len(recordings))
    chosen, seconds = [], 0.0
    for index in order:
        if minutes and seconds > 60.0 * minutes:
            break
        chosen.append(recordings[index])
        seconds += float(np.ptp(recordings[index].stamps))
    return chosen


def measure(
    engine: Engine,
    config: SessionsConfig,
    name: str,
    *,
    part: str,
    minutes: float,
    clips: int,
    rate: float,
    fusions: Sequence[Fusion] = (Fusion(),),
    rest: tuple[float, float] | None = None,
) -> list[dict[str, Any]]:
    """The figures of one set, for each of some ways to fuse the heads.

    Args:
        engine: The model.
        config: Of the sessions.
        name: The set.
        part: Key of `CHOSEN_ON`.
        minutes: Of sessions that are played at most; 0: all.
        clips: That are recognised at most; 0: all.
        rate: Steps a second.
        fusions: Of the heads.
        rest: Of the decoder, see `curve_settings`.

    Raises:
        ValueError: An archive is missing, or knows other actions than the model.
    """
    vocabulary = load_vocabulary(config.vocabulary)
    archive = Archive(Path(config.archives) / config.name)
    actions = engine.info.actions
    if words_of(archive) != actions:
        raise ConfigError(f"model '{engine.info.name}' knows other actions than {archive.directory}")
    trimmed = set_clips(config, vocabulary, name, part)
    if clips and len(trimmed) > clips:
        trimmed = [trimmed[i] for i in np.sort(np.random.default_rng(0).permutation(len(trimmed))[:clips])]
    recognized = recognize(engine, trimmed, CONDITIONS["clean"]).figures(actions) if trimmed else None
    recordings = [
        recording
        for each in CHOSEN_ON[part]
        if len(parts_with(archive, each))
        for recording in recordings_of(archive, each, f"{name}/", actions)
    ]
    settings = curve_settings(rest)
    events: list[list[list[Any]]] = [[[] for _ in settings] for _ in fusions]
    truths, seconds = [], 0.0
    for recording in some(recordings, minutes):
        played = infer(engine, recording, rate)
        for own, fusion in zip(events, fusions, strict=True):
            for found_events, new in zip(own, events_of(played, engine.info, settings, fusion), strict=True):
                found_events += new
        truths += truths_of(recording)
        seconds += float(np.ptp(recording.stamps))
    return [_figures([Detected(found_events, truths, seconds) for found_events in own], recognized) for own in events]


def _figures(detected: Sequence[Detected], recognized: dict[str, Any] | None) -> dict[str, Any]:
    """The figures under `curve_settings`, beside those of trimmed clips."""
    default, ranked, *points = (one.figures() for one in detected)
    rates = [point["false_events_per_minute"] or 0.0 for point in points]
    shares = [point["found"] / max(point["actions"], 1) for point in points]
    return {
        "clips": recognized and recognized["clips"],
        "top1": recognized and recognized["top1"],
        "macro_f1": recognized and recognized["macro_f1"],
        "recall": recognized and {k: v["recall"] for k, v in recognized["by_action"].items() if v["clips"]},
        "minutes": default["minutes"],
        "actions": default["actions"],
        "found_default": default["found"] / max(default["actions"], 1),
        "false_a_minute_default": default["false_events_per_minute"],
        "delay_s_default": default["delay_median_s"],
        "map_ranked": ranked["map_action"]["0.5"],
        "found_at_one_false_a_minute": found_at(rates, shares, FALSE_A_MINUTE),
        "curve": [list(point) for point in zip(STARTS, rates, shares, strict=True)],
    }


def parts_with(archive: Archive, part: str) -> np.ndarray:
    """Indices of the recordings of a part; none where it is empty."""
    try:
        return archive.split(None, part)
    except ValueError:
        return np.zeros(0, np.int64)


def set_clips(config: SessionsConfig, vocabulary: Vocabulary, name: str, part: str) -> list[Clip]:
    """The clips of a set that the vocabulary has a word for."""
    if name not in config.sets:
        raise ConfigError(f"there is no set '{name}'; there are {', '.join(config.sets)}")
    own = replace(config, sets={name: config.sets[name]})
    return short_pieces([clip for each in CHOSEN_ON[part] for clip in clips_of(own, vocabulary, each)])


def table(results: dict[str, dict[str, Any]]) -> str:
    """The figures of all sets as a Markdown table."""
    lines = [
        "| set left out | clips | top-1 % | actions online | found at 1 false/min % | ranked mAP_a@0.5 | "
        "default: found % | false/min | delay s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else f"{value:{form}}"

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f}"

    for name, r in results.items():
        lines.append(
            f"| {name} | {r['clips'] or '-'} | {percent(r['top1'])} | {r['actions']} | "
            f"{percent(r['found_at_one_false_a_minute'])} | {percent(r['map_ranked'])} | "
            f"{percent(r['found_default'])} | "
            f"{number(r['false_a_minute_default'], '.2f')} | {number(r['delay_s_default'], '.2f')} |"
        )
    if len(results) > 1:
        means = {
            key: float(np.mean([r[key] for r in results.values() if r[key] is not None]))
            for key in ("top1", "found_at_one_false_a_minute", "map_ranked", "found_default", "false_a_minute_default")
        }
        lines.append(
            f"| **mean** | | {percent(means['top1'])} | | {percent(means['found_at_one_false_a_minute'])} | "
            f"{percent(means['map_ranked'])} | {percent(means['found_default'])} | "
            f"{means['false_a_minute_default']:.2f} | |"
        )
    return "\n".join(lines) + "\n"


def write_model(checkpoint: Path, output: Path) -> Path:
    """Export a checkpoint of `training.tasks.robot`, as it is."""
    found = read_checkpoint(checkpoint)
    export(Outputs(found.network(), found.trained_heads), model_info(found), output)
    return output


def train_without(config: RobotConfig, run: RunOptions) -> Path:
    """Train a recipe without the sets that it names, and write its model beside its checkpoint."""
    train_robot(config, run)
    return write_model(run.output / "last.ckpt", run.output / "model.onnx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.leave_one_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=("measure", "train"))
    parser.add_argument(
        "what", type=Path, nargs="?", default=default_model(), help="a model file, a checkpoint; to train, a recipe"
    )
    parser.add_argument("--sets", nargs="+", required=True, help="data sets that are left out")
    parser.add_argument("--archives", default="archives", help="where archives are (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the sessions (%(default)s)")
    parser.add_argument("--part", choices=tuple(CHOSEN_ON), default="test", help="people of the set (%(default)s)")
    parser.add_argument("--minutes", type=float, default=0.0, help="of sessions a set at most; 0: all (%(default)s)")
    parser.add_argument("--clips", type=int, default=0, help="a set at most; 0: all (%(default)s)")
    parser.add_argument("--rate", type=float, default=10.0, help="steps a second (%(default)s)")
    parser.add_argument(
        "--fusion", nargs=2, type=float, action="append", default=[], metavar=("SHARE", "ODDS"),
        help="of the recognition head in the posterior, see training.shipped.fusion; may be given several times",
    )  # fmt: skip
    parser.add_argument("--checkpoint", default="", help="to begin with, when training")
    parser.add_argument("--output", type=Path, default=Path("runs/left_out"), help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    try:
        model = options.what
        if options.command == "train":
            instead = {"without": options.sets, "archives": options.archives, "checkpoint": options.checkpoint}
            recipe = load(RobotConfig, options.what, instead)
            model = train_without(recipe, RunOptions(options.output, trainer={"enable_progress_bar": False}))
        elif model.suffix == ".ckpt":
            options.output.mkdir(parents=True, exist_ok=True)
            model = write_model(model, options.output / "model.onnx")
        config = load(SessionsConfig, options.config, {"archives": options.archives})
        fusions = [Fusion(*pair) for pair in options.fusion] or [Fusion()]
        results: list[dict[str, Any]] = [{} for _ in fusions]
        with load_engine(model, engine="onnxruntime") as engine:
            for name in options.sets:
                console.print(name)
                found = measure(
                    engine,
                    config,
                    name,
                    part=options.part,
                    minutes=options.minutes,
                    clips=options.clips,
                    rate=options.rate,
                    fusions=fusions,
                )
                for all_sets, one in zip(results, found, strict=True):
                    all_sets[name] = one
    except (ModelError, ValueError) as error:
        print(f"training.shipped.leave_one_out: {error}", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    for fusion, own in zip(fusions, results, strict=True):
        name = f"left_out_{options.part}" + (f"_{fusion.share:g}_{fusion.odds:g}" if fusion.share else "")
        content = {"model": str(model), "part": options.part, "fusion": asdict(fusion), "sets": own}
        (options.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"share of recognition {fusion.share:g}, odds {fusion.odds:g}\n\n{table(own)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
