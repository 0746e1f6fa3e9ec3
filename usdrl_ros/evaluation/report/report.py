"""The report: one HTML file that needs no other, and each of its plots as a PNG beside it.

Metrics, timelines, curves, what was taken for what, how late; and for each miss and false event what the person did and
the model's probabilities, so that one sees why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

from usdrl_ros.evaluation.document import versions
from usdrl_ros.evaluation.report import metric_sections, page, recording_sections
from usdrl_ros.evaluation.report.gallery import Gallery, Subject
from usdrl_ros.files import atomic_directory, write_text

NAME = "report.html"


def write_report(
    directory: Path,
    subject: Subject,
    *,
    limit: int = 40,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the report into a directory, which is made if it is not there; gives its HTML file.

    All files are moved there together when they are whole; until then an older report stays.

    Args:
        directory: Where.
        subject: What the report is about.
        limit: Misses and false events that are shown, at most.
        progress: Called with the plots that are drawn, and those that there will be.

    Raises:
        WriteError: Something cannot be written.
    """
    with atomic_directory(directory) as workspace:
        gallery = Gallery(workspace, subject, limit, progress)
        html = page.document(f"usdrl_ros: {subject.model.name}", _parts(subject, gallery))
        write_text(workspace / NAME, html)
    return directory / NAME


def _parts(subject: Subject, gallery: Gallery) -> Iterator[str]:
    """The page's body."""
    assessment = subject.assessment
    yield _head(subject)
    if assessment is not None:
        yield metric_sections.cards(assessment, gallery)
    yield recording_sections.timelines(gallery)
    if assessment is not None:
        yield metric_sections.by_action(assessment, gallery)
        yield metric_sections.confusion(assessment, gallery)
        yield metric_sections.timing(assessment, gallery)
        yield metric_sections.sureness(assessment, gallery)
        yield metric_sections.by_person(assessment, gallery)
        yield recording_sections.why(gallery)
        yield metric_sections.all_figures(assessment, gallery)
    yield _foot(subject)


def _head(subject: Subject) -> str:
    seconds = sum(run.bag_s for run in subject.runs)
    recordings = f"{len(subject.runs)} recording{'s' if len(subject.runs) != 1 else ''}"
    words = f"{recordings}, {seconds / 60:.1f} minutes; the model knows {len(subject.model.actions)} actions"
    title = f"What <em>{escape(subject.model.name)}</em> saw, missed and invented"
    return f"<header><h1>{title}</h1><p>{escape(words)}</p></header>"


def _foot(subject: Subject) -> str:
    lines = []
    for run in subject.runs:
        for cause, count in sorted(run.problems.items()):
            lines.append(f"{run.name}: {count} x {cause}, first: {run.first_problems[cause].message}")
        lines += [f"{run.name}: {fault}" for fault in run.truth_faults]
    lines += subject.failed.values()
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    problems = page.section("What was wrong with the input", "", f"<ul>{items}</ul>") if items else ""
    recorded_s = sum(run.bag_s for run in subject.runs)
    speed = f"{recorded_s:.0f} s of recording in {subject.wall_s:.0f} s, {subject.jobs} recordings at a time"
    settings = ", ".join(f"{name} {value}" for name, value in vars(subject.settings).items())
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{problems}<footer><p>{speed}.</p><p>Settings: {escape(settings)}.</p><p>{escape(found)}.</p></footer>"
