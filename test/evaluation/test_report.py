"""The report: one file that needs no other, pictures beside it, nothing of the input taken for HTML."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluation_bags import make_recording, use_hand_engine
from matplotlib import image

from usdrl_ros.bags.writer import write_recording
from usdrl_ros.evaluation import command as tool
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.report.canvas import clock, colours_of, new_figure, svg
from usdrl_ros.evaluation.report.strip_plot import draw_strip
from usdrl_ros.evaluation.report.timeline import LINE_S, PAGE_LINES, save_timeline, timeline_pages
from usdrl_ros.evaluation.strips import Strip
from usdrl_ros.recording import Segment

NASTY = "<script>alert('&\"')</script>"


class Page(HTMLParser):
    """What a page consists of; fails where tags do not fit together."""

    VOID = ("meta", "br", "hr", "img", "input", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two bags: in one all is found; the other has a miss, a false event, an unknown label and a nasty name."""
    root = tmp_path_factory.mktemp("report")
    write_recording(make_recording({"alice": [(3.0, 6.0)]}, 8.0), root / "good")
    recording = make_recording({NASTY: [(3.0, 6.0)]}, 8.0)
    segments = (Segment(0.5, 1.5, "wave", NASTY), Segment(7, 8, NASTY, NASTY))
    write_recording(dataclasses.replace(recording, segments=segments), root / "bad&<b>")
    with pytest.MonkeyPatch.context() as patch:
        use_hand_engine(patch)
        assert tool.main([str(root / "good"), str(root / "bad&<b>"), "--report", str(root / "out")]) == 0
    return root / "out"


@pytest.mark.slow
def test_page_is_whole_and_alone(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "b<")
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "url(http" not in text
    assert "@import" not in text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {value[1:] for _, a in page.tags for value in (a.get("xlink:href"),) if value}
    assert used | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_page_shows_what_happened(report: Path) -> None:
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    words = " ".join(page.text.split())
    assert "1 of 2true actions found1 missed" in words
    assert f"The model does not know, counted in no metric: {NASTY} (1)" in words
    assert "missedwave, bad&<b>" in words
    assert NASTY in page.text
    assert "bad&<b>" in page.text
    bars = [text for text in re.findall(r"wave, [^<]*", page.text) if "confidence" in text]
    assert any("right" in bar for bar in bars)
    assert any("false" in bar for bar in bars)
    assert f"{NASTY}, 7.00 to 8.00 s, unknown to the model" in page.text


def test_every_picture_is_there_as_a_png(report: Path) -> None:
    names = sorted(str(path.relative_to(report)) for path in report.rglob("*.png"))
    charts = ["calibration", "confusion", "delay", "end_error", "latency", "onset_error", "overlap", "precision_recall"]
    assert names == sorted(
        [f"{name}.png" for name in charts]
        + ["strips/000_missed_wave.png", "strips/001_false_wave.png"]
        + ["timelines/000_good.png", "timelines/001_bad&_b_.png"]
    )
    for name in names:
        picture = image.imread(report / name)
        assert min(picture.shape[:2]) > 80
        assert np.ptp(picture[..., :3]) > 0.5  # something is drawn
    text = (report / "report.html").read_text(encoding="utf-8")
    assert text.count("<svg") == len(names)


def test_bags_without_truth_have_a_report_of_their_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = dataclasses.replace(make_recording({"alice": [(3.0, 6.0)]}, 8.0), segments=())
    write_recording(recording, tmp_path / "bag")
    use_hand_engine(monkeypatch)
    assert tool.main([str(tmp_path / "bag"), "--no-truth", "--report", str(tmp_path / "out")]) == 0
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "0 true actions, 1 events" in " ".join(page.text.split())
    assert [path.name for path in tmp_path.joinpath("out").rglob("*.png")] == ["000_bag.png"]


def test_colours_differ_and_do_not_depend_on_the_order() -> None:
    names = [f"action_{number:02d}" for number in range(48)]
    colours = colours_of(names)
    assert len(set(colours.values())) == 48
    assert colours_of(reversed(names)) == colours


def test_pictures_on_one_page_have_ids_of_their_own() -> None:
    pictures = []
    for end in (1, 2):
        figure = new_figure(2, 1)
        figure.add_subplot().plot([0, end], [0, 1], marker="o")
        pictures.append(svg(figure, 'a "line" & more'))
    ids = [set(re.findall(r' id="([^"]+)"', picture)) for picture in pictures]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert 'aria-label="a &quot;line&quot; &amp; more"' in pictures[0]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.2, "1:05"), (3599.7, "1:00:00"), (7325, "2:02:05")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.slow
def test_long_recordings_have_pages_without_empty_lines() -> None:
    """An action each minute of an hour, and then nothing until one in the ninth hour."""
    truths = [Interval("r", "wave", 60 * minute + 5, 60 * minute + 9, person_id="p") for minute in range(60)]
    truths.append(Interval("r", "wave", 9 * 3600 + 59, 9 * 3600 + 62, person_id="p"))  # across two lines
    pages = list(timeline_pages(truths, [], 10 * 3600, colours_of(["wave"]), {truths[0]: "missed"}))
    lines = [axes for figure, _ in pages for axes in figure.axes]
    assert len(lines) == 60 + 2
    assert [len(figure.axes) for figure, _ in pages[:-1]] == [PAGE_LINES] * (len(pages) - 1)
    assert [axes.get_xlim()[0] for axes in lines[-2:]] == [9 * 3600 + 60 - LINE_S, 9 * 3600 + 60]
    shown = [title for _, titles in pages for title in titles.values()]
    assert shown[0] == "wave, 5.00 to 9.00 s, missed"
    assert shown[1] == "wave, 65.00 to 69.00 s, found"
    assert len(shown) == 62


def labels_of(events: list[Interval], end: float = 30.0) -> list[str]:
    """The texts in the bars of one line."""
    ((figure, _),) = timeline_pages([], events, end, colours_of(["pick_up", "wave"]), {})
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_bar_is_labelled() -> None:
    wide, narrow, last = (
        Interval("r", "pick_up", start, start + length) for start, length in ((0, 5), (8, 0.3), (29.8, 2))
    )
    assert labels_of([wide]) == ["pick_up"]
    assert labels_of([narrow]) == ["pick_up"]  # to its right
    crowded = [Interval("r", "pick_up", 8 + 0.4 * number, 8.3 + 0.4 * number) for number in range(5)]
    assert labels_of(crowded) == ["pic."] * 4 + ["pick_up"]  # upright in their bars, and beside the last
    crowd = [dataclasses.replace(one, action="wave") for one in crowded]
    assert labels_of(crowd) == ["wave"] * 5
    assert all(labels_of([wide, narrow, last]))


def test_announcement_after_the_end_is_joined_to_its_bar() -> None:
    late = Interval("r", "wave", 2.0, 3.0, 0.9, announced=5.0)
    ((figure, titles),) = timeline_pages(
        [], [late, Interval("r", "wave", 8, 12, 0.9, announced=9.0)], 30, colours_of(["wave"]), {}
    )
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [
        line.get_xdata().tolist() if hasattr(line.get_xdata(), "tolist") else list(line.get_xdata()) for line in dotted
    ] == [[3.0, 5.0], [5.0, 5.0]]
    assert "announced at 5.00 s (after its end)" in titles["bar_0"]
    assert titles["bar_1"].endswith("announced at 9.00 s")


ODD_NAMES = ("$\\frac$", "$x^$", "a$b$c", "a\nb\x07", "x" * 5000, "\U0001f469 Zo\u00eb", "\u202eabc", "")


@pytest.mark.parametrize("name", ODD_NAMES, ids=[f"name_{number}" for number in range(len(ODD_NAMES))])
def test_odd_names_are_shown_as_they_are(tmp_path: Path, name: str, recwarn: pytest.WarningsRecorder) -> None:
    truths = [Interval("r", name, 1, 3, person_id=name), Interval("r", "wave", 5, 9, person_id=name)]
    save_timeline(tmp_path / "t.png", truths, truths, title=name)
    assert min(image.imread(tmp_path / "t.png").shape[:2]) > 80
    ((figure, titles),) = timeline_pages(truths, [], 10, dict.fromkeys((name, "wave"), "#123456"), {})
    drawn = svg(figure, name, titles=titles)
    Page(drawn)
    if "$" in name:
        assert name in "".join(Page(drawn).text.split("\n"))
    assert len(recwarn) == 0


def strip(joints: np.ndarray) -> Strip:
    subject = Interval("r", "wave", 11.0, 13.0, person_id="p")
    times = np.linspace(10, 14, len(joints))
    return Strip("missed", subject, "p", (subject,), (), 10.0, 14.0, times, joints, times, {"wave": times / 20})


def test_strips_put_skeletons_at_their_times() -> None:
    joints = np.random.default_rng(0).uniform(-0.4, 0.4, (21, 25, 3)) + np.linspace([0, -0.8, 0], [0, 0.8, 0], 25)
    body, curve = draw_strip(strip(joints), colours_of(["wave"]), 0.6).axes
    heads = sorted(float(line.get_xdata()[0]) for line in body.lines if len(line.get_xdata()) == 1)
    assert len(heads) > 8
    assert all(0 <= head <= 1 for head in heads)
    assert curve.get_xlim() == (10.0, 14.0)
    values = next(line for line in curve.lines if len(line.get_xdata()) == 21)
    np.testing.assert_allclose(values.get_ydata(), np.linspace(10, 14, 21) / 20)


def test_strips_of_people_who_were_not_seen() -> None:
    for joints in (np.zeros((0, 25, 3)), np.full((5, 25, 3), np.nan)):
        body, _ = draw_strip(strip(joints), colours_of(["wave"]), 0.6).axes
        assert [text.get_text() for text in body.texts] == ["no skeletons of this person here"]
