"""Pictures of a camera or a video file, by OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


class VideoError(Exception):
    """A camera or a video cannot be read or written; the message is one line."""


class Video:
    """A camera (its number) or a video file, read by OpenCV; a context manager."""

    def __init__(self, source: int | Path) -> None:
        os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # what it logs of a missing camera, VideoError says in a line
        try:
            import cv2
        except ImportError as error:
            raise VideoError(
                "OpenCV is not installed: pip install opencv-contrib-python, or run `make webcam`"
            ) from error
        self._cv2: Any = cv2
        self._source = source
        if isinstance(source, Path) and not source.is_file():
            raise VideoError(f"--video {source}: no such file")
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            hint = (
                "is it connected, free, and may you read /dev/video*?" if isinstance(source, int) else "is it a video?"
            )
            raise VideoError(f"{'camera' if isinstance(source, int) else 'video'} {source} cannot be opened: {hint}")
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if 1.0 <= rate <= 240.0 else 30.0
        pictures = 0.0 if isinstance(source, int) else float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.duration_s = max(pictures, 0.0) / self.rate

    def pictures(self) -> Iterator[tuple[int, np.ndarray]]:
        """Stamp, nanoseconds, and picture (rows, columns, 3), BGR, uint8; of a file by its frame rate."""
        number = 0
        while True:
            read, picture = self._capture.read()
            if not read:
                if number == 0:
                    raise VideoError(f"{self._source}: no picture can be read")
                return
            live = isinstance(self._source, int)
            stamp_ns = time.time_ns() if live else 1_000_000_000 + round(number * 1e9 / self.rate)
            yield stamp_ns, picture
            number += 1

    def to_rgb(self, picture: np.ndarray) -> np.ndarray:
        """The picture in RGB."""
        return np.ascontiguousarray(picture[..., ::-1])

    def writer(self, path: Path) -> Any:
        """An OpenCV writer of the same size and rate.

        Raises:
            VideoError: OpenCV cannot write it.
        """
        code = self._cv2.VideoWriter_fourcc(*"mp4v")
        writer = self._cv2.VideoWriter(str(path), code, self.rate, (self.width, self.height))
        if not writer.isOpened():
            raise VideoError(f"{path} cannot be written by OpenCV")
        return writer

    def show(self, picture: np.ndarray) -> bool:
        """Show a picture in a window; whether the user closed it (q or Escape)."""
        self._cv2.imshow("usdrl_ros", picture)
        return self._cv2.waitKey(1) & 0xFF in (27, ord("q"))

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()
