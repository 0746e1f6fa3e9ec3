"""The pieces of HTML that the report is made of; whatever comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from usdrl_ros.evaluation.report.canvas import UNKNOWN

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page that needs no other file."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    return _TEMPLATE.format(title=escape(title), style=style, body="\n".join(parts))


def section(title: str, note: str, *parts: str) -> str:
    """A box with a heading and a line that says how to read it."""
    return f"<section><h2>{escape(title)}</h2><p class='note'>{escape(note)}</p>{''.join(parts)}</section>"


def card(value: str, unit: str, title: str, detail: str) -> str:
    """A metric that one should see first."""
    small = f" <small>{escape(unit)}</small>" if unit else ""
    number = f"<b>{escape(value)}{small}</b>"
    return f"<div class='card'>{number}<span>{escape(title)}</span><i>{escape(detail)}&nbsp;</i></div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] | None = None) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    last = f"<tr class='total'>{''.join(_cell(cell) for cell in total)}</tr>" if total else ""
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}{last}</tbody></table></div>"


def _cell(content: str) -> str:
    return f"<td class='ci'>{content}</td>" if content.startswith("[") else f"<td>{content}</td>"


def count(value: int) -> str:
    """A number that is pale where it is zero."""
    return str(value) if value else "<span class='zero'>0</span>"


def bar(share: float | None, colour: str) -> str:
    """A share as a bar."""
    width = 100 * min(max(share or 0.0, 0.0), 1.0)
    return f"<span class='bar'><span style='width:{width:.1f}%;background:{colour}'></span></span>"


def named(action: str, colours: Mapping[str, str]) -> str:
    """An action with its colour."""
    return f"<span class='dot' style='background:{colours.get(action, '#999999')}'></span>{escape(action)}"


def key(actions: Iterable[str], colours: Mapping[str, str], wrong: str) -> str:
    """The colours of actions, what grey says, and what the red frame says."""
    dots = "".join(f"<span>{named(action, colours)}</span>" for action in actions)
    if UNKNOWN in colours.values():
        dots += f"<span><span class='dot' style='background:{UNKNOWN}'></span>unknown to the model</span>"
    return f"<div class='key'>{dots}<span><span class='wrong'></span>{escape(wrong)}</span></div>"


def details(title: str, more: str, content: str, *, opened: bool) -> str:
    """What can be folded away."""
    state = " open" if opened else ""
    return f"<details{state}><summary>{escape(title)} <small>{escape(more)}</small></summary>{content}</details>"


def plot(svg: str, caption: str) -> str:
    """A plot (SVG) below its caption, which is HTML already."""
    return f"<figure><figcaption>{caption}</figcaption>{wide(svg)}</figure>"


def wide(content: str) -> str:
    """Plots that scroll sideways on a narrow screen: made smaller, they could not be read."""
    return f"<div class='wide'>{content}</div>"


def tag(kind: str) -> str:
    """A coloured "missed" or "false"."""
    return f"<span class='tag {escape(kind)}'>{escape(kind)}</span>"
