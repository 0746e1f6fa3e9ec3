"""Whatever is in a file, its reader gives the content, or one line that says what is wrong.

Seconds in the suite. `USDRL_FUZZ=20000` tries as many files of each kind (`make fuzz`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from evaluation_bags import make_recording

hypothesis = pytest.importorskip("hypothesis", reason="needs requirements/test.txt")

from hypothesis import HealthCheck, example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from usdrl_ros.bags.label_files import read_classes, read_pku_mmd  # noqa: E402
from usdrl_ros.bags.labels import LabelError, read_csv, write_csv  # noqa: E402
from usdrl_ros.bags.reader import Bag, BagError  # noqa: E402
from usdrl_ros.bags.tables import TableError, number_of, read_rows  # noqa: E402
from usdrl_ros.bags.writer import write_recording  # noqa: E402
from usdrl_ros.evaluation.document import DocumentError, read_document  # noqa: E402

quick = settings(
    max_examples=int(os.environ.get("USDRL_FUZZ", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

CELL = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["1", "2.5", "1,5", "-3", "nan", "inf", "1e9999", "wave", '"', '"a', 'a"', "=1+1", "\ufeff", "\0"]),
    st.floats().map(str),
    st.integers().map(str),
)
TABLE = st.builds(
    lambda separator, ending, rows: ending.join(separator.join(row) for row in rows),
    st.sampled_from([",", ";", "\t", ", "]),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.lists(st.lists(CELL, max_size=6), max_size=5),
)
CONTENT = st.one_of(st.binary(max_size=200), TABLE.map(lambda text: text.encode("utf-8", "surrogatepass")))


def one_line(error: Exception, path: Path) -> None:
    text = str(error)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < len(str(path)) + 600


@quick
@given(content=CONTENT)
@example(content=b"start,end,action\n1,2,wave")
@example(content=b'"1,5";"2,5";wave')
def test_tables_of_labels(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "marks.csv"
    file.write_bytes(content)
    try:
        labels = read_csv(file)
    except LabelError as error:
        one_line(error, file)
        return
    for label in labels:
        assert label.start_ns < label.end_ns
        assert label.action
        assert number_of(label.action) is None
        assert label.where.startswith(f"{file}, line ")


@quick
@given(content=CONTENT)
def test_rows_keep_every_cell(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    try:
        rows = read_rows(file)
    except TableError as error:
        one_line(error, file)
        return
    for row in rows:
        assert any(row.cells)
        assert all(cell == cell.strip() for cell in row.cells)


@quick
@given(content=CONTENT)
def test_labels_of_pku_mmd_and_classes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "0001-L.txt"
    file.write_bytes(content)
    try:
        labels = read_pku_mmd(file, 30.0, ("bow", "wave"))
    except LabelError as error:
        one_line(error, file)
    else:
        assert {label.action for label in labels} <= {"bow", "wave"}
    try:
        assert all(name.strip() == name for name in read_classes(str(file)))
    except LabelError as error:
        one_line(error, file)


NAME = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
TIME = st.integers(0, 10**6).map(lambda hundredths: hundredths / 100)


@quick
@given(rows=st.lists(st.tuples(TIME, TIME, NAME, NAME), max_size=6))
def test_exported_labels_come_back(tmp_path: Path, rows: list[tuple[float, float, str, str]]) -> None:
    """Names that a spreadsheet can hold come back; others are refused, never changed into another label."""
    rows = [(start, start + length + 0.01, action, person) for start, length, action, person in rows]
    file = tmp_path / "out.csv"
    write_csv(file, rows)
    try:
        labels = read_csv(file)
    except LabelError as error:
        one_line(error, file)
        assert any(not action.strip() or number_of(action.strip()) is not None for _, _, action, _ in rows)
        return
    assert len(labels) == len(rows)
    for label, (start, end, _, _) in zip(labels, rows, strict=True):
        assert (label.start_ns, label.end_ns) == (round(start * 10**9), round(end * 10**9))


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("fuzz")
    for storage in ("mcap", "sqlite3"):
        write_recording(make_recording({"anna": [(0.2, 0.5)]}, 0.7), root / storage, storage=storage)
    return [root / "mcap", root / "sqlite3"]


@quick
@given(data=st.data(), which=st.integers(0, 1), metadata=st.booleans())
def test_damaged_bags(bags: list[Path], data: st.DataObject, which: int, metadata: bool) -> None:
    """Bytes that are changed, cut or put in, in the storage file or in metadata.yaml."""
    bag = bags[which]
    file = bag / "metadata.yaml" if metadata else next(f for f in bag.iterdir() if f.suffix in (".mcap", ".db3"))
    whole = file.read_bytes()
    position = data.draw(st.integers(0, len(whole)))
    inserted, removed = data.draw(st.binary(max_size=12)), data.draw(st.integers(0, 40))
    file.write_bytes(whole[:position] + inserted + whole[position + removed :])
    try:
        with Bag(bag) as opened:
            assert all(topic.count >= 0 for topic in opened.topics.values())
            for _ in opened.messages():
                pass
    except BagError as error:
        one_line(error, bag)
    finally:
        file.write_bytes(whole)
        for left in bag.glob("*-journal"):
            left.unlink()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
KEYS = ("format", "model", "actions_known", "truth", "events", "bags")


@quick
@given(content=st.one_of(JSON, st.fixed_dictionaries(dict.fromkeys(KEYS, JSON)).map(lambda c: {**c, "format": 3})))
def test_documents_of_an_evaluation(tmp_path: Path, content: object) -> None:
    file = tmp_path / "out.json"
    file.write_text(json.dumps(content))
    try:
        read_document(file)
    except DocumentError as error:
        one_line(error, file)
