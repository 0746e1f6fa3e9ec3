"""The webcam's command: videos in, annotated videos out, clear lines where something is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.demo import webcam
from usdrl_ros.skeleton.person import Frame, Person

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from usdrl_ros.camera.video import Video, VideoError  # noqa: E402
from usdrl_ros.demo.drawing import draw, project  # noqa: E402
from usdrl_ros.skeleton.layouts import load_layout  # noqa: E402


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A grey video of 12 pictures, 160 x 120, 20 Hz."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20.0, (160, 120))
    for level in range(12):
        writer.write(np.full((120, 160, 3), 10 * level, np.uint8))
    writer.release()
    return path


def test_video_gives_pictures_with_stamps_of_its_rate(clip: Path) -> None:
    with Video(clip) as video:
        stamps, pictures = zip(*video.pictures(), strict=True)
    assert (video.width, video.height, video.rate) == (160, 120, 20.0)
    assert np.diff(stamps).tolist() == [50_000_000] * 11
    assert [round(float(picture.mean()) / 10) for picture in pictures] == list(range(12))


@pytest.mark.parametrize(("name", "content"), [("none.mp4", None), ("text.mp4", b"no video")])
def test_what_is_no_video_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert webcam.main(["--video", str(path), "--no-window"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("webcam: ")
    assert str(path) in error


def test_output_elsewhere_than_in_a_directory_is_refused(clip: Path, tmp_path: Path) -> None:
    with Video(clip) as video, pytest.raises(VideoError, match="directory that exists"):
        webcam.Annotated(tmp_path / "no" / "out.mp4", video).__enter__()


def test_annotated_video_is_whole_or_absent(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with Video(clip) as video, webcam.Annotated(output, video) as annotated:
        for _, picture in video.pictures():
            annotated.write(picture)
            assert not output.exists()
    with Video(output) as written:
        assert len(list(written.pictures())) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


def test_skeleton_is_drawn_where_the_person_is_seen() -> None:
    layout = load_layout("mediapipe_33")
    joints = np.full((33, 3), np.nan)
    a, b = layout.bones[0]
    joints[a], joints[b] = (-0.4, 0.0, 2.0), (0.4, 0.0, 2.0)
    picture = np.zeros((200, 400, 3), np.uint8)
    frame = Frame(1, "camera", [Person("anna", layout.name, joints)])
    event = Event(1, "camera", Phase.STARTED, "1", "anna", "wave", 0.8, 0, 1, (0.0, 0.0, 2.0))
    draw(picture, frame, 200.0, [event], [event], {"wave": "#0a64c8"})
    assert project(joints, 200.0, 400, 200)[[a, b]].tolist() == [[160.0, 100.0], [240.0, 100.0]]
    assert picture[100, 165:235].any(-1).all()  # the bone
    assert not picture[100, 250:].any()
    assert picture[60:99, 100:300].any()  # the label above it
    assert (picture[:99] == [0xC8, 0x64, 0x0A]).all(-1).any()  # in it the action, in its colour
    assert picture[170:].any()  # the event at the lower left
