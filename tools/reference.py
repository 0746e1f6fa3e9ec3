"""Write the reference pages of the documentation from what they describe: parameters, messages, and the API.

python tools/reference.py            writes docs/reference/
python tools/reference.py --check    exit code 1 where a page is not up to date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PAGES = ROOT / "docs" / "reference"
API = {
    "The recognizer": ("usdrl_ros.recognizer", "usdrl_ros.settings"),
    "People and skeletons": ("usdrl_ros.skeleton.person", "usdrl_ros.skeleton.layouts", "usdrl_ros.skeleton.normalize"),
    "Sources": ("usdrl_ros.sources.reader",),
    "Events": ("usdrl_ros.actions.events", "usdrl_ros.actions.classifier"),
    "Engines": ("usdrl_ros.inference.factory", "usdrl_ros.inference.contract", "usdrl_ros.inference.model_file"),
    "Bags": ("usdrl_ros.bags.reader", "usdrl_ros.bags.writer"),
    "Configuration": ("usdrl_ros.configuration",),
}
"""Modules whose docstrings make the page of the API, by heading."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in pages().items():
        path = PAGES / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} {'is out of date: run python tools/reference.py' if check else 'written'}")
    return int(check and bool(stale))


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    return {"parameters.md": _parameters(), "messages.md": _messages(), "api.md": _api()}


def _parameters() -> str:
    from usdrl_ros.perception_parameters import PARAMETERS

    lines = [
        "# Parameters of the perception node",
        "",
        "Made by `python tools/reference.py` from the declarations. `config/perception.yaml` has the same with",
        "their defaults, as a file for `params_file:=`. *Live* parameters may change while the node is up.",
    ]
    for spec in PARAMETERS:
        default = f"`{spec.default!r}`" if spec.default != "" else "empty"
        live = "live" if spec.live else f"fixed: {spec.fixed}"
        facts = [f"default {default}", *([spec.allowed] if spec.allowed else []), live]
        lines += ["", f"## {spec.name}", "", spec.description.replace("[", "\\["), "", f"*{'; '.join(facts)}*"]
    return "\n".join(lines) + "\n"


def _messages() -> str:
    lines = [
        "# Messages, services and actions",
        "",
        "Made by `python tools/reference.py` from the definitions.",
    ]
    for kind in ("msg", "srv", "action"):
        for path in sorted((ROOT / kind).glob(f"*.{kind}")):
            lines += [
                "",
                f"## usdrl_ros/{kind}/{path.stem}",
                "",
                "```",
                path.read_text(encoding="utf-8").strip(),
                "```",
            ]
    return "\n".join(lines) + "\n"


def _api() -> str:
    return "\n".join(["# The library", "", *_api_lines()]) + "\n"


def _api_lines() -> Iterator[str]:
    yield "What runs without ROS. The pages are the docstrings of the code."
    for heading, modules in API.items():
        yield from ("", f"## {heading}")
        for module in modules:
            yield from ("", f"::: {module}", "    options: {heading_level: 3}")


if __name__ == "__main__":
    sys.exit(main())
