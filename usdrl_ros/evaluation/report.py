"""The report: one HTML file that needs no other, and each of its pictures as a PNG beside it.

Figures, timelines, curves, what was taken for what, how late; and for each miss and false event what the person did and
what the model thought, so that one sees why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usdrl_ros.evaluation import charts, page
from usdrl_ros.evaluation.assessment import Assessment
from usdrl_ros.evaluation.breakdown import pooled
from usdrl_ros.evaluation.canvas import FADED, colours_of, save_png, svg
from usdrl_ros.evaluation.document import versions
from usdrl_ros.evaluation.figures import FIGURES
from usdrl_ros.evaluation.metrics import THETAS
from usdrl_ros.evaluation.run import BagRun
from usdrl_ros.evaluation.strip_picture import draw_strip
from usdrl_ros.evaluation.strips import Strip, mistakes
from usdrl_ros.evaluation.tables import interval, number
from usdrl_ros.evaluation.timeline import timeline_pages
from usdrl_ros.evaluation.timing import latency_figures, pooled_latencies, step_figures, times_real_time
from usdrl_ros.evaluation.truth import unknown_line
from usdrl_ros.inference.engine import ModelInfo
from usdrl_ros.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "report.html"
_OPEN_TIMELINES = 3


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Args:
        model: The model.
        settings: Of recognition.
        runs: All bags that could be run.
        assessment: Of those with truth; None where there is none.
        failed: Why a bag could not be run, by its path.
        wall_s: Seconds that it all took.
        jobs: Bags at a time.
        strips: Misses and false events at most.
    """

    model: ModelInfo
    settings: Settings
    runs: Sequence[BagRun]
    assessment: Assessment | None
    failed: Mapping[str, str]
    wall_s: float
    jobs: int
    strips: int


def write_report(
    directory: Path, subject: Subject, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Write the report into a directory, which is made if it is not there; gives its HTML file.

    Raises:
        OSError: Something cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    html = directory / NAME
    builder = _Builder(directory, subject, progress)
    html.write_text(page.document(f"usdrl_ros: {subject.model.name}", builder.parts()), encoding="utf-8")
    return html


class _Builder:
    """Draws each picture once, for the page and for its PNG."""

    def __init__(self, directory: Path, subject: Subject, progress: Callable[[int, int], None]) -> None:
        self._directory, self._subject, self._progress = directory, subject, progress
        self._pictures = 0
        self._strips = _chosen(subject.runs, subject.strips)
        self._expected = len(self._strips) + len(subject.runs) + 7
        intervals = [i for run in subject.runs for i in (*run.event_intervals, *(run.truth_intervals or ()))]
        self._colours = colours_of(interval.action for interval in intervals)

    def parts(self) -> Iterator[str]:
        """The page's body."""
        yield self._head()
        assessment = self._subject.assessment
        if assessment is not None:
            yield self._cards(assessment)
        yield self._timelines()
        if assessment is not None:
            yield self._actions(assessment)
            yield self._confusion(assessment)
            yield self._timing(assessment)
            yield self._sureness(assessment)
            yield self._people(assessment)
            yield self._mistakes()
            yield self._all_figures(assessment)
        yield self._foot()

    def _picture(self, name: str, drawn: Figure, label: str, titles: Mapping[str, str] | None = None) -> str:
        path = self._directory / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        save_png(drawn, path)
        self._pictures += 1
        self._progress(min(self._pictures, self._expected), self._expected)
        return svg(drawn, label, titles=titles)

    def _head(self) -> str:
        subject = self._subject
        seconds = sum(run.bag_s for run in subject.runs)
        recordings = f"{len(subject.runs)} recording{'s' if len(subject.runs) != 1 else ''}"
        words = f"{recordings}, {seconds / 60:.1f} minutes; the model knows {len(subject.model.actions)} actions"
        title = f"What <em>{escape(subject.model.name)}</em> saw, missed and invented"
        return f"<header><h1>{title}</h1><p>{escape(words)}</p></header>"

    def _cards(self, assessment: Assessment) -> str:
        figures, total = assessment.figures, assessment.total

        def two(name: str, unit: str = "") -> tuple[str, str]:
            estimate = figures[name]
            value = "-" if estimate.value is None else f"{estimate.value:.2f}"
            low, high = estimate.low, estimate.high
            return value, "" if low is None or high is None else f"95 %: {low:.2f} to {high:.2f} {unit}"

        precision, its_interval = two("mAP_action@0.5")
        delay, _ = two("delay_median_s")
        false, false_interval = two("false_events_per_minute", "/min")
        late = f"90 % within {number(figures['delay_p90_s'].value, 's')}" if total.found else ""
        error, _ = two("calibration_error")
        speed = times_real_time(self._subject.runs, self._subject.wall_s)
        latency = latency_figures(self._subject.runs)
        last = (
            page.card(
                f"{1e3 * latency['median']:.0f}",
                "ms",
                "from message to scores",
                f"90 % within {1e3 * latency['p90']:.0f} ms",
            )
            if latency
            else page.card(
                "-" if speed is None else f"{speed:.0f}",
                "x",
                "faster than real time",
                f"{self._subject.jobs} at a time",
            )
        )
        cards = (
            page.card(precision, "", "mAP_action at tIoU 0.5", its_interval),
            page.card(f"{total.found}", f"of {total.true}", "true actions found", f"{total.missed} missed"),
            page.card(delay, "s", "from onset to STARTED, median", late),
            page.card(false, "/min", "false events", false_interval),
            page.card(error, "", "calibration error", "0: as sure as it is right"),
            last,
        )
        return f"<div class='cards'>{''.join(cards)}</div>"

    def _timelines(self) -> str:
        outcomes = {o.name: o for o in (self._subject.assessment.outcomes if self._subject.assessment else ())}
        parts = []
        for index, run in enumerate(self._subject.runs):
            outcome = outcomes.get(run.name)
            truths, events = run.truth_intervals or [], run.event_intervals
            wrong = [subject for _, subject in mistakes(outcome)] if outcome else []
            pages = []
            for number_, (drawn, titles) in enumerate(
                timeline_pages(truths, events, run.bag_s, self._colours, wrong), start=1
            ):
                suffix = f"_{number_}" if number_ > 1 else ""
                name = f"timelines/{index:03d}_{Path(run.name).stem}{suffix}"
                pages.append(self._picture(name, drawn, f"timeline of {run.name}, page {number_}", titles))
            missed = f", {sum(s in truths for s in wrong)} missed, {sum(s in events for s in wrong)} false"
            more = f"{run.bag_s:.0f} s, {len(truths)} true actions, {len(events)} events{missed if outcome else ''}"
            content = "".join(pages) or "<p class='note'>Nothing happens in it.</p>"
            parts.append(page.details(Path(run.name).name, more, content, opened=index < _OPEN_TIMELINES))
        note = (
            "A line is a minute. For each person the true actions above, the events below: the paler, the less "
            "confident; a triangle marks when an event was announced. Point at a bar for its figures."
        )
        legend = page.key(self._colours, self._colours, "missed, or told in vain")
        return page.section("Who did what, and what was told", note, legend, *parts)

    def _actions(self, assessment: Assessment) -> str:
        rows = []
        for action, (row, precision) in assessment.actions.items():
            value = number(precision.value, digits=2)
            rows.append(
                [
                    page.named(action, self._colours),
                    *(page.count(getattr(row, name)) for name in ("true", "found", "missed", "false")),
                    number(row.delay_median_s, "s"),
                    number(row.onset_error_s, "s"),
                    number(row.offset_error_s, "s"),
                    value + page.bar(precision.value, self._colours[action]),
                    interval(precision, "/min") or "[-]",
                ]
            )
        total = assessment.total
        mean = assessment.figures["mAP_action@0.5"]
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
        curves = charts.precision_recall_chart(events, truths, values, self._colours)
        note = (
            "Found: an event of this action overlaps it, however little. AP at 0.5 asks for an overlap of one half "
            "(PKU-MMD's metric). Delay: from the true onset to STARTED. Off: how far the told onset and end are from "
            "the true ones; medians."
        )
        unknown = ""
        if assessment.unknown:
            words = unknown_line(assessment.unknown, self._subject.model.actions)
            unknown = f"<p class='bad'>The model does not know, counted in no figure: {escape(words)}</p>"
        picture = self._picture("precision_recall", curves, "precision over recall by action")
        heading = "<h3>Precision over recall, at an overlap of 0.5 (thick) and 0.3 (thin)</h3>"
        return page.section("By action", note, page.table(heads, rows, last), unknown, heading, picture)

    def _confusion(self, assessment: Assessment) -> str:
        drawn = charts.confusion_chart(assessment.confusion, assessment.false)
        picture = self._picture("confusion", drawn, "confusion matrix")
        note = (
            "Each true action counts once, in its row: told right (green), told as another action, or missed. The last "
            "row: events that overlap no true action of their kind."
        )
        return page.section("What was taken for what", note, picture)

    def _timing(self, assessment: Assessment) -> str:
        comparison, figures = assessment.comparison, assessment.figures
        parts = []
        marks = {"median": figures["delay_median_s"].value, "90 %": figures["delay_p90_s"].value}
        drawn = charts.histogram(comparison.delays, "true onset to STARTED, s", marks=_there(marks))
        parts.append(
            page.figure(self._picture("delay", drawn, "histogram of delays"), "<b>Delay</b> of what was found")
        )
        onsets = [event.start - truth.start for truth, event in comparison.found]
        offsets = [event.end - truth.end for truth, event in comparison.found]
        for name, values in (("onset", onsets), ("end", offsets)):
            marks = {"median": float(np.median(values))} if values else {}
            drawn = charts.histogram(values, f"told {name} minus true {name}, s", marks=_there(marks))
            caption = f"<b>Told {name}</b> against the true one; right of 0 is late"
            parts.append(page.figure(self._picture(f"{name}_error", drawn, f"error of the {name}"), caption))
        latencies, latency = pooled_latencies(self._subject.runs), latency_figures(self._subject.runs)
        if latency:
            marks = {"median": latency["median"], "90 %": latency["p90"]}
            drawn = charts.histogram(latencies, "skeletons to scores, ms", marks=marks, unit="ms")
            caption = "<b>Latency</b> of the live nodes: from a message to the scores that it led to, over DDS"
        else:
            counts = sum((run.step_ms for run in self._subject.runs), type(self._subject.runs[0].step_ms)())
            steps = step_figures(self._subject.runs) or {}
            values = [value / 1e3 for value, count in counts.items() for _ in range(-(-count // 100))]
            marks = {name: steps[part] / 1e3 for name, part in (("median", "median"), ("90 %", "p90")) if steps}
            drawn = charts.histogram(values, "time of a step, ms", marks=marks, unit="ms")
            caption = "<b>Processing</b>: time of a step on this machine, all people of it together"
        parts.append(page.figure(self._picture("latency", drawn, "histogram of latencies"), caption))
        note = "How late events are told, and how well their borders sit; missed actions do not count here."
        return page.section("How late", note, f"<div class='pair'>{''.join(parts)}</div>")

    def _sureness(self, assessment: Assessment) -> str:
        reliability = charts.reliability_chart(assessment.calibration)
        overlaps = charts.overlap_chart(assessment.figures, THETAS)
        error = number(assessment.figures["calibration_error"].value)
        parts = (
            page.figure(
                self._picture("calibration", reliability, "share right by confidence"),
                f"<b>Calibration</b>: on the grey line, confidence is the share that is right; expected error {error}",
            ),
            page.figure(self._picture("overlap", overlaps, "mAP by overlap"), "<b>By overlap</b> that is asked for"),
        )
        note = "Whether the events' confidence can be believed, and how exactly they sit in time."
        return page.section("How sure, how exact", note, f"<div class='pair'>{''.join(parts)}</div>")

    def _people(self, assessment: Assessment) -> str:
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

    def _mistakes(self) -> str:
        total = sum(len(mistakes(outcome)) for outcome in self._outcomes())
        parts = []
        for number_, (name, strip) in enumerate(self._strips):
            drawn = draw_strip(strip, self._colours, self._subject.settings.start_threshold)
            picture = self._picture(
                f"strips/{number_:03d}_{strip.kind}_{strip.subject.action}",
                drawn,
                f"{strip.kind} {strip.subject.action}",
            )
            parts.append(page.figure(picture, f"{page.tag(strip.kind)}{_strip_words(name, strip)}"))
        more = total > len(parts)
        left_out = f" {len(parts)} of {total} are shown (--strips N shows more)." if more else ""
        note = (
            "Each true action that was missed, each event in vain: what the person did (orange: their left, blue: "
            "their right) and, on the same clock, the probability of the action (thick) and of its rivals. An event starts "
            f"where one reaches the dashed line.{left_out}"
        )
        content = "".join(parts) if parts else "<p>Nothing was missed, and nothing told in vain.</p>"
        return page.section("Why: every miss and every false event", note, f"<div class='strips'>{content}</div>")

    def _all_figures(self, assessment: Assessment) -> str:
        rows = [
            [
                f"<code>{escape(name)}</code>",
                escape(figure.title),
                number(assessment.figures[name].value, figure.unit),
                interval(assessment.figures[name], figure.unit) or "[-]",
            ]
            for name, figure in FIGURES.items()
        ]
        note = "By the names that --require and the JSON file use. Intervals: bootstrap over recordings, 95 %."
        return page.section("All figures", note, page.table(("name", "figure", "value", "95 % interval"), rows))

    def _foot(self) -> str:
        subject = self._subject
        lines = []
        for run in subject.runs:
            for cause, count in sorted(run.problems.items()):
                lines.append(f"{run.name}: {count} x {cause}, first: {run.first_problems[cause].message}")
            lines += [f"{run.name}: {fault}" for fault in run.truth_faults]
        lines += subject.failed.values()
        told = "".join(f"<li>{escape(line)}</li>" for line in lines)
        problems = page.section("What was wrong with the input", "", f"<ul>{told}</ul>") if told else ""
        settings = ", ".join(f"{name} {value}" for name, value in vars(subject.settings).items())
        found = ", ".join(f"{name} {version}" for name, version in versions().items())
        return f"{problems}<footer><p>Settings: {escape(settings)}.</p><p>{escape(found)}.</p></footer>"

    def _outcomes(self) -> Sequence:
        return self._subject.assessment.outcomes if self._subject.assessment else ()


def _chosen(runs: Sequence[BagRun], limit: int) -> list[tuple[str, Strip]]:
    """At most so many strips, evenly over all recordings."""
    strips = [(run.name, strip) for run in runs for strip in run.strips]
    if len(strips) <= limit:
        return strips
    return [strips[index] for index in np.linspace(0, len(strips) - 1, limit).round().astype(int)] if limit else []


def _strip_words(recording: str, strip: Strip) -> str:
    subject = strip.subject
    words = f"<b>{escape(subject.action)}</b>, {escape(Path(recording).name)}, {escape(strip.person_id)}, "
    words += f"{subject.start:.1f} to {subject.end:.1f} s"
    if strip.kind == "false":
        return f"{words}, confidence {subject.score:.2f}"
    if subject.action in strip.scores:
        return f"{words}, its probability reached {strip.scores[subject.action].max():.2f}"
    return words


def _there(marks: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in marks.items() if value is not None}
