"""The JSON file of an evaluation: every metric, every event, every true action; written, and read to compare two."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from usdrl_ros import __version__
from usdrl_ros.evaluation.bag_run import BagRun
from usdrl_ros.evaluation.metrics.assessment import Assessment
from usdrl_ros.evaluation.metrics.breakdown import Row
from usdrl_ros.evaluation.metrics.detection import THETAS, Comparison, Interval
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.values import CONFIDENCE, Estimate
from usdrl_ros.evaluation.timing import latency_summary, step_times
from usdrl_ros.inference.model_file import ModelInfo

FORMAT = 3
_READABLE = (2, 3)
"""Formats that `read_document` takes: 2 has the same events and truths, and other names around them."""


class DocumentError(Exception):
    """A JSON file cannot be used; the message is one line that names it and the fault."""


@dataclass(frozen=True)
class Document:
    """What another evaluation is compared with.

    Args:
        path: The file.
        model: Name of its model.
        outcomes: Its recordings with truth.
    """

    path: Path
    model: str
    outcomes: tuple[Outcome, ...]


def json_document(
    model: ModelInfo, runs: Sequence[BagRun], assessment: Assessment | None, failed: Mapping[str, str]
) -> dict[str, Any]:
    """Every metric and every event, ready for `json.dump`; metrics are None without an assessment.

    Seconds of `events` and `truth` count from the bag's `origin_ns`. An event's `verdict` is "found" (it is paired with
    a truth, `delay` is how late it was announced), "false", "piece" (it overlaps a truth that has a better event),
    or None in a bag without truth.
    """
    comparison = assessment.comparison if assessment else Comparison()
    false = set(comparison.false)
    delays = {event: event.announced - truth.start for truth, event in comparison.found if event.announced is not None}
    paired = {event for _, event in comparison.found}
    metrics = assessment.metrics if assessment else {}

    def by_overlap(name: str) -> dict[str, float | None] | None:
        return {str(theta): metrics[f"{name}@{theta}"].value for theta in THETAS} if assessment else None

    def value(name: str) -> float | None:
        return metrics[name].value if assessment else None

    def event_entry(event: Interval, run: BagRun) -> dict[str, Any]:
        verdict = "found" if event in paired else "false" if event in false else "piece"
        return {
            "event_id": event.event_id,
            "person_id": event.person_id,
            "action": event.action,
            "confidence": event.score,
            "start": event.start,
            "end": event.end,
            "started": event.announced,
            "delay": delays.get(event),
            "verdict": None if run.truth_intervals is None else verdict,
        }

    def truth_entry(truth: Interval) -> dict[str, Any]:
        return {"person_id": truth.person_id, "action": truth.action, "start": truth.start, "end": truth.end}

    return {
        "format": FORMAT,
        "model": model.name,
        "actions_known": list(model.actions),
        "versions": versions(),
        "mAP_action": by_overlap("mAP_action"),
        "mAP_video": by_overlap("mAP_video"),
        "delay_median_s": value("delay_median_s"),
        "false_events_per_minute": value("false_events_per_minute"),
        "confidence_level": CONFIDENCE,
        "metrics": {name: _estimate(estimate) for name, estimate in metrics.items()},
        "actions": {
            name: {**_row(row), "AP_0.5": precision.value or 0.0, "AP_0.5_interval": [precision.low, precision.high]}
            for name, (row, precision) in (assessment.actions.items() if assessment else ())
        },
        "people": [
            {"recording": recording, "person_id": person_id, **_row(row)}
            for (recording, person_id), row in (assessment.people.items() if assessment else ())
        ],
        "confusion": [
            {"true": true, "recognised": recognised or None, "count": count}
            for (true, recognised), count in sorted(assessment.confusion.items() if assessment else ())
        ],
        "calibration": (
            {
                name: row.tolist()
                for name, row in zip(("events", "confidence", "right"), assessment.calibration, strict=True)
            }
            if assessment
            else None
        ),
        "unknown": dict(assessment.unknown) if assessment else {},
        "bag_seconds": sum(run.bag_s for run in runs),
        "processing_seconds": sum(run.processing_s for run in runs),
        "step_ms": step_times(runs),
        "latency_s": latency_summary(runs),
        "problems": dict(sum((run.problems for run in runs), Counter())),
        "faults": [fault for run in runs for fault in run.faults],
        "bags": {
            run.name: {
                "origin_ns": run.origin_ns,
                "bag_seconds": run.bag_s,
                "processing_seconds": run.processing_s,
                "problems": dict(run.problems),
            }
            for run in runs
        },
        "failed": dict(failed),
        "events": {run.name: [event_entry(event, run) for event in run.event_intervals] for run in runs},
        "truth": {
            run.name: None if run.truth_intervals is None else [truth_entry(truth) for truth in run.truth_intervals]
            for run in runs
        },
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _row(row: Row) -> dict[str, Any]:
    return {
        "true": row.true,
        "found": row.found,
        "missed": row.missed,
        "false": row.false,
        "delay_median_s": row.delay_median_s,
        "onset_error_s": row.onset_error_s,
        "offset_error_s": row.offset_error_s,
    }


def read_document(path: Path) -> Document:
    """A file that `json_document` made.

    Raises:
        DocumentError: It is not there, or is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise DocumentError(f"{path}: cannot be read: {reason}") from error
    try:
        if content["format"] not in _READABLE:
            raise DocumentError(f"{path}: its format is {content['format']}, expected {FORMAT}: evaluate again")
        known = set(content["actions_known"])
        outcomes = []
        for name, truth in content["truth"].items():
            if truth is None:
                continue
            events = tuple(
                Interval(name, e["action"], e["start"], e["end"], e["confidence"], e["person_id"], e["started"])
                for e in content["events"][name]
            )
            truths = [Interval(name, t["action"], t["start"], t["end"], person_id=t["person_id"]) for t in truth]
            outcomes.append(
                Outcome(
                    name,
                    float(content["bags"][name]["bag_seconds"]),
                    events,
                    tuple(t for t in truths if t.action in known),
                    tuple(t for t in truths if t.action not in known),
                )
            )
        return Document(path, str(content["model"]), tuple(outcomes))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DocumentError(f"{path}: is no file of this tool's --json ({reason})") from error


def versions() -> dict[str, str]:
    """Of this package, Python, and what the metrics could depend on."""
    found = {"usdrl_ros": __version__, "python": platform.python_version()}
    for package in ("numpy", "onnxruntime", "rosbags"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
