"""Ids for people whose source gives none, or only to some: by where they are and how they move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from usdrl_ros.skeleton.person import Frame

if TYPE_CHECKING:
    from usdrl_ros.scene.association import Associator

_MOST_CAMERAS = 16
"""The names of cameras come from the network."""


class Naming:
    """Names people, each camera's on their own. Takes the frames of a source in their order."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def update(self, frame: Frame) -> Frame:
        """The frame with an id for each of its people, as `Frame.association` says.

        Who cannot be named is left out and reported. The frames of one instant get the stamp of the first of them.
        """
        if frame.association == "never" and not frame.instant_s:
            return frame
        name = frame.camera or frame.frame_id
        camera = self._cameras.pop(name, None) or _Camera()
        self._cameras[name] = camera  # the newest last
        if len(self._cameras) > _MOST_CAMERAS:
            del self._cameras[next(iter(self._cameras))]
        return camera.update(frame)


class _Camera:
    def __init__(self) -> None:
        self._associator: Associator | None = None
        self._instant_ns: int | None = None

    def update(self, frame: Frame) -> Frame:
        stamp_ns = self._instant(frame)
        if frame.association == "never":
            return replace(frame, stamp_ns=stamp_ns, instant_s=0.0)
        if self._associator is None:
            from usdrl_ros.scene.association import Associator  # needs scipy, which other frames do not

            self._associator = Associator()
        if stamp_ns == self._instant_ns and self._associator.has_seen(stamp_ns, frame.people):
            # Messages that waited come in one burst: the same person again is another instant.
            stamp_ns = self._instant_ns = max(frame.stamp_ns, stamp_ns + 1)
        everybody = frame.association == "always"
        named = [person for person in frame.people if person.person_id and not everybody]
        nameless = [person for person in frame.people if everybody or not person.person_id]
        problems = list(frame.problems)
        if nameless or everybody:
            named += self._associator.assign(stamp_ns, nameless, problems)
        return replace(frame, stamp_ns=stamp_ns, people=named, problems=problems, association="never", instant_s=0.0)

    def _instant(self, frame: Frame) -> int:
        """The stamp of the instant that a frame shows."""
        if not frame.instant_s:
            return frame.stamp_ns
        if self._instant_ns is None or not 0 <= frame.stamp_ns - self._instant_ns <= frame.instant_s * 1e9:
            self._instant_ns = frame.stamp_ns
        return self._instant_ns
