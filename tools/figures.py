"""The figures that README and docs quote from measurements: written anew, or compared, from docs/results/*.json.

    python tools/figures.py            writes every quoted figure
    python tools/figures.py --check    exit code 1 where one differs from its measurement

A figure is quoted as a number with its key behind it, in a comment that no reader sees:

    92.4 <!-- = hri_2/recognition/top1 % -->

The key names a file of docs/results and the way to a value in it; `%` says that a share is given in percent. `A - B` is
a difference. `model` stands for the shipped model's file, so that the same page quotes the next model. Decimals stay as
they are written. The tables of the model card stand between `<!-- tables = model -->` and `<!-- end of tables -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = ROOT / "docs" / "results"
QUOTE = re.compile(
    r"(?P<number>[+-]?\d[\d,]*(?:\.\d+)?)(?P<between>[*]*)"
    r"(?P<mark> ?<!-- = (?P<key>[^>]+?)(?P<percent> %)? -->)"
)
TABLES = re.compile(r"(<!-- tables = (\w+) -->\n).*?(\n<!-- end of tables -->)", re.DOTALL)


class FigureError(Exception):
    """A quoted key is in no measurement."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    check = parser.parse_args(arguments).check
    faults = 0
    for path in pages():
        text = path.read_text(encoding="utf-8")
        try:
            fresh = renewed(text)
        except FigureError as error:
            print(f"{path.relative_to(ROOT)}: {error}", file=sys.stderr)
            faults += 1
            continue
        for number, (old, new) in enumerate(zip(text.splitlines(), fresh.splitlines(), strict=False), 1):
            if old != new:
                print(f"{path.relative_to(ROOT)}:{number}: {old}\n  measured: {new}")
        if fresh != text:
            faults += check
            if not check:
                path.write_text(fresh, encoding="utf-8")
    return int(faults > 0)


def pages() -> list[Path]:
    """The pages that may quote figures."""
    return [ROOT / "README.md", ROOT / "usdrl_ros" / "models" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def renewed(text: str) -> str:
    """A page with every quoted figure as it was measured.

    Raises:
        FigureError: A key is in no measurement.
    """

    def quote(match: re.Match[str]) -> str:
        value = value_of(match["key"]) * (100.0 if match["percent"] else 1.0)
        return written(value, match["number"]) + match["between"] + match["mark"]

    return QUOTE.sub(quote, TABLES.sub(lambda match: match[1] + _tables(match[2]) + match[3], text))


def value_of(key: str) -> float:
    """The value of a key, or of a difference of two."""
    first, *rest = (_single(part) for part in key.split(" - "))
    return first - sum(rest)


def written(value: float, like: str) -> str:
    """A value with the decimals, the sign and the separator of thousands of another number."""
    decimals = len(like.partition(".")[2])
    separator = "," if "," in like or abs(value) >= 1000 else ""
    return f"{value:{'+' if like[0] == '+' else ''}{separator}.{decimals}f}"


def _single(key: str) -> float:
    name, *way = key.strip().split("/")
    found = _measurement(name)
    for step in way:
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise FigureError(f"'{key}' has no '{step}'") from None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise FigureError(f"'{key}' is no number")
    return float(found)


def _measurement(name: str) -> Any:
    if name == "model":
        from usdrl_ros.inference.factory import default_model

        name = default_model().stem
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise FigureError(f"there is no measurement {path.relative_to(ROOT)}")
    return json.loads(path.read_text(encoding="utf-8"))


def _tables(name: str) -> str:
    from training.shipped.report import markdown

    return markdown(_measurement(name)).strip()


if __name__ == "__main__":
    sys.exit(main())
