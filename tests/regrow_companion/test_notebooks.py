"""The notebooks as documents: their shape, their owners, and what may be committed in them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from check_cells import differences

from regrow_companion import exercises, study
from regrow_companion.runner.index import Entry, notebook_table, read_index
from regrow_companion.site.products import saved_by
from regrow_companion.study import REPOSITORY

ROOT = REPOSITORY
ENTRIES = read_index(ROOT / "notebooks" / "index.yml")
PARAMETERS = {"profile", "store", "out"}
GALLERY = "widgets.ipynb"  # for teachers: every widget, no section of the paper


def cells(entry: Entry, kind: str = "code") -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(entry.path, as_version=4).cells if cell.cell_type == kind]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def test_every_notebook_is_on_the_map_and_every_product_has_one_owner() -> None:
    files = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert files - {GALLERY} == {entry.file for entry in ENTRIES}
    owners = Counter(name for entry in ENTRIES for name in (*entry.products, *(f"Eq. {e}" for e in entry.equations)))
    assert {name for name, n in owners.items() if n > 1} == set()
    assert {f"fig{n:02d}" for n in range(1, 21)} | {f"table{n}" for n in range(1, 9)} <= set(owners)
    assert {f"Eq. {n}" for n in range(1, 21)} <= set(owners)


def test_the_map_needs_only_what_the_study_knows() -> None:
    assert {need for entry in ENTRIES for need in entry.needs} <= set(study.NEEDS)


def test_the_page_of_notebooks_shows_the_map() -> None:
    assert notebook_table(ENTRIES) in (ROOT / "docs" / "notebooks.md").read_text()


def counted_minutes(path: Path) -> tuple[float, float]:
    """To read and to work through, as docs/notebooks.md says how they are counted."""
    book = nbformat.read(path, as_version=4)
    prose = " ".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    code = sum(len(cell.source.splitlines()) for cell in book.cells if cell.cell_type == "code")
    reading = words_in(prose) / 200 + code / 25
    return reading, reading + 3 * prose.count("predict") + 5 * prose.count("Solution</summary>")


def words_in(prose: str) -> int:
    return len(re.findall(r"[A-Za-z][A-Za-z'-]+", re.sub(r"\$[^$]*\$|`[^`]*`", "", prose)))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_has_the_same_header(path: Path) -> None:
    """Title; what it belongs to, owns and needs; and two times, which for notebooks of the paper follow from counts."""
    head = nbformat.read(path, as_version=4).cells[0].source
    title, facts = head.split("\n\n")[:2]
    number = re.fullmatch(r"(\d\db?)_\w+", path.stem)
    assert title.startswith(f"# {number[1]} · " if number else "# ") and "**" not in facts
    assert len(facts.split(" ·")) >= 3
    found = re.search(r" ·\s+read\s+(\d+),\s+work\s+through\s+(\d+)\s+minutes$", facts)
    assert found, facts
    if number:
        assert title == f"# {number[1]} · {next(entry.title for entry in ENTRIES if entry.id == number[1])}"
        reading, working = counted_minutes(path)
        assert abs(int(found[1]) - reading) <= 5 and abs(int(found[2]) - working) <= 7, (reading, working)


@pytest.mark.parametrize("stem", ["00_tour", "01_the_question", "03_prune_and_regrow"])
def test_first_steps_show_pictures_before_they_are_run(stem: str) -> None:
    """As GitHub shows them: pictures that are committed, and that the notebook itself draws."""
    path = ROOT / "notebooks" / f"{stem}.ipynb"
    (entry,) = (entry for entry in ENTRIES if entry.path == path)
    prose = "\n".join(cell.source for cell in cells(entry, "markdown"))
    shown = set(re.findall(r"!\[[^]]{20,}\]\(\.\./figures/(\w+)\.png\)", prose))
    assert shown and shown <= {name for name, _ in saved_by(entry)}
    assert all((ROOT / "figures" / f"{name}.png").is_file() for name in shown)


def test_the_tour_opens_with_a_picture() -> None:
    (entry,) = (entry for entry in ENTRIES if entry.id == "00")
    assert "](../figures/growth.png)" in nbformat.read(entry.path, as_version=4).cells[0].source


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_shape(entry: Entry) -> None:
    notebook = nbformat.read(entry.path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert 20 <= len(notebook.cells) <= 57
    code = cells(entry)
    parameters = [cell for cell in code if "parameters" in tags(cell)]
    assert len(parameters) == 1
    assert {line.split("=")[0].strip() for line in parameters[0].source.splitlines() if "=" in line} == PARAMETERS
    assert max(len(cell.source.splitlines()) for cell in code) <= 20
    assert sum(len(cell.source.splitlines()) for cell in code if not {"exercise", "solution"} & set(tags(cell))) <= 190
    prose = " ".join(cell.source for cell in cells(entry, "markdown"))
    unfolded = re.sub(r"<details>.*?</details>", "", prose, flags=re.DOTALL)
    assert 600 <= words_in(unfolded) <= 1900, words_in(unfolded)
    assert prose.count("<details>") >= 3, "three exercises with folded solutions"
    assert entry.section.split(",")[0].split("-")[0] in prose


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_exercise_has_a_place_to_work_a_check_and_a_solution_that_passes_it(entry: Entry) -> None:
    """In this order: the question and a hint, a short starter, the solution in words, and in code with the check."""
    found, every = [], nbformat.read(entry.path, as_version=4).cells
    for n, cell in enumerate(every):
        if "exercise" not in tags(cell):
            continue
        number = re.search(r"^book\.check\((\w+|\"\w+\"), answer\)$", cell.source.splitlines()[-1])
        assert number and len(cell.source.splitlines()) <= 8
        assert re.search(r"^answer = \.\.\.  # \S", cell.source, re.MULTILINE), "and what it should be"
        asked, text, solution = every[n - 1], every[n + 1], every[n + 2]
        assert re.search(rf"^\*\*{number[1].strip(chr(34))}\.", asked.source, re.MULTILINE)
        assert "<summary>Hint</summary>" in asked.source
        assert "Solution</summary>" in text.source and "solution" in tags(solution)
        assert "Fold out" not in text.source, "the next cell is there"
        assert f"assert book.check({number[1]}, " in solution.source
        assert solution.metadata["jupyter"] == {"outputs_hidden": True, "source_hidden": True}
        found.append(number[1].strip('"'))
    assert found == list(exercises.of_notebook(entry.id))
    assert len(found) >= 3


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_only_check_cells_keep_outputs(entry: Entry) -> None:
    checked = 0
    for cell in cells(entry):
        if "nbval-check-output" in tags(cell):
            checked += 1
            assert cell.execution_count is not None, "nbval never compares a cell that was not executed"
            assert cell.outputs and all(out.output_type == "stream" and out.name == "stdout" for out in cell.outputs)
        else:
            assert not cell.outputs and cell.execution_count is None
    assert checked >= 3


def test_a_check_cell_that_prints_something_else_is_told(tmp_path: Path) -> None:
    entry, *_ = ENTRIES
    book = nbformat.read(entry.path, as_version=4)
    (tmp_path / "committed").mkdir()
    nbformat.write(book, tmp_path / "committed" / "a.ipynb")
    nbformat.write(book, tmp_path / "a.ipynb")
    assert differences(tmp_path, tmp_path / "committed") == []
    check = next(cell for cell in book.cells if "nbval-check-output" in tags(cell))
    check.outputs[0].text += "else"
    nbformat.write(book, tmp_path / "a.ipynb")
    (told,) = differences(tmp_path, tmp_path / "committed")
    assert told.startswith(f"a.ipynb, cell {check.id}: committed\n")
    (tmp_path / "a.ipynb").unlink()
    assert differences(tmp_path, tmp_path / "committed") == ["a.ipynb was not executed to its end."]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_figures_are_drawn_saved_and_shown(entry: Entry) -> None:
    source = "\n".join(cell.source for cell in cells(entry))
    prose = "\n".join(cell.source for cell in cells(entry, "markdown"))
    for stem in entry.figures:
        assert f'"{stem}"' in source and f"# Figure {int(stem[3:])}" in source
        if (ROOT / "figures" / f"{stem}.png").is_file():
            shown = re.search(rf"!\[([^]]{{20,}})\]\(\.\./figures/{stem}\.png\)", prose)
            assert shown, f"{stem} is committed and must stand in the notebook with an alt text"
    for stem in entry.tables:
        assert f'"{stem}"' in source
    for _, target in re.findall(r"!?\[([^]]*)\]\(([^)#]+)\)", prose):
        if not target.startswith("http"):
            assert (entry.path.parent / target).exists(), target
