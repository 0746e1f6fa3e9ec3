"""A moment drawn: people as skeletons, what they do above them, and the events so far as bars below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Frame, Person

WIDTH, HEIGHT, STRIP = 720, 420, 64
FINER = 2
"""Drawn this many times larger and made smaller, which smooths the lines."""
PAPER, _FLOOR, _INK, _FAINT = "#fbfbfa", "#e4e7ea", "#20262d", "#9aa4ae"
PEOPLE = ("#2f6db5", "#c2571a", "#2a8c5c", "#8c4fa3")
_LIMB_M = 0.045
"""Half the width of a limb, metres."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera before whose picture the skeletons are drawn; their frame: x to its left, y up, z out of it."""

    focal: float
    centre: tuple[float, float]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) metres."""
        depth = np.maximum(points[..., 2:], 0.2)
        return np.array(self.centre) - points[..., :2] / depth * self.focal

    def size(self, metres: float, depth: float) -> float:
        """Pixels of a length at a depth, metres."""
        return metres * self.focal / max(depth, 0.2)


@dataclass(frozen=True)
class Span:
    """One event as it is drawn: seconds from the first frame; `announced` is when STARTED was published."""

    person_id: str
    action: str
    start: float
    end: float
    announced: float
    confidence: float


class Scene:
    """Draws single pictures.

    Args:
        camera: Sees the people.
        floor: Its height in the skeletons' frame, metres.
        colours: Of the actions.
        start, stop: The seconds that the strip below shows.
    """

    def __init__(self, camera: Camera, floor: float, colours: dict[str, str], start: float, stop: float) -> None:
        self._camera, self._floor, self._colours = camera, floor, colours
        self._start, self._stop = start, stop
        self._fonts = {size: _font(size * FINER) for size in (10, 13, 16)}

    def draw(self, frame: Frame, time: float, spans: Sequence[Span]) -> Image.Image:
        """The picture of a moment."""
        picture = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), PAPER)
        pen = ImageDraw.Draw(picture)
        self._draw_floor(pen)
        people = sorted(frame.people, key=lambda person: -float(np.nanmean(person.joints[:, 2])))
        order = sorted({person.person_id for person in frame.people} | {span.person_id for span in spans})
        for person in people:
            self._draw_person(pen, person, PEOPLE[order.index(person.person_id) % len(PEOPLE)])
        for person in people:
            running = [s for s in spans if s.person_id == person.person_id and s.announced <= time <= s.end]
            self._draw_label(pen, person, running)
        self._draw_strip(pen, order, time, spans)
        return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)

    def _draw_floor(self, pen: ImageDraw.ImageDraw) -> None:
        for x in np.arange(-6.0, 6.1, 1.0):
            self._draw_line(pen, np.array([[x, self._floor, 1.0], [x, self._floor, 9.0]]), _FLOOR)
        for z in np.arange(1.0, 9.1, 1.0):
            self._draw_line(pen, np.array([[-6.0, self._floor, z], [6.0, self._floor, z]]), _FLOOR)

    def _draw_line(self, pen: ImageDraw.ImageDraw, ends: np.ndarray, colour: str) -> None:
        pen.line([tuple(point) for point in self._camera.project(ends).tolist()], fill=colour, width=FINER)

    def _draw_person(self, pen: ImageDraw.ImageDraw, person: Person, colour: str) -> None:
        layout = load_layout(person.layout)
        pixels = self._camera.project(person.joints)
        seen = np.isfinite(person.joints).all(-1)
        feet = person.joints[seen]
        if not len(feet):
            return
        shadow = feet.mean(0) * [1, 0, 1] + [0, self._floor, 0]
        x, y = self._camera.project(shadow).tolist()
        wide = self._camera.size(0.32, float(shadow[2]))
        pen.ellipse((x - wide, y - wide / 5, x + wide, y + wide / 5), fill=_FLOOR)
        for a, b in sorted(layout.bones, key=lambda bone: -float(person.joints[list(bone), 2].mean())):
            if seen[a] and seen[b]:
                radius = self._camera.size(_LIMB_M, float(person.joints[[a, b], 2].mean()))
                ends = [tuple(pixels[i].tolist()) for i in (a, b)]
                pen.line(ends, fill=colour, width=max(round(radius), 2))
                for px, py in ends:
                    pen.ellipse((px - radius / 2, py - radius / 2, px + radius / 2, py + radius / 2), fill=colour)
        for name in ("Head", "HEAD", "nose"):
            if name in layout.index and seen[layout.index[name]]:
                number = layout.index[name]
                radius = self._camera.size(0.1, float(person.joints[number, 2]))
                px, py = pixels[number].tolist()
                pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=colour)
                break

    def _draw_label(self, pen: ImageDraw.ImageDraw, person: Person, running: Sequence[Span]) -> None:
        seen = np.isfinite(person.joints).all(-1)
        if not seen.any() or not running:
            return
        pixels = self._camera.project(person.joints[seen])
        x, y = float(pixels[:, 0].mean()), float(pixels[:, 1].min()) - 30 * FINER
        for span in running:
            text = f"{span.action}  {span.confidence:.2f}"
            wide = pen.textlength(text, self._fonts[16])
            left = min(max(x - wide / 2, 10.0 * FINER), WIDTH * FINER - wide - 10.0 * FINER)
            box = (left - 8 * FINER, y - 13 * FINER, left + wide + 8 * FINER, y + 11 * FINER)
            pen.rounded_rectangle(box, 6 * FINER, fill=self._colours[span.action])
            pen.text(
                (left, y - 1 * FINER),
                text,
                fill=_ink_on(self._colours[span.action]),
                font=self._fonts[16],
                anchor="lm",
            )
            y -= 28 * FINER

    def _draw_strip(self, pen: ImageDraw.ImageDraw, order: Sequence[str], time: float, spans: Sequence[Span]) -> None:
        """The events so far as bars on a clock, a row a person."""
        top, left, right = (HEIGHT - STRIP) * FINER, 92 * FINER, (WIDTH - 14) * FINER
        row = (STRIP - 12) * FINER / max(len(order), 1)

        def at(seconds: float) -> float:
            share = (seconds - self._start) / max(self._stop - self._start, 1e-9)
            return left + (right - left) * min(max(share, 0.0), 1.0)

        for number, person_id in enumerate(order):
            y = top + row * number
            pen.text((12 * FINER, y + row / 2), person_id, fill=PEOPLE[number % len(PEOPLE)],
                     font=self._fonts[13], anchor="lm")  # fmt: skip
            pen.line((left, y + row / 2, right, y + row / 2), fill=_FLOOR, width=FINER)
            for span in spans:
                stop = min(span.end, time)
                if span.person_id != person_id or span.announced > time or stop <= self._start:
                    continue
                box = (at(span.start), y + 0.12 * row, max(at(stop), at(span.start) + 3 * FINER), y + 0.88 * row)
                pen.rounded_rectangle(box, 4 * FINER, fill=self._colours[span.action])
                self._draw_name(pen, span.action, box)
        pen.line((at(time), top - 2 * FINER, at(time), top + row * len(order)), fill=_INK, width=FINER)

    def _draw_name(self, pen: ImageDraw.ImageDraw, action: str, box: tuple[float, float, float, float]) -> None:
        """An action's name in its bar: smaller, or in two lines, where it is short; its growing bar soon has room."""
        left, top, right, bottom = box
        broken = action.replace("_", "\n", 1)
        for size, text in ((13, action), (10, action), (10, broken)):
            font, lines = self._fonts[size], text.split("\n")
            wide = max(pen.textlength(line, font) for line in lines)
            if wide > right - left - 6 * FINER or len(lines) * 1.2 * size * FINER > bottom - top:
                continue
            place = (left + 4 * FINER, (top + bottom) / 2)
            pen.text(place, text, fill=_ink_on(self._colours[action]), font=font, anchor="lm", spacing=0)
            return


def _ink_on(colour: str) -> str:
    """White or dark text, whichever is easier to read on a colour (its relative luminance, ITU-R BT.709)."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.6 else _INK


def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own sans serif, which is there wherever the package is."""
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans:bold"), size)
