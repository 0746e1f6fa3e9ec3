"""The sections of the report that show recordings: their timelines, and why it missed or was false."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from usdrl_ros.bags.label_files import bag_name
from usdrl_ros.evaluation.report import page
from usdrl_ros.evaluation.report.canvas import file_name
from usdrl_ros.evaluation.report.gallery import Gallery
from usdrl_ros.evaluation.report.strip_plot import draw_strip
from usdrl_ros.evaluation.report.timeline import timeline_pages
from usdrl_ros.evaluation.strips import Strip, mistakes

_OPEN_TIMELINES = 3


def timelines(gallery: Gallery) -> str:
    """Each recording's truth and events."""
    outcomes = {o.name: o for o in (gallery.subject.assessment.outcomes if gallery.subject.assessment else ())}
    parts = []
    for index, run in enumerate(gallery.subject.runs):
        outcome = outcomes.get(run.name)
        truths, events = run.truth_intervals or [], run.event_intervals
        verdicts = {subject: kind for kind, subject in mistakes(outcome)} if outcome else {}
        missed, false = (list(verdicts.values()).count(kind) for kind in ("missed", "false"))
        verdicts.update(dict.fromkeys(outcome.unknown if outcome else (), "unknown to the model"))
        pages = []
        for number_, (drawn, titles) in enumerate(
            timeline_pages(truths, events, run.bag_s, gallery.colours, verdicts), start=1
        ):
            suffix = f"_{number_}" if number_ > 1 else ""
            name = f"timelines/{index:03d}_{file_name(bag_name(run.name))}{suffix}"
            pages.append(gallery.plot(name, drawn, f"timeline of {run.name}, page {number_}", titles))
        mistaken = f", {missed} missed, {false} false" if outcome else ""
        more = f"{run.bag_s:.0f} s, {len(truths)} true actions, {len(events)} events{mistaken}"
        content = page.wide("".join(pages)) if pages else "<p class='note'>Nothing happens in it.</p>"
        parts.append(page.details(Path(run.name).name, more, content, opened=index < _OPEN_TIMELINES))
    note = (
        "A line is half a minute. For each person the true actions above, the events below: the paler, the less "
        "confident; a triangle marks when an event was announced, on a dotted line where that was after its "
        "end. Point at a bar for its values."
    )
    legend = page.key(gallery.known, gallery.colours, "missed, or a false event")
    return page.section("Who did what, and what was recognised", note, legend, *parts)


def why(gallery: Gallery) -> str:
    """The strips of misses and false events."""
    total = sum(len(mistakes(outcome)) for outcome in gallery.outcomes)
    parts = []
    for number_, (name, strip) in enumerate(gallery.strips):
        drawn = draw_strip(strip, gallery.colours, gallery.subject.settings.start_threshold)
        svg = gallery.plot(
            f"strips/{number_:03d}_{strip.kind}_{re.sub(r'[^0-9A-Za-z_-]', '_', strip.subject.action)}",
            drawn,
            f"{strip.kind} {strip.subject.action}",
        )
        parts.append(page.plot(svg, f"{page.tag(strip.kind)}{_strip_words(name, strip)}"))
    more = total > len(parts)
    left_out = f" {len(parts)} of {total} are shown (--strips N shows more)." if more else ""
    note = (
        "Each true action that was missed, each false event: what the person did (orange: their left, blue: "
        "their right) and, on the same clock, the probability of the action (thick) and of its rivals. What is above "
        f"the dashed line is evidence; enough of it starts an event.{left_out}"
    )
    content = "".join(parts) if parts else "<p>Nothing was missed, and no event was false.</p>"
    return page.section("Why: every miss and every false event", note, f"<div class='strips'>{content}</div>")


def _strip_words(recording: str, strip: Strip) -> str:
    subject = strip.subject
    words = f"<b>{escape(subject.action)}</b>, {escape(Path(recording).name)}, {escape(strip.person_id)}, "
    words += f"{subject.start:.1f} to {subject.end:.1f} s"
    if strip.kind == "false":
        return f"{words}, confidence {subject.score:.2f}"
    if subject.action in strip.scores:
        return f"{words}, its probability reached {strip.scores[subject.action].max():.2f}"
    return words
