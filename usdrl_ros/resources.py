"""Where the package's data files lie: beside the code once installed, at the repository's root in the source tree."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_directory(name: str) -> Path:
    """The directory of `config` or `interfaces` (the .msg files, in `msg/` of the source tree).

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    source_name = {"interfaces": "msg"}.get(name, name)
    for candidate in (_PACKAGE / name, _PACKAGE.parent / source_name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"usdrl_ros is not completely installed: no directory '{name}' at {_PACKAGE}")
