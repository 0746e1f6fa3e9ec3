"""Labels in files, as people and programs write them: read, or refused with the line and the likely cause."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from usdrl_ros.bags.label_files import bag_name, labels_of_bag, read_classes, read_pku_mmd
from usdrl_ros.bags.labels import Label, LabelError, read_csv, write_csv

NS = 10**9


@pytest.fixture
def table(tmp_path: Path):
    """Writes a table; gives its path."""

    def write(text: str | bytes, name: str = "marks.csv") -> Path:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / name

    return write


def times(labels: list[Label]) -> list[tuple[float, float, str, str]]:
    return [(label.start_ns / NS, label.end_ns / NS, label.action, label.person_id) for label in labels]


def refusal(path: Path) -> str:
    """The one line, without the path."""
    with pytest.raises(LabelError) as caught:
        read_csv(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    assert len(line) < len(str(path)) + 400
    return line.removeprefix(str(path))


def test_columns_in_any_order_with_notes_and_blanks(table) -> None:
    path = table("\ufeff# by hand\n\nAction , end,start,note\nwave,2.5, 1.25 ,x\n'sit',4,3,\n,,,\n")
    wave, sit = read_csv(path)
    assert (wave.action, wave.start_ns, wave.end_ns, wave.person_id) == ("wave", 1_250_000_000, 2_500_000_000, "")
    assert sit.action == "'sit'"
    assert wave.where == f"{path}, line 4"
    assert wave.times_ns(7 * 10**18) == (7 * 10**18 + 1_250_000_000, 7 * 10**18 + 2_500_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "1.5,2.5,wave,anna\n",
        "start,end,action,person\n1.5,2.5,wave,anna",
        "start_s,end_s,action,person\r\n1.5,2.5,wave,anna\r\n",
        "start_ms,end_ms,action,person\n1500,2500,wave,anna\n",
        "start;end;action;person\n1,5;2,5;wave;anna\n",
        "1,5;2,5;wave;anna\n",
        "1.5\t2.5\twave\tanna\n",
        '"1,5","2,5",wave,anna\n',
        '"1.5","2.5","wave","anna"\r',
        "1.5,2.5,wave,anna,,\n",
        "1.50,25e-1,wave,anna\n",
    ],
)
def test_separators_quotes_and_units(table, text: str) -> None:
    assert times(read_csv(table(text))) == [(1.5, 2.5, "wave", "anna")]
    assert times(read_csv(table(text.encode("utf-16")))) == [(1.5, 2.5, "wave", "anna")]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("1700000001.123456789", "1700000002.5"),
        ("1700000001123.456789", "1700000002500"),
        ("1700000001123456.789", "1700000002500000"),
        ("1700000001123456789", "1700000002500000000"),
    ],
)
def test_stamps_of_every_unit_keep_every_digit(table, start: str, end: str) -> None:
    (label,) = read_csv(table(f"{start},{end},wave\n"))
    assert label.stamps
    assert (label.start_ns, label.end_ns) == (1_700_000_001_123_456_789, 1_700_000_002_500_000_000)
    assert label.times_ns(5) == (label.start_ns, label.end_ns)


def test_seconds_below_stamps_count_from_the_start(table) -> None:
    (label,) = read_csv(table("99999998,99999999,wave\n"))
    assert not label.stamps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1,5,3,2,wave\n",
            ", line 1: 5 cells, expected 4 (start,end,action,person): '1,5,3,2,wave'; with",
        ),
        ("start,end,action\n1,5,3,2,wave\n", ", line 2: 5 cells, expected 3 (start,end,action): '1,5,3,2,wave'; with"),
        ("1,5,3,wave\n", ", line 1: the action is '3', expected a name; with decimal commas in the times"),
        ('1,2,"wave\n3,4,clap\n', ', line 1: a quote is opened and not closed: 1,2,"wave'),
        ('1,2,"wave"s\n', ", line 1: ',' expected after '\"'"),
        ("start,stop,action\n1,2,wave\n", ", line 1: its heading lacks end; it has start,stop,action"),
        ("start,start,end,action\n1,2,3,wave\n", ", line 1: its heading has start twice"),
        ("1,2,wave\n3,x,sit\n", ", line 2: 'x' is no time; expected seconds"),
        ("1,2,wave\n3,2.5,sit\n", ", line 2: the end of 'sit' is not after its start"),
        ("1,2,wave\n\n3,4\n", ", line 3: '3,4' has no action; expected start,end,action,person"),
        ("1,nan,wave\n", ", line 1: 'nan' is no time"),
        ("1,1e9999999,wave\n", ", line 1: '1e9999999' is no time"),
        ("1,1e400,wave\n", ", line 1: '1e400' is no time"),
        ("1_0,2_0,wave\n", ", line 1: '1_0' is no time"),
        ("\u0661,\u0662,wave\n", ", line 1: '\u0661' is no time"),
        ("1.234,5;2;wave\n", ", line 1: '1.234,5' is no time"),
        ("1,1700000001,wave\n", ", line 1: start and end must both be seconds from the start, or both be stamps"),
        ("1,2,a\0b\n", r", line 1: holds the control character '\x00'"),
        ("1,2," + "x" * 200_000, ", line 1: 200004 characters, expected a line of a table"),
        ("", ": is empty; where nothing happens in the recording, write the heading start,end,action,person alone"),
        ("# notes\n\n", ": is empty; where nothing happens"),
        (b"1,2,w\xe4ve\n", ": cannot be read: it is no UTF-8 text (line 1); save it as UTF-8"),
    ],
)
def test_lines_that_would_lose_something_are_refused(table, text: str | bytes, expected: str) -> None:
    assert refusal(table(text)).startswith(expected)


def test_heading_alone_says_that_nothing_happens(table) -> None:
    assert read_csv(table("start,end,action\n")) == []


def test_names_have_one_unicode_spelling(table) -> None:
    composed = "Zoë"
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed != composed
    (label,) = read_csv(table(f"1,2,wave,{decomposed}\n"))
    assert label.person_id == composed


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.csv")
    assert "it is a directory, expected a file" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    assert "it is a pipe, expected a file" in refusal(tmp_path / "pipe.csv")


def test_written_labels_come_back(tmp_path: Path) -> None:
    rows = [("1.50", "2.50", 'say; hello, "you"', "  anna "), ("3", "4", "=1+2", "b\nc")]
    write_csv(tmp_path / "out.csv", rows, note="one\ntwo")
    assert (tmp_path / "out.csv").read_text().startswith("# one\n# two\nstart,end,action,person\n")
    assert times(read_csv(tmp_path / "out.csv")) == [
        (1.5, 2.5, 'say; hello, "you"', "anna"),
        (3, 4, "=1+2", "b\ufffdc"),
    ]
    with pytest.raises(LabelError, match=r"nowhere/out\.csv: cannot be written"):
        write_csv(tmp_path / "nowhere" / "out.csv", [])


# Which file belongs to which bag


def find(labels: Path, bag: str = "take", *, one_bag: bool = False, frame_rate: float | None = 30) -> list[str]:
    found = labels_of_bag(labels, Path(bag), frame_rate=frame_rate, classes=["wave"], one_bag=one_bag)
    return [label.action for label in found]


def test_bags_with_dots_have_labels_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, action in (("run.1", "clap"), ("run.2", "jump"), ("run", "wave")):
        (tmp_path / f"{name}.csv").write_text(f"1,2,{action}\n")
    assert [find(tmp_path, bag) for bag in ("run.1", "x/run.2", "run.mcap", "run.db3")] == [
        ["clap"],
        ["jump"],
        ["wave"],
        ["wave"],
    ]
    (tmp_path / "take.mcap").mkdir()  # a directory of that name
    assert bag_name(tmp_path / "take.mcap") == "take.mcap"
    monkeypatch.chdir(tmp_path / "take.mcap")
    assert bag_name(".") == "take.mcap"


@pytest.mark.parametrize("name", ["take.CSV", "take.Labels.csv", "take.tsv", "take.labels.csv"])
def test_suffixes_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1,2,clap\n")
    assert find(tmp_path) == ["clap"]


def test_bag_names_in_any_unicode_spelling(tmp_path: Path) -> None:
    (tmp_path / unicodedata.normalize("NFD", "Zoë.csv")).write_text("1,2,clap\n")
    assert find(tmp_path, unicodedata.normalize("NFC", "Zoë")) == ["clap"]


def test_several_files_for_one_bag_are_refused(tmp_path: Path) -> None:
    for suffix in (".csv", ".CSV"):
        (tmp_path / f"take{suffix}").write_text("1,2,clap\n")
    with pytest.raises(LabelError, match="take: several files of labels, remove all but one: "):
        find(tmp_path)


def test_labels_find_their_bag(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"take: no labels for it: neither take\.csv nor take\.txt"):
        find(tmp_path)
    (tmp_path / "take.txt").write_text("1,30,60,1\n")
    assert find(tmp_path) == ["wave"]
    with pytest.raises(LabelError, match=r"--frame-rate; a table of start,end,action must end in \.csv"):
        find(tmp_path, frame_rate=None)
    (tmp_path / "take.csv").write_text("1,3,clap\n")
    assert find(tmp_path) == ["clap"]
    with pytest.raises(LabelError, match="must be a directory"):
        find(tmp_path / "take.csv")
    assert find(tmp_path / "take.csv", one_bag=True) == ["clap"]


# PKU-MMD


def test_pku_mmd_labels(tmp_path: Path) -> None:
    path = tmp_path / "0002-M.txt"
    path.write_text("13,90,180,1\n33,300,330,0\n\n")
    classes = read_classes("pku_mmd")
    assert len(classes) == 51
    assert times(read_pku_mmd(path, 30.0, classes)) == [(3, 6, "wave", ""), (10, 11, "sit_down", "")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2", "line 1: '1,2' is no label; expected class,start,end,confidence in frames"),
        ("99,2,3,1", "line 1: class 99, expected 1 to 51; name yours with --classes"),
        ("1,2,3,1\n1.5,2,3,1", "line 2: class 1.5, expected 1 to 51"),
        ("1,9,3,1", "line 1: the end of 'bow' is not after its start"),
        ("1,1,inf,1", "line 1: '1,1,inf,1' is no label"),
        ("1,1,1e308,1", "line 1: '1,1,1e308,1' is no label"),
        ("1" * 5000 + ",1,2,1", "is no label"),
        ("0.2,1.5,wave", "line 1: '0.2,1.5,wave' is no label"),
        ("", "is empty; where nothing happens, give a .csv file with a heading alone"),
    ],
)
def test_wrong_pku_mmd_labels_name_their_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(LabelError) as caught:
        read_pku_mmd(path, 30, read_classes("pku_mmd"))
    assert expected in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400


def test_classes_are_those_of_the_training() -> None:
    pku_mmd = pytest.importorskip("training.data.pku_mmd", reason="the training part needs more packages")
    assert tuple(read_classes("pku_mmd")) == pku_mmd.ACTIONS


def test_own_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("jump\n\nwave\n")
    assert read_classes(str(tmp_path / "classes.txt")) == ["jump", "wave"]
    with pytest.raises(LabelError, match="neither a file, nor one of pku_mmd"):
        read_classes("octopus")
    with pytest.raises(LabelError, match="it is a directory, expected a file"):
        read_classes(str(tmp_path))
