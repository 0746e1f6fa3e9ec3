"""What the demo shows in the terminal while it runs: people, what they are doing, and events as they come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.evaluation.metrics.detection import Comparison

_BAR_WIDTH = 20
_PHASE_STYLE = {Phase.STARTED: "bold green", Phase.ONGOING: "green", Phase.ENDED: "cyan"}


def live_screen(
    people: Sequence[str],
    running: Iterable[Event],
    recent: Sequence[Event],
    *,
    origin_ns: int,
    now_s: float,
    duration_s: float,
) -> RenderableType:
    """The screen at one moment; seconds count from `origin_ns`."""
    table = Table(expand=True, box=None, pad_edge=False)
    for name, ratio in (("person", 2), ("doing", 2), ("confidence", 3), ("since", 1)):
        table.add_column(name, ratio=ratio, style="bold" if name == "doing" else "")
    doing: dict[str, list[Event]] = {person: [] for person in people}
    for event in running:
        doing.setdefault(event.person_id, []).append(event)
    for person, events in doing.items():
        if not events:
            table.add_row(person, Text("-", style="dim"), "", "")
        for event in events:
            bar = "█" * round(event.confidence * _BAR_WIDTH)
            since = f"{(event.start_ns - origin_ns) / 1e9:.1f} s"
            table.add_row(person, event.action, f"[green]{bar}[/green] {event.confidence:.2f}", since)
    if not doing:
        table.add_row(Text("nobody in view", style="dim"), "", "", "")

    log = Text()
    for event in recent:
        log.append(f"{(event.stamp_ns - origin_ns) / 1e9:7.1f} s  {event.person_id:<10} ")
        log.append(f"{event.phase.name:<8}", style=_PHASE_STYLE[event.phase])
        span = f"  {(event.end_ns - event.start_ns) / 1e9:.1f} s long" if event.phase == Phase.ENDED else ""
        log.append(f" {event.action:<12} {event.confidence:.2f}{span}\n")
    progress = Table.grid(expand=True, padding=(0, 1))
    progress.add_column(width=18)
    progress.add_column(ratio=1)
    progress.add_row(f"{now_s:6.1f} of {duration_s:.1f} s", ProgressBar(total=max(duration_s, 0.1), completed=now_s))
    return Group(
        progress,
        Panel(table, title="/skeletons: people in view", title_align="left"),
        Panel(log, title="/usdrl/actions", title_align="left"),
    )


def result_table(comparison: Comparison) -> Table:
    """What was found, missed and falsely reported, in order of time."""
    table = Table(title="Script against events")
    for name in ("from (s)", "to (s)", "person", "action", "result"):
        table.add_column(name, justify="right" if "(s)" in name else "left")
    rows = [
        (
            truth,
            "[green]found[/green]"
            + ("" if event.announced is None else f", reported after {event.announced - truth.start:.1f} s"),
        )
        for truth, event in comparison.found
    ]
    rows += [(truth, "[red]missed[/red]") for truth in comparison.missed]
    rows += [(event, f"[yellow]false[/yellow], confidence {event.score:.2f}") for event in comparison.false]
    for interval, result in sorted(rows, key=lambda row: row[0].start):
        table.add_row(f"{interval.start:.1f}", f"{interval.end:.1f}", interval.person_id, interval.action, result)
    return table
