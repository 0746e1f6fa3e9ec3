"""How all plots look, and how they are written: PNG beside the report, SVG within it.

matplotlib is heavy: it is imported only when something is drawn.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FADED, GRID, BAND = "#222222", "#5c6570", "#d9dce1", "#f4f5f7"
UNKNOWN = "#b9bfc7"
GOOD, BAD, ACCENT = "#2a8c5c", "#d1342f", "#2f6db5"
PALETTE = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#76b7b2",
    "#b07aa1",
    "#edc948",
    "#9c755f",
    "#ff9da7",
    "#5f6b7a",
    "#86bc25",
    "#d37295",
    "#1f9ed1",
    "#a0520f",
    "#8c6bb1",
    "#2f7f5f",
)
_FONT = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_SVG_SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "usdrl_ros"}


def colours_of(actions: Iterable[str]) -> dict[str, str]:
    """A colour for each action, in the order of the alphabet; beyond the palette's length, darker and paler ones.

    Give all actions of the model, not those that occur: then an action has one colour in all plots of the model.
    """
    return {action: _shade(index) for index, action in enumerate(sorted(set(actions)))}


def _shade(index: int) -> str:
    base, turn = PALETTE[index % len(PALETTE)], index // len(PALETTE)
    towards, share = (0, 0.0) if turn == 0 else ((0, 0.35) if turn % 2 else (255, 0.45))
    channels = (int(base[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round((1 - share) * channel + share * towards):02x}" for channel in channels)


def new_figure(width: float, height: float) -> Figure:
    """An empty plot, inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Take away what is no information; `grid` says which lines are drawn."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(colors=FADED, labelsize=8.5, length=0)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)


def save_png(figure: Figure, path: Path) -> None:
    """Write a plot as a PNG; raises OSError."""
    with _plain_text(figure):
        figure.savefig(path)


@contextmanager
def _plain_text(figure: Figure) -> Iterator[None]:
    """Names from outside are shown as they are: a "$" begins no formula, and a sign that no font has is a box."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def svg(figure: Figure, label: str, *, titles: Mapping[str, str] | None = None) -> str:
    """A plot as an SVG element for a page: as wide as there is room, text stays text in the page's font.

    Args:
        figure: The plot.
        label: What it shows, for those who cannot see it.
        titles: The text shown when one points at an artist, by its gid.
    """
    from matplotlib import rc_context

    stream = io.StringIO()
    with _plain_text(figure), rc_context(_SVG_SETTINGS):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index(">", text.index("<svg")) + 1 :], flags=re.DOTALL)
    for gid, title in (titles or {}).items():
        body = body.replace(f'<g id="{gid}">', f"<g><title>{escape(title)}</title>", 1)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    prefix = f"s{hashlib.sha256(body.encode()).hexdigest()[:10]}_"  # the ids of a page must differ
    body = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", body)
    body = re.sub(r'(href="|url\()#', rf"\1#{prefix}", body)
    body = re.sub(r"font: ([^\";]*?[\d.]+px) [^\";]*", rf"font: \1 {_FONT}", body)
    body = re.sub(r"font-family: [^\";]*", f"font-family: {_FONT}", body)
    width, height = (72 * inches for inches in figure.get_size_inches())
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:100%;max-width:{1.4 * width:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )


def file_name(text: str) -> str:
    """A text from outside as a part of a file's name: short, without separators and control characters."""
    return "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text)[:60] or "_"


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
