"""The sections of the report that show metrics."""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path

import numpy as np

from usdrl_ros.evaluation.metrics.assessment import Assessment
from usdrl_ros.evaluation.metrics.breakdown import pooled
from usdrl_ros.evaluation.metrics.detection import THETAS
from usdrl_ros.evaluation.metrics.values import METRICS
from usdrl_ros.evaluation.report import page, plots
from usdrl_ros.evaluation.report.canvas import FADED
from usdrl_ros.evaluation.report.gallery import Gallery
from usdrl_ros.evaluation.tables import interval, number
from usdrl_ros.evaluation.timing import latency_summary, pooled_latencies, step_times
from usdrl_ros.evaluation.truth import unknown_line


def cards(assessment: Assessment, gallery: Gallery) -> str:
    """The metrics that one should see first."""
    metrics, total = assessment.metrics, assessment.total

    def two(name: str, unit: str = "") -> tuple[str, str]:
        estimate = metrics[name]
        value = "-" if estimate.value is None else f"{estimate.value:.2f}"
        low, high = estimate.low, estimate.high
        return value, "" if low is None or high is None else f"95 %: {low:.2f} to {high:.2f} {unit}"

    precision, its_interval = two("mAP_action@0.5")
    delay, _ = two("delay_median_s")
    false, false_interval = two("false_events_per_minute", "/min")
    late = f"90 % within {number(metrics['delay_p90_s'].value, 's')}" if total.found else ""
    error, _ = two("calibration_error")
    latency = latency_summary(gallery.subject.runs)
    if latency:
        late_90 = f"90 % within {1e3 * latency['p90']:.0f} ms"
        last = page.card(f"{1e3 * latency['median']:.0f}", "ms", "from message to scores, median", late_90)
    else:
        named, named_interval = two("frame_accuracy")
        last = page.card(named, "", "of the actions' time named right", named_interval)
    cards = (
        page.card(precision, "", "mAP_action at tIoU 0.5", its_interval),
        page.card(f"{total.found}", f"of {total.true}", "true actions found", f"{total.missed} missed"),
        page.card(delay, "s", "from onset to STARTED, median", late),
        page.card(false, "/min", "false events", false_interval),
        page.card(error, "", "calibration error", "0: as sure as it is right"),
        last,
    )
    return f"<div class='cards'>{''.join(cards)}</div>"


def by_action(assessment: Assessment, gallery: Gallery) -> str:
    """A line for each action, and precision over recall."""
    rows = []
    for action, (row, precision) in assessment.actions.items():
        value = number(precision.value, digits=2)
        rows.append(
            [
                page.named(action, gallery.colours),
                *(page.count(getattr(row, name)) for name in ("true", "found", "missed", "false")),
                number(row.delay_median_s, "s"),
                number(row.onset_error_s, "s"),
                number(row.offset_error_s, "s"),
                value + page.bar(precision.value, gallery.colours[action]),
                interval(precision, "/min") or "[-]",
            ]
        )
    total = assessment.total
    mean = assessment.metrics["mAP_action@0.5"]
    last = [
        "all",
        *(str(getattr(total, name)) for name in ("true", "found", "missed", "false")),
        *(number(getattr(total, name), "s") for name in ("delay_median_s", "onset_error_s", "offset_error_s")),
        number(mean.value, digits=2) + page.bar(mean.value, FADED),
        interval(mean, "/min") or "[-]",
    ]
    heads = ("action", "true", "found", "missed", "false", "delay", "onset off", "end off", "AP at 0.5", "95 %")
    events, truths = pooled(assessment.outcomes)
    values = {action: precision for action, (_, precision) in assessment.actions.items()}
    curves = plots.precision_recall_plot(events, truths, values, gallery.colours)
    note = (
        "Found: an event of this action overlaps it, however little. AP at 0.5 asks for an overlap of one half "
        "(PKU-MMD's metric). Delay: from the true onset to STARTED. Off: how far the recognised onset and end are from "
        "the true ones; medians."
    )
    unknown = ""
    if assessment.unknown:
        words = unknown_line(assessment.unknown, gallery.subject.model.actions)
        unknown = f"<p class='bad'>The model does not know, counted in no metric: {escape(words)}</p>"
    svg = page.wide(gallery.plot("precision_recall", curves, "precision over recall by action"))
    heading = "<h3>Precision over recall, at an overlap of 0.5 (thick) and 0.3 (thin)</h3>"
    return page.section("By action", note, page.table(heads, rows, last), unknown, heading, svg)


def confusion(assessment: Assessment, gallery: Gallery) -> str:
    """Which true action was recognised as which."""
    drawn = plots.confusion_plot(assessment.confusion, assessment.false)
    svg = gallery.plot("confusion", drawn, "confusion matrix")
    note = (
        "Each true action counts once, in its row: recognised right (green), as another action, or missed. The last "
        "row: events that overlap no true action of their kind."
    )
    return page.section("Confusions", note, svg)


def timing(assessment: Assessment, gallery: Gallery) -> str:
    """How late, how far off, how long."""
    comparison, metrics = assessment.comparison, assessment.metrics
    parts = []
    marks: dict[str, float | None]
    marks = {"median": metrics["delay_median_s"].value, "90 %": metrics["delay_p90_s"].value}
    drawn = plots.histogram(comparison.delays, "true onset to STARTED, s", marks=marks)
    parts.append(page.plot(gallery.plot("delay", drawn, "histogram of delays"), "<b>Delay</b> of what was found"))
    onsets = [event.start - truth.start for truth, event in comparison.found]
    offsets = [event.end - truth.end for truth, event in comparison.found]
    for name, values in (("onset", onsets), ("end", offsets)):
        marks = {"median": float(np.median(values))} if values else {}
        drawn = plots.histogram(values, f"recognised {name} minus true {name}, s", marks=marks)
        caption = f"<b>Recognised {name}</b> against the true one; right of 0 is late"
        parts.append(page.plot(gallery.plot(f"{name}_error", drawn, f"error of the {name}"), caption))
    latencies, latency = pooled_latencies(gallery.subject.runs), latency_summary(gallery.subject.runs)
    if latency:
        marks = {"median": latency["median"], "90 %": latency["p90"]}
        drawn = plots.histogram(latencies, "skeletons to scores, ms", marks=marks, unit="ms")
        caption = "<b>Latency</b> of the live nodes: from a message to the scores that it led to, over DDS"
    else:
        counts: Counter[float] = Counter()
        for run in gallery.subject.runs:
            counts.update(run.step_ms)
        steps = step_times(gallery.subject.runs) or {}
        values = [value / 1e3 for value in counts.elements()]
        marks = {name: steps[part] / 1e3 for name, part in (("median", "median"), ("90 %", "p90")) if steps}
        drawn = plots.histogram(values, "time of a step, ms", marks=marks, unit="ms")
        caption = "<b>Processing</b>: time of a step on this machine, all people of it together"
    parts.append(page.plot(gallery.plot("latency", drawn, "histogram of latencies"), caption))
    note = "How late events are announced, and how well their borders sit; missed actions do not count here."
    return page.section("How late", note, f"<div class='pair'>{''.join(parts)}</div>")


def sureness(assessment: Assessment, gallery: Gallery) -> str:
    """Calibration, and the required overlap."""
    reliability = plots.reliability_plot(assessment.calibration)
    overlaps = plots.overlap_plot(assessment.metrics, THETAS)
    error = number(assessment.metrics["calibration_error"].value)
    parts = (
        page.plot(
            gallery.plot("calibration", reliability, "share right by confidence"),
            f"<b>Calibration</b>: on the grey line, confidence is the share that is right; expected error {error}",
        ),
        page.plot(gallery.plot("overlap", overlaps, "mAP by overlap"), "<b>By overlap</b> that is required"),
    )
    note = "Whether the events' confidence can be believed, and how exactly they sit in time."
    return page.section("How sure, how exact", note, f"<div class='pair'>{''.join(parts)}</div>")


def by_person(assessment: Assessment, gallery: Gallery) -> str:
    """A line for each person."""
    rows = [
        [
            escape(Path(recording).name),
            escape(person_id or "anyone"),
            *(page.count(getattr(row, name)) for name in ("true", "found", "missed", "false")),
            number(row.delay_median_s, "s"),
            number(row.found / row.true, digits=2) + page.bar(row.found / row.true, FADED) if row.true else "-",
        ]
        for (recording, person_id), row in assessment.people.items()
    ]
    heads = ("recording", "person", "true", "found", "missed", "false", "delay", "found")
    return page.section("By person", "People differ; so do recordings.", page.table(heads, rows))


def all_figures(assessment: Assessment, gallery: Gallery) -> str:
    """Every metric with its interval."""
    rows = [
        [
            f"<code>{escape(name)}</code>",
            escape(metric.title),
            number(assessment.metrics[name].value, metric.unit),
            interval(assessment.metrics[name], metric.unit) or "[-]",
        ]
        for name, metric in METRICS.items()
    ]
    note = "By the names that --require and the JSON file use. Intervals: bootstrap over recordings, 95 %."
    return page.section("All metrics", note, page.table(("name", "metric", "value", "95 % interval"), rows))
