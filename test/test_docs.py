"""The documentation says what is so: figures as measured, causes as reported, links and files that exist."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMAND = re.compile(r"python -m |ros2 (run|launch) |make \w+|tools/\w+\.py|bench/on_gpu\.sh")


def tool(name):
    """A program of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


figures = tool("figures")
PAGES = figures.pages()


def named(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_quoted_figures_are_those_measured(path):
    text = path.read_text(encoding="utf-8")
    assert figures.renewed(text) == text, "run python tools/figures.py"


def test_a_stale_figure_is_renewed(tmp_path, monkeypatch):
    (tmp_path / "runs.json").write_text(json.dumps({"top1": 0.5, "by": [{"found": 1234, "false": -7}]}))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    for stale, fresh in (
        ("92.4 <!-- = runs/top1 % -->", "50.0 <!-- = runs/top1 % -->"),
        ("**9**<!-- = runs/by/0/found -->", "**1,234**<!-- = runs/by/0/found -->"),
        ("+1.25 <!-- = runs/top1 - runs/by/0/false -->", "+7.50 <!-- = runs/top1 - runs/by/0/false -->"),
    ):
        assert figures.renewed(f"It has {stale} of them.") == f"It has {fresh} of them."
    with pytest.raises(figures.FigureError, match="no 'top5'"):
        figures.renewed("1 <!-- = runs/top5 -->")


def test_every_mark_of_a_figure_is_understood():
    """A mark that no number precedes, or that is written otherwise, would never be compared."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert text.count("<!-- =") == len(figures.QUOTE.findall(text)), path
        assert text.count("<!-- tables =") == len(figures.TABLES.findall(text)), path
    assert sum(path.read_text(encoding="utf-8").count("<!-- =") for path in PAGES) > 15


def test_no_percentage_of_the_readme_is_unmarked():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"[\d.,]+ %(?! <!-- =| -->)", text) == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_each_section_with_figures_names_a_command(path):
    for section in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.M):
        if "<!-- =" in section or "<!-- tables" in section:
            assert COMMAND.search(section), section.splitlines()[0]


def test_page_of_results_is_that_of_its_records(tmp_path):
    pytest.importorskip("lightning", reason="lightning is not installed")
    from training.results import main

    records = ROOT / "docs" / "results" / "records.json"
    assert main([str(records), "--output", str(tmp_path / "results.md")]) == 0
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == (ROOT / "docs" / "results.md").read_text("utf-8")


def causes_in_code():
    """All causes of problems, read off the sources: what Problem and its kin are made with."""
    found = set()
    for path in (ROOT / "usdrl_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                first = node.args[0]
                if node.func.id in ("Problem", "FaultError", "_Fault", "cls") and isinstance(first, ast.Constant):
                    found |= {first.value} - {""}
            elif isinstance(node, ast.Assign) and any("cause" in ast.unparse(one).lower() for one in node.targets):
                values = (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant))
                found |= {one for one in values if isinstance(one, str) and re.fullmatch("[a-z]+(_[a-z]+)+", one)}
    return found


def test_page_of_faults_lists_each_cause():
    rows = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"), re.M)
    listed = [cause for row in rows for cause in re.findall("`([a-z_]+)`", row)]
    assert len(listed) == len(set(listed))
    assert set(listed) == causes_in_code()


def test_reference_pages_are_those_of_the_code():
    reference = tool("reference")
    for name, text in reference.pages().items():
        assert (reference.PAGES / name).read_text(encoding="utf-8") == text, "run python tools/reference.py"


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path):
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", prose)
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_named_modules_and_configs_exist(path):
    text = path.read_text(encoding="utf-8")
    for module in re.findall(r"python -m ((?:usdrl_ros|training|bench)(?:\.\w+)*)", text):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
    for config in re.findall(r"training/configs/[\w/]+\.yaml", text):
        assert (ROOT / config).is_file(), config


def test_published_benchmarks_have_their_configs():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = text[text.index("| task | benchmark |") :].split("\n\n", 1)[0]
    configs = ROOT / "training" / "configs" / "published"
    rows = [line.split("|")[3].strip() for line in table.splitlines()[2:]]
    assert len(rows) > 20
    for row in rows:
        names = re.findall(r"(\w+)\.yaml", row)
        stem = names[0]
        for ending in re.findall(r"\.\.\._(\w+)", row):  # another split, or more of the name
            cut = stem.rsplit("_", 1)[0]
            names.append(f"{cut}_{ending}" if (configs / f"{cut}_{ending}.yaml").is_file() else f"{stem}_{ending}")
        assert [name for name in names if not (configs / f"{name}.yaml").is_file()] == [], row
