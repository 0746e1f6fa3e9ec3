"""The archives that the shipped model is judged on, prepared from the data sets where they are not there yet."""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from training.data.errors import DatasetError
from training.prepare import Skipped, prepare
from training.shipped.sessions import SessionsConfig, write


def ensure_archives(config: SessionsConfig, data: Path | None) -> None:
    """Prepare the archives of the sets and the sessions, those that are not there.

    Args:
        config: Of the sessions; `config.archives` is where archives are and come to be.
        data: Directory of the sets, as directories NAME or files NAME.tar.xz; None: all archives must be there.

    Raises:
        DatasetError: A set is not there, or is not what its name says.
    """
    console = Console(stderr=True)
    archives = Path(config.archives)
    for name in config.sets:
        if not (archives / name / "archive.json").is_file():
            console.print(f"preparing {name}", highlight=False)
            _prepare(name, data, archives / name)
    if not (archives / config.name / "archive.json").is_file():
        console.print(f"joining sessions of {config.name}", highlight=False)
        write(replace(config, archives=str(archives)), archives / config.name)


def _prepare(name: str, data: Path | None, output: Path) -> None:
    if data is None:
        raise DatasetError(f"there is no archive {output}: give --data, the directory of the data sets")
    if (data / name).is_dir():
        prepare(name, data / name, output, Skipped())
        return
    packed = data / f"{name}.tar.xz"
    if not packed.is_file():
        raise DatasetError(f"{data} holds neither {name} nor {packed.name}")
    with tempfile.TemporaryDirectory() as directory:
        try:
            with tarfile.open(packed) as content:
                content.extractall(directory, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DatasetError(f"{packed} cannot be unpacked: {error}") from error
        root = Path(directory)
        prepare(name, root / name if (root / name).is_dir() else root, output, Skipped())
