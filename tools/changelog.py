"""The changelog as bloom reads it: CHANGELOG.md in the form of catkin_pkg's CHANGELOG.rst.

python tools/changelog.py > CHANGELOG.rst       before a release; see CONTRIBUTING.md
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def inline(text: str) -> str:
    """A line of Markdown in reStructuredText: code, links, and stars that are no emphasis."""
    parts = re.split(r"(`[^`]+`|\[[^]]+\]\([^)]+\))", text)
    for number, part in enumerate(parts):
        if part.startswith("`"):
            parts[number] = f"`{part}`"
        elif match := re.fullmatch(r"\[([^]]+)\]\(([^)]+)\)", part):
            parts[number] = f"`{match[1]} <{match[2]}>`_"
        else:
            parts[number] = re.sub(r"([*_|])", r"\\\1", part)
    return "".join(parts)


def changelog(package: str, markdown: str) -> str:
    """The text of CHANGELOG.rst.

    Args:
        package: Its name.
        markdown: "## Unreleased" and "## VERSION (DATE)" with "### Kind" and lists of "- " items below.

    Raises:
        ValueError: A heading is none of these.
    """
    title = f"Changelog for package {package}"
    lines = ["^" * len(title), title, "^" * len(title), ""]
    depth = ""
    for line in markdown[markdown.index("\n## ") + 1 :].splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").replace("Unreleased", "Forthcoming")
            if not re.fullmatch(r"Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", heading):
                raise ValueError(f"heading '{line}': expected ## Unreleased or ## 1.2.3 (2026-11-27)")
            lines += [heading, "-" * len(heading)]
            depth = ""
        elif line.startswith("### "):
            lines.append(f"* {line.removeprefix('### ')}:")
            depth = "  "
        elif line.startswith("- "):
            lines.append(f"{depth}* {inline(line[2:])}")
        elif line.startswith("  "):
            lines.append(f"{depth}{inline(line)}")
        elif line:
            lines.append(f"* {inline(line)}")
        else:
            lines.append("")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(changelog("usdrl_ros", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")), end="")
