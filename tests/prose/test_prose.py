"""Every number in our prose is what the records say: README, docs and notebooks against the lists beside this file."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from prose import COMPLETE, LISTS, measures, mend, readme, said
from prose.excuses import COMMON
from prose.said import Excuse, Page, Said, about, down, phrase, up
from regrow_companion import study
from regrow_companion.plots import nb08_accuracy
from regrow_companion.study import REPOSITORY

ENTRIES = [(lists.PAGE, one) for lists in LISTS for one in lists.SAID]


@pytest.mark.parametrize(("page", "one"), ENTRIES, ids=[f"{page}: {one.sentence[:50]}" for page, one in ENTRIES])
def test_the_numbers_are_those_of_the_records(page: str, one: Said) -> None:
    problem = mend.problem(page, one)
    assert not problem, problem


@pytest.mark.parametrize("lists", COMPLETE, ids=lambda lists: lists.PAGE)
def test_every_number_is_in_a_list(lists: ModuleType | Page) -> None:
    left = said.uncovered(lists.PAGE, lists.SAID, excuses(lists))
    assert not left, "numbers without a source; give each a place in the list:\n" + "\n".join(left)


@pytest.mark.parametrize("lists", LISTS, ids=lambda lists: lists.PAGE)
def test_no_excuse_is_out_of_date(lists: ModuleType | Page) -> None:
    text = "\n".join(passage.text for passage in said.passages(lists.PAGE))
    assert not [words for words in lists.EXCUSED if not phrase(words).search(text)]


NOTEBOOKS = [lists for lists in LISTS if lists.PAGE.endswith("ipynb")]


@pytest.mark.parametrize("lists", NOTEBOOKS, ids=lambda lists: lists.PAGE)
def test_alt_texts_are_those_of_the_committed_figures(lists: ModuleType | Page) -> None:
    """So they are what the cell above computed when the figure was drawn. Captions count its seeds."""
    texts = "\n".join(passage.text for passage in said.passages(lists.PAGE) if passage.written)
    for alt, stem in re.findall(r"!\[([^]]+)\]\(\.\./figures/(\w+)\.png\)", texts):
        about = json.loads((REPOSITORY / "figures" / f"{stem}.json").read_text())
        assert alt.split() == about["alt"].split(), stem
        for seeds in re.findall(r"N = (\d) seeds\b(?! \()|over (\d) seeds a rule", about["caption"]):
            assert not about["keys"] or int("".join(seeds)) == len(about["seeds"]), stem


@pytest.mark.parametrize("need", ["table3", "table4", "table7", "table8"])
def test_captions_of_tables_count_the_runs_that_are_there(need: str) -> None:
    about = json.loads((REPOSITORY / "figures" / f"{need}.json").read_text())
    assert about["caption"] == nb08_accuracy.caption(need, "paper", measures.of_need(need)), "make the table anew"


def test_the_caption_of_the_ablations_counts_the_runs_that_are_there() -> None:
    about = json.loads((REPOSITORY / "figures" / "ablations.json").read_text())
    assert about["caption"] == nb08_accuracy.ablation_caption(measures.ablations().reset_index()), "make it anew"


def test_settings_are_those_of_the_study() -> None:
    """What `excuses` leaves out of the lists."""
    paper = study.runs("table4", "paper")
    assert {run.epochs for run in paper} == {300}
    assert {run.sparsity for run in (*paper, *study.runs("table7", "paper"))} == {0.95, 0.9, 0.8}
    assert len(measures.topology("random")[0].steps) - 1 == 264
    assert measures.topology("random")[0].config.hidden == (1024, 512)
    assert study.QUICK_MLP["hidden"] == (300, 100)
    assert study.SHORT["epochs"] == 30 and {base["epochs"] for base in study.CNNS.values()} == {6}
    images = measures.small_images()
    assert len(images.test.labels) == 2_000
    assert len(images.train.labels) + len(images.validation.labels) == 12_000


def excuses(lists: ModuleType | Page) -> list[Excuse]:
    return COMMON + [Excuse(phrase(words), reason) for words, reason in lists.EXCUSED.items()]


# ---------------------------------------------------------------------------------------------- the test of the tests

@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a page of its own and returns its name."""
    monkeypatch.setattr(said, "ROOT", tmp_path)

    def write(text: str) -> str:
        (tmp_path / "page.md").write_text(text)
        said.passages.cache_clear()
        return "page.md"

    yield write
    said.passages.cache_clear()


def test_a_changed_sentence_fails_and_shows_what_is_right(page: Callable[[str], str]) -> None:
    one = next(one for one in readme.SAID if one.sentence.startswith("random growth reaches"))
    text = (REPOSITORY / "README.md").read_text()
    assert not mend.problem(page(text), one)
    assert "random growth reaches 68.4 %" in mend.problem(page(text.replace("reaches 68.4", "reaches 68.5")), one)
    assert "0 times" in mend.problem(page(text.replace("random growth reaches", "random growth gets")), one)
    assert "2 times" in mend.problem(page(text + text), one)


def test_a_changed_record_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    one = next(one for one in readme.SAID if one.sentence.startswith("random growth reaches"))
    record = measures.runs("gradient")[2]
    better = dataclasses.replace(record, test_accuracy=record.test_accuracy + 1)  # one seed's, by a point
    usual = measures.runs
    monkeypatch.setattr(measures, "runs", lambda *asked, **more: tuple(
        better if run is record else run for run in usual(*asked, **more)))
    assert "and the records say" in mend.problem("README.md", one)


def test_a_false_fact_fails(page: Callable[[str], str]) -> None:
    assert "fact 1" in mend.problem(page("The 3 agree."), Said("The {} agree", lambda: (3, False)))


def test_formulas_are_excused_and_results_in_them_are_not(page: Callable[[str], str]) -> None:
    name = page("$$ a = 2 x, $$\n\nSo 7 of $2n$ have $p < 0.3$ and $p =\n0.4$, or $1$.\n")
    left = said.uncovered(name, [], COMMON)
    assert [line.split()[1] for line in left] == ["7", "0.3", "0.4", "1"]


def test_a_number_without_a_source_is_found(page: Callable[[str], str]) -> None:
    name = page("At 300 epochs, 7 of `8` runs of Section 5.3 end at {x}9.5 %.\n\n    python 12\n")
    assert len(said.uncovered(name, [Said("{} of", lambda: (7,))], COMMON)) == 1
    assert "9.5" in said.uncovered(name, [Said("{} of", lambda: (7,))], COMMON)[0]
    assert len(said.uncovered(name, [], COMMON)) == 2


@pytest.mark.parametrize(("value", "text"), [
    (68.3849, "68.38"), (68.3849, "68"), (1774.6, "1,775"), (1774.6, "1775"), (-0.115, "-0.12"), (-0.8, "−0.8"),
    (0.4, ".4"), (-0.04, "0.0"), (0.7, "+0.7"), (about(1774, 100), "1,800"), (up(0.151), "0.2"), (down(179.9), "179"),
    (5, "five"), (5, "Five"), (down(0.15), "0.1"), (up(0.3), "0.3")])
def test_a_value_is_shown_as_the_text_has_it(value: Any, text: str) -> None:
    assert said.shown(value, text) == text


def test_mending_changes_the_digits_and_nothing_else(page: Callable[[str], str], tmp_path: Path) -> None:
    one = Said("from {} to {} points", lambda: (1.25, 1800))
    name = page("It falls from 2.50 to\n1,700 points, 3 times.\n")
    assert mend.mend(name, one)
    assert (tmp_path / name).read_text() == "It falls from 1.25 to\n1,800 points, 3 times.\n"
    assert not mend.mend(name, one)


def test_mending_a_notebook_leaves_its_cells_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its file, too: a page of ours is written byte for byte the same but for the number."""
    path = REPOSITORY / "notebooks" / "09_degree_evolution.ipynb"
    text = path.read_text(encoding="utf-8")
    (tmp_path / path.name).write_text(text.replace("16.8 times as wide", "15.8 times as wide"), encoding="utf-8")
    monkeypatch.setattr(said, "ROOT", tmp_path)
    said.passages.cache_clear()
    assert mend.mend(path.name, Said("{} times as wide under gradient", lambda: (16.8,)))
    said.passages.cache_clear()
    assert (tmp_path / path.name).read_text(encoding="utf-8") == text
