"""Hooks of `make docs`: pages of the site may link to files of the repository outside docs/, as they do on a forge.

The model card, which lies beside the model, becomes a page of its own. Any other file that a page names is shown as
it is, under files/: the site lies whole on one disk and has no dead link.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
CARD, CARD_PAGE = "usdrl_ros/models/README.md", "model_card.md"
"""The model card in the repository, and as a page of the site."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(?=[)#])")


def on_files(files: Files, config: Any) -> Files:
    """Add the model card to the pages, and the files that pages link to."""
    files.append(File.generated(config, CARD_PAGE, content=(ROOT / CARD).read_text(encoding="utf-8")))
    wanted = set()
    for page in files.documentation_pages():
        text = page.content_string
        wanted |= {path for link in _LINK.findall(text) if (path := _outside(link, _source(page.src_uri)))}
    for path in sorted(wanted - {CARD}):
        files.append(File.generated(config, f"files/{path}.txt", content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links within the site."""
    here, source = page.file.src_uri, _source(page.file.src_uri)

    def within(match: re.Match[str]) -> str:
        path = _outside(match[1], source)
        if path is None:
            if source != CARD:
                return match[1]
            target = posixpath.relpath(_resolved(match[1], source), "docs")  # the card's links into docs/
        else:
            target = CARD_PAGE if path == CARD else f"files/{path}.txt"
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(within, markdown)


def _source(page: str) -> str:
    """Where a page's text lies in the repository."""
    return CARD if page == CARD_PAGE else f"docs/{page}"


def _resolved(link: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _outside(link: str, source: str) -> str | None:
    """The file of the repository that a link names, if it is one outside docs/."""
    path = _resolved(link, source)
    inside = path.startswith(("docs/", ".."))
    return None if inside or not os.path.isfile(ROOT / path) else path
