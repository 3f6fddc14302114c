"""The site: pages whose links lead somewhere, that hide nothing missing, and that ask nobody for anything."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import regrow
from regrow import Record, RunConfig, Store
from regrow.errors import RegrowError
from regrow_companion import claims, site
from regrow_companion.claims import Claim, Outcome
from regrow_companion.claims.judgement import MIXED, NOT_MEASURED, REPRODUCED, effect
from regrow_companion.figures import save_figure, save_table
from regrow_companion.runner.index import Entry, read_index
from regrow_companion.site import api, books, growth, ledger, products, shared
from regrow_companion.site.shared import OTHERS, OURS, SHARED, TEMPLATES, by_chapter, in_the_paper
from regrow_companion.study import REPOSITORY

ROOT = REPOSITORY
ENTRIES = read_index(ROOT / "notebooks" / "index.yml")
ALT = 'A rising line, "quoted" & <b>bold</b>, from one to three.'
PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
VOID = {"meta", "img", "link", "br", "hr", "input"}
FETCHING = {"src", "srcset", "poster", "data", "background", "action", "formaction"}  # attributes that load something


class Page(HTMLParser):
    """Every start tag with its attributes, the text of style elements, and what was closed in the wrong place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[int, tuple[str, ...]] = {}
        self.open: list[str] = []
        self.styles: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside[len(self.tags)] = tuple(self.open)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def fetched(page: Page) -> Iterator[str]:
    """Every address that a browser asks for when it opens the page."""
    for tag, attrs in page.tags:
        yield from (str(value) for name, value in attrs.items() if name in FETCHING)
        if tag == "link" or tag in ("image", "use"):
            yield str(attrs.get("href") or attrs.get("xlink:href"))
        yield from in_style(str(attrs.get("style", "")))
    for style in page.styles:
        yield from in_style(style)


def in_style(text: str) -> list[str]:
    return [one or other for one, other in re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", text)]


def assert_sound(folder: Path) -> dict[str, Page]:
    """Walk a site: well-formed pages, no address outside it, every local link has its goal, every image an alt text."""
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.html"))}
    anchors = {name: [str(attrs["id"]) for _, attrs in page.tags if "id" in attrs] for name, page in pages.items()}
    for name, page in pages.items():
        assert page.open == [], (name, page.open)
        assert len(anchors[name]) == len(set(anchors[name])), f"{name}: an id twice"
        for address in fetched(page):
            assert address.startswith("data:") or not re.match(r"[a-z]+:|//", address), (name, address)
            assert address.startswith("data:") or (folder / unquote(address)).is_file(), (name, address)
        for attrs in page.all("a"):
            href = str(attrs.get("href", ""))
            if re.match(r"https?:", href):
                continue  # a link to read, nothing that the page loads
            target, _, anchor = href.partition("#")
            assert not target or (folder / unquote(target)).is_file(), (name, href)
            if anchor and (target or name).endswith(".html"):
                assert anchor in anchors[target or name], (name, href)
        for attrs in page.all("img"):
            assert attrs.get("alt") is not None, (name, attrs)
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("main")) == len(page.all("h1")) == 1, name
        body = [tag for tag, _ in page.tags].index("body")
        assert page.tags[body + 1][1]["href"] == "#content", "the skip link comes first"
    return pages


# -------------------------------------------------------------------------------------------------- a small example

def figure() -> Figure:
    fig = Figure()
    fig.subplots().plot([1, 2, 3])
    fig.axes[0].set(xlabel="epoch", ylabel="connections")
    return fig


def entry(folder: Path, name: str, title: str, section: str, cells: list[nbformat.NotebookNode],
          **owns: tuple[str, ...]) -> Entry:
    path = folder / f"{name}_book.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return Entry(name, path, title, section, minutes={"quick": 1, "paper": 1}, **owns)


def widget_state() -> dict[str, object]:
    def model(kind: str, **state: object) -> dict[str, object]:
        return {"model_name": kind, "model_module": "@jupyter-widgets/controls", "model_module_version": "2.0.0",
                "state": state}

    return {"live": model("VBoxModel", _dom_classes=["regrow-widget"]), "bar": model("HBoxModel")}


def view(name: str) -> nbformat.NotebookNode:
    return new_output("display_data", {books.WIDGET_VIEW: {"model_id": name}, "text/plain": name})


STILL = '<div class="regrow-static"><script type="application/json">{"a": "<\\/script>"}</script></div>'


@pytest.fixture
def material(tmp_path: Path) -> site.Material:
    """Three notebooks: one executed, one that failed, one not run; figures and tables, here and missing."""
    home = tmp_path / "notebooks"
    executed, drawn, committed = tmp_path / "build" / "notebooks", tmp_path / "build" / "figures", tmp_path / "figures"
    for folder in (home, executed, drawn, committed):
        folder.mkdir(parents=True)
    frame = pd.DataFrame({"model": ["MLP <i>"] * 2 + ["VGG"] * 2, "number": ["paper", "ours"] * 2,
                          "CIFAR-10": ["68.08 ± 0.07", "65.69 ± 0.29", "93.9", "not trained yet"]})
    save_figure(figure(), "fig05", data=pd.DataFrame({"a": [1]}), alt=ALT, out=drawn, profile="quick", caption="A & B")
    save_figure(figure(), "fig05", data=pd.DataFrame({"a": [1]}), alt=ALT, out=committed, profile="paper")
    save_figure(figure(), "extra", data=pd.DataFrame({"a": [1]}), alt=ALT, out=drawn, profile="quick")
    (committed / "extra.png").write_bytes((drawn / "extra.png").read_bytes())
    save_table(frame, "table4", out=drawn, profile="quick", caption="Accuracy, `python -m regrow run` trains the rest")
    first = [
        new_markdown_cell("# 05 · Degrees\n\nA section · owns a figure · read 5,\nwork through 20 minutes\n\n"
                          "$k_{max}$ [on](06_book.ipynb#end) [code](../src/a.py)"
                          " [paper](https://example.org)"),
        new_code_cell("store = '/secret'", metadata={"tags": ["injected-parameters"]}, execution_count=2),
        new_code_cell('book.save(fig, "fig05", data=data)\nfig', execution_count=3,
                      outputs=[new_output("execute_result", {"image/png": PNG, "text/plain": "Figure"})]),
        new_markdown_cell("![a line\nthat rises](../figures/fig05.png)"),
        new_code_cell('book.save(fig, "extra", data=data)', execution_count=4),
        new_markdown_cell("![the same again](../figures/extra.png)"),
        new_code_cell("plot()", metadata={"alt": 'Dots & "lines"'}, execution_count=5,
                      outputs=[new_output("display_data", {"image/png": PNG})]),
        new_code_cell("frame", execution_count=6, outputs=[new_output("execute_result", {
            "text/html": '<div><style scoped>td { }</style><table border="1"><tr><td>1</td></tr></table></div>'})]),
        new_code_cell("widgets", outputs=[view("live"), view("bar"), new_output("execute_result", {
            "text/html": STILL, "text/plain": "a teaching widget"})]),
        new_markdown_cell("## Exercises\n\n**1.** Why?\n\n<details><summary>Solution</summary>\n\nSo.\n\n</details>"),
        new_code_cell("first", metadata={"tags": ["solution"]}, outputs=[new_output("stream", text="<one>\n"),
                                                                                  new_output("stream", text="two\n")]),
        new_code_cell("second", metadata={"tags": ["solution"]}),
        new_markdown_cell("**2.** No code.\n\n<details><summary>Solution</summary>\n\nNone.\n\n</details>"),
        new_markdown_cell("## Where next"),
    ]
    error = new_output("error", ename="ZeroDivisionError", evalue="<division>", traceback=["long"])
    second = [new_markdown_cell("# 06 · Broken\n\n## end"),
              new_code_cell('book.save_table(t, "table4")\n1 / 0', outputs=[error])]
    entries = (entry(home, "05", "Degrees <script>alert(1)</script>", "5.3", first, figures=("fig05", "fig07")),
               entry(home, "06", "Broken", "A", second, tables=("table4",)),
               entry(home, "17", "The verdict", "all", [new_markdown_cell("# 17")], tables=("table8",)))
    ran = new_notebook(cells=first, metadata={"widgets": {books.WIDGET_STATE: {
        "state": widget_state(), "version_major": 2, "version_minor": 0}}})
    nbformat.write(ran, executed / "05_book.ipynb")
    nbformat.write(new_notebook(cells=second), executed / "06_book.failed.ipynb")
    return site.Material("quick", entries, executed, drawn, committed, judged())


def judged() -> list[claims.Entry]:
    def claim(name: str, section: str) -> Claim:
        return Claim(name, section, f"The claim <{name}>.", (), lambda evidence: Outcome(MIXED))

    return [(claim("power-law", "abstract, 5.3"), Outcome(MIXED, (effect("one", [1.0, 2.0]), effect("two", [3.0])))),
            (claim("alpha", "5.3, A"), Outcome(REPRODUCED, (effect("x", [2.0, 2.1, 2.2], 1.0),))),
            (claim("minor", "7"), Outcome(NOT_MEASURED, (), "`python -m regrow run` trains what is missing."))]


@pytest.fixture
def folder(material: site.Material, tmp_path: Path) -> Path:
    return site.write(material, tmp_path / "build" / "site").index.parent


# ------------------------------------------------------------------------------------------------------------ pages

def test_a_whole_site_is_sound_and_asks_nobody(material: site.Material, tmp_path: Path) -> None:
    written = site.write(material, tmp_path / "build" / "site")
    pages = assert_sound(written.index.parent)
    assert set(pages) == {"index.html", "verdicts.html", "notebooks.html", "figures.html", "tables.html", "api.html",
                          "glossary.html", "search.html", "table4.html", "table8.html", "05_book.html",
                          "06_book.html", "17_book.html"}
    assert written.files > 20 and written.size > sum(path.stat().st_size for path in SHARED)
    assert written.undescribed == ()
    assert not list(tmp_path.glob("build/.site-*"))
    before = {path.name: path.read_bytes() for path in written.index.parent.rglob("*.html")}
    site.write(material, tmp_path / "build" / "site")  # in place of the old one, and the same again
    assert before == {path.name: path.read_bytes() for path in written.index.parent.rglob("*.html")}


def test_shared_files_name_no_other_machine() -> None:
    ours = [path for path in TEMPLATES.iterdir() if path.suffix in (".css", ".js", ".j2")]
    assert len(ours) > 8
    for path in ours:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|url\(|@import", text), path.name
    notice = (TEMPLATES.parent / "NOTICE.md").read_text(encoding="utf-8")
    for path in OTHERS:  # others' work, unchanged
        assert hashlib.sha256(path.read_bytes()).hexdigest() in notice, path.name


def test_the_first_page_leads_everywhere_in_one_click(folder: Path) -> None:
    """What it is, whose paper, three doors, five findings with the verdict on the power law, two commands."""
    page = Page(text := (folder / "index.html").read_text())
    goals = [attrs["href"] for attrs in page.all("a")]
    assert {"verdicts.html", "notebooks.html", "figures.html", "api.html", "17_book.html"} & set(goals) == {
        "verdicts.html", "notebooks.html", "figures.html", "api.html"}, "the book of verdicts is no door, its page is"
    assert "verdicts.html#claim-power-law" in goals and "verdicts.html#claim-hubs-soon" not in goals
    assert all(name in text for name in ("Matab", "Mocanu", "Wu", shared.PAPER, "./run_all.sh --lab"))
    for finding in shared.findings():
        assert finding.title in text
    assert text.index("Read the verdicts") < text.index("Five findings") < text.index("Two commands")
    assert (folder / "index.html").stat().st_size + sum(path.stat().st_size for path in OURS) < 2_000_000


def test_the_ledger_says_everything_in_words_sentences_first(folder: Path) -> None:
    text = (folder / "verdicts.html").read_text()
    assert text.index("The claim &lt;power-law&gt;.") < text.index("<code>power-law</code>")
    for group in ("mixed", "reproduced", "not-yet-measured"):
        assert f'href="#{group}"' in text and f'<tbody id="{group}">' in text
    assert "3 claims" in text and "The claim &lt;power-law&gt;." in text
    assert "<strong>2.1</strong>" in text and "no interval from one seed" in text and "claimed above 1" in text
    assert "<code>python -m regrow run</code> trains what is missing." in text
    assert '1 more <span class="unseen">number for power-law</span>' in text


def test_the_notebooks_are_listed_with_what_became_of_them(folder: Path) -> None:
    text = (folder / "notebooks.html").read_text()
    assert "Quick profile.</strong>" in text and "they are shown first" in text
    assert "1 of 3 notebooks have been executed, 1 failed" in text
    assert "python -m regrow notebooks --profile quick --only 17" in text
    assert "read 5, work through 20 minutes" in text and "<script>alert" not in text


def test_the_search_knows_headings_claims_terms_products_and_names(folder: Path) -> None:
    (index,) = [script for script in Page((folder / "search.html").read_text()).scripts if script.strip()]
    found = json.loads(index)
    addresses = {address for _, _, address, _ in found}
    assert {"verdicts.html#claim-minor", "glossary.html#k-shell", "table4.html", "figures.html#fig05",
            "05_book.html#Where-next", "api.html#regrow.tails.fit.fit_tail"} <= addresses
    for address in addresses:
        name, _, anchor = address.partition("#")
        assert not anchor or f'id="{anchor}"' in (folder / name).read_text(), address
    assert "</script" not in index, "a title ends the script"


def test_without_a_ledger_the_page_says_why(material: site.Material, tmp_path: Path) -> None:
    folder = site.write(replace(material, judged=(), no_ledger="abc is damaged."), tmp_path / "site").index.parent
    assert "The ledger is empty: abc is damaged." in (folder / "verdicts.html").read_text()
    assert "verdicts.html#" not in (folder / "index.html").read_text()
    assert_sound(folder)


def test_the_gallery_shows_names_and_compares(folder: Path) -> None:
    text = (folder / "figures.html").read_text()
    pictures = Page(text).all("img")
    assert [picture["alt"] for picture in pictures] == [ALT, ALT] and "2 of 3 figures are here" in text
    assert 'href="shipped/fig05.csv"' in text and 'aria-label="the quick Figure 5 as csv">csv</a>' in text
    assert "A &amp; B" not in text and "Paper versus ours" not in text.partition("fig07")[0]
    assert "Paper versus ours: 2 claims about Figure 7" in text and "verdicts.html#claim-alpha" in text
    assert 'href="05_book.html#fig05"' in text and "Figure “extra”" in text
    for name in ("fig05", "extra"):
        assert (folder / "thumbnails" / f"{name}.png").stat().st_size < 20_000


def test_what_replay_cannot_draw_is_named_with_the_command_that_trains_it(material: site.Material,
                                                                          tmp_path: Path) -> None:
    needy = replace(material.entries[0], needs=("fig07",))
    entries = (needy, *material.entries[1:])
    folder = site.write(replace(material, profile="replay", entries=entries), tmp_path / "site").index.parent
    text = (folder / "figures.html").read_text()
    assert "not here yet: <code>python -m regrow notebooks --profile paper --only 05</code>" in text


def test_a_table_puts_the_paper_beside_ours(folder: Path) -> None:
    text = (folder / "table4.html").read_text()
    assert '<th scope="rowgroup" rowspan="2">MLP &lt;i&gt;</th>' in text and text.count("<tbody>") == 2
    assert re.search(r'<tr class="paper">.*68.08.*</tr>\n<tr class="ours">.*65.69', text)
    assert 'class="number nothing">not trained yet' in text and 'href="figures/table4.csv"' in text
    assert "<code>python -m regrow run</code> trains the rest" in text
    assert "Table 8 is not here yet" in (folder / "table8.html").read_text()


def test_a_table_shows_full_scale_first_and_the_quick_one_below(material: site.Material, tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": ["MLP"], "number": ["ours"], "CIFAR-10": ["68.38 ± 0.25"]})
    save_table(frame, "table4", out=material.committed, profile="paper", caption="At full length")
    text = (site.write(material, tmp_path / "site").index.parent / "table4.html").read_text()
    assert "At full length" in text and "The quick profile's" in text
    assert text.index("68.38 ± 0.25") < text.index("The quick profile's") < text.index("65.69 ± 0.29")


def test_damaged_products_are_named(material: site.Material, tmp_path: Path) -> None:
    (material.drawn / "fig05.csv").unlink()
    (material.drawn / "table4.csv").write_text("")
    folder = site.write(material, tmp_path / "site").index.parent
    assert "fig05.csv is missing." in (folder / "figures.html").read_text()
    assert "table4.csv is empty." in (folder / "table4.html").read_text()
    assert_sound(folder)


# -------------------------------------------------------------------------------------------------------- notebooks

def test_a_notebook_becomes_a_page(folder: Path) -> None:
    text = (folder / "05_book.html").read_text()
    page = Page(text)
    assert "/secret" not in text, "the parameters of the machine that ran it"
    assert "$k_{max}$" in text and 'src="tex-svg.js"' in text
    assert 'href="06_book.html#end"' in text and "../src" not in text and 'href="https://example.org"' in text
    pictures = {picture["src"][:20]: picture["alt"] for picture in page.all("img")}  # type: ignore[index]
    assert list(pictures)[:2] == ["shipped/fig05.png", "figures/fig05.png"], "full scale first"
    assert pictures["figures/fig05.png"] == pictures["shipped/fig05.png"] == ALT and "a line that rises" not in text
    assert 'id="fig05"' in text and 'id="fig05-quick"' in text
    assert "committed/" not in text and "shipped/extra.png" not in text, "the very same picture"
    assert pictures[f"data:image/png;base64,{PNG}"[:20]] == 'Dots & "lines"' and text.count(PNG) == 1
    assert "<style scoped" not in text and "border=" not in text and "&lt;one&gt;\ntwo" in text
    assert 'rel="next" href="06_book.html"' in text and 'href="notebooks.html#experiments"' in text
    assert '<a href="#Where-next">Where next</a>' in text
    assert text.index('class="contents"') < text.index("k_{max}") < text.index("<aside>"), "above the page"


def test_a_picture_in_the_first_cell_introduces_the_page_even_if_it_was_drawn_again() -> None:
    pages: set[str] = set()
    source = "![the same again](../figures/extra.png)"
    book = new_notebook(cells=[new_markdown_cell(source), new_markdown_cell(f"{source} end")])
    ready = books.prepared(book, pages, {}, lambda stem: books.Committed(f"figures/{stem}.png", drawn_again=True))
    assert 'src="figures/extra.png"' in ready.cells[0].source and ready.cells[1].source.strip() == "end"


def test_solutions_are_inside_their_fold(folder: Path) -> None:
    page = Page((folder / "05_book.html").read_text())
    sources = [page.inside[n] for n, (tag, attrs) in enumerate(page.tags)
               if tag == "details" and attrs.get("class") == "source"]
    assert [place.count("details") for place in sources] == [0] * (len(sources) - 2) + [1, 1]
    folds = [attrs for attrs in page.all("details") if "class" not in attrs]
    assert len(folds) == 2 and all("open" not in fold for fold in folds)
    following = next(n for n, (_, attrs) in enumerate(page.tags) if attrs.get("id") == "Where-next")
    assert "details" not in page.inside[following]


def test_folding_keeps_solutions_with_their_own_text() -> None:
    solved = new_markdown_cell("<details>\n\nText.\n\n</details>\n", metadata={"site": {}})
    code = new_code_cell("1", metadata={"tags": ["solution"], "site": {}})
    cells = [solved.copy(), new_code_cell("2", metadata={"site": {}}), new_markdown_cell("a", metadata={"site": {}})]
    books.fold_solutions(cells)
    assert cells[0].source == solved.source and not cells[0].metadata["site"]
    cells = [nbformat.from_dict(cell) for cell in (solved, code, solved, code)]
    books.fold_solutions(cells)
    assert [cell.metadata["site"] for cell in cells] == [{"opens": True}, {"closes": True}] * 2
    assert all("</details>" not in cell.source for cell in cells)


def test_what_happened_after_a_prediction_waits_to_be_unfolded() -> None:
    cells = [new_markdown_cell("## Out\n\n**Before you run\nthis cell, predict:** up or down?"),
             new_code_cell("x = 1"),
             new_code_cell("print(x)", outputs=[new_output("stream", text="THE ANSWER\n")]),
             new_markdown_cell("![what a long run\nshows](../figures/fig05.png)\n\nIt went up."),
             new_code_cell("print(2)", outputs=[new_output("stream", text="LATER\n")])]
    page = books.body(new_notebook(cells=cells), (), {},
                      lambda stem: books.Committed(f"committed/{stem}.png", drawn_again=False)).html
    outcome = re.findall(r'<details class="outcome"><summary>(.*?)</summary>(.*?)</details>', page, re.DOTALL)
    assert [summary for summary, _ in outcome] == ["Show what happened", "Show it at the paper's scale"]
    assert "THE ANSWER" in outcome[0][1] and "committed/fig05.png" in outcome[1][1]
    shown = re.sub(r'<details class="outcome">.*?</details>', "", page, flags=re.DOTALL)
    assert "THE ANSWER" not in shown and "fig05" not in shown and "It went up." in shown and "LATER" in shown
    assert Page(page).open == []


def test_code_that_is_no_part_of_the_argument_is_folded() -> None:
    cell = new_code_cell("# Figure 5\nimport numpy as np\nfig = draw(\n    1)\n\nalt = ('a'\n       'b')\n"
                         'book.save(fig, "fig05", alt=alt)  # kept\nfig')
    assert books.parts(cell) == [
        {"source": "# Figure 5\nimport numpy as np", "fold": "imports"}, {"source": "fig = draw(\n    1)", "fold": ""},
        {"source": "alt = ('a'\n       'b')\nbook.save(fig, \"fig05\", alt=alt)  # kept\nfig", "fold": "saving"}]
    check = new_code_cell("print(1)\nx", metadata={"tags": ["nbval-check-output"]})
    assert books.parts(check) == [{"source": "print(1)\nx", "fold": "check"}]
    for argument in ("%time x", "# nothing but words", "fig", "alternatives = 3\nfig"):
        assert books.parts(new_code_cell(argument)) == [{"source": argument, "fold": ""}]
    page = books.body(new_notebook(cells=[cell, new_code_cell("y = 2")]), (), {}, lambda stem: None).html
    assert [attrs.get("open", "no") for attrs in Page(page).all("details")] == ["no", "", "no", ""]
    assert "fig05" in page, "folded, not left out"


def test_of_widgets_only_static_forms_are_kept(folder: Path) -> None:
    text = (folder / "05_book.html").read_text()
    assert STILL in text and "a teaching widget" not in text
    assert text.count("An interactive control is here when the notebook is open in JupyterLab.") == 1
    assert "vnd.jupyter.widget" not in text, "a page has no use for the state of widgets"


def test_a_failed_notebook_says_so(folder: Path) -> None:
    text = (folder / "06_book.html").read_text()
    assert "did not run to its end. ZeroDivisionError: &lt;division&gt;" in text
    assert "python -m regrow notebooks --profile quick --only 06" in text and "long" not in text
    assert "has not been executed in the quick profile yet" in (folder / "17_book.html").read_text()


def test_pictures_without_words_are_reported(material: site.Material, tmp_path: Path) -> None:
    path = material.notebooks / "05_book.ipynb"
    path.write_text(path.read_text().replace('"alt"', '"other"'))
    assert site.write(material, tmp_path / "site").undescribed == ("05_book.ipynb (1)",)


def test_what_is_no_notebook_is_refused_and_the_old_site_stays(material: site.Material, tmp_path: Path) -> None:
    site.write(material, tmp_path / "site")
    (material.notebooks / "05_book.ipynb").write_text("{")
    with pytest.raises(RegrowError, match="not a notebook that can be read"):
        site.write(material, tmp_path / "site")
    assert (tmp_path / "site" / "index.html").is_file() and not list(tmp_path.glob(".site-*"))


def test_links_that_are_none_stay() -> None:
    source = "GROWTH[name](state) [`a.py`](../src/a.py) and `b` [b](01_b.ipynb) [c](09_c.ipynb) ![p](../figures/x.png)"
    shown = books._links(source, {"01_b"})
    assert shown == "GROWTH[name](state) `a.py` and `b` [b](01_b.html) c ![p](../figures/x.png)"


# ---------------------------------------------------------------------------------------------- order and glossary

def test_every_notebook_has_its_chapter() -> None:
    chapters = by_chapter(ENTRIES)
    assert [e.id for _, group in chapters for e in group] == [e.id for e in ENTRIES]
    assert [[e.id for e in group] for _, group in chapters][:4] == [
        ["00", "01"], ["02", "03", "04", "05", "06", "06b"], ["07", "08", "09", "10", "11", "12"],
        ["13", "14", "15", "16"]]
    assert in_the_paper("5.3") == "Section 5.3" and in_the_paper("3, 4.1-4.2") == "Sections 3, 4.1-4.2"
    assert in_the_paper("A") == "Appendix A" and in_the_paper("E, I") == "Appendices E, I"
    assert in_the_paper("all") == "the whole paper"
    assert in_the_paper("every widget") == "every widget"


def test_the_glossary_is_complete_and_its_notebooks_exist() -> None:
    terms = shared.terms()
    assert len(terms) >= 30 and len({term.anchor for term in terms}) == len(terms)
    assert {"density", "ERK", "in-degree", "dormant neuron", "k-shell", "xmin", "goodness of fit"} <= {
        term.term for term in terms}
    known = {e.id for e in ENTRIES}
    for term in terms:
        assert term.notebooks and set(term.notebooks) <= known, term.term
        assert term.text.endswith(".") and term.text.count(". ") == 0 and len(term.text.split()) <= 40, term.term


def test_compared_claims_and_figures_exist() -> None:
    stems = {stem for e in ENTRIES for stem in (*e.products, *(name for name, _ in products.saved_by(e)))}
    ids = {claim.id for claim in claims.LEDGER}
    for stem, names in ledger.claims_of_figures().items():
        assert stem in stems and set(names) <= ids, stem


def test_sections_come_in_the_papers_order() -> None:
    rows = ledger.rows(judged())
    assert [(name, [row.id for row in listed]) for name, listed in ledger.by_section(rows)] == [
        ("abstract", ["power-law"]), ("5.3", ["power-law", "alpha"]), ("7", ["minor"]), ("A", ["alpha"])]
    assert [group.verdict for group in ledger.groups(judged())] == [REPRODUCED, MIXED, NOT_MEASURED]


def test_pictures_are_the_same_if_only_edges_differ(tmp_path: Path) -> None:
    pixels = np.full((20, 30, 3), 255, np.uint8)
    edge, line, wider = pixels.copy(), pixels.copy(), np.full((20, 31, 3), 255, np.uint8)
    edge[5], line[5] = 255 - 40, 0
    paths = {name: tmp_path / f"{name}.png" for name in ("plain", "edge", "line", "wider")}
    for path, drawn in zip(paths.values(), (pixels, edge, line, wider), strict=True):
        Image.fromarray(drawn).save(path)
    assert [products.same_picture(paths["plain"], path) for path in paths.values()] == [True, True, False, False]


def test_what_a_cell_saves() -> None:
    assert products.saved_in('book.save(fig, "fig05", data=data, alt=alt)\nbook.records("fig09")') == [
        ("fig05", "figure")]
    assert products.saved_in('book.save_table(\n    t, "table4")\nshow(f(x), "figB1", alt, caption)') == [
        ("table4", "table"), ("figB1", "figure")]
    assert products.saved_in('figures.save_figure(fig, "a-b.c", out=out)') == [("a-b.c", "figure")]


def test_every_product_of_the_notebooks_is_found() -> None:
    found = products.read(ENTRIES, ROOT / "figures")
    assert list(found)[:20] == [f"fig{n:02d}" for n in range(1, 21)] and "ledger" in found
    assert found["fig05"].name == "Figure 5" and found["table8"].name == "Table 8" and found["schedules"].ours
    assert found["fig07_honest"].name == "Figure 7, honest" and found["fig05"].shown


def test_a_folder_of_somebody_else_is_not_replaced(material: site.Material, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("mine")
    with pytest.raises(RegrowError, match="files that regrow did not write"):
        site.write(material, theirs)
    assert (theirs / "index.html").read_text() == "mine"


# ------------------------------------------------------------------------------------- the moving picture, the package

@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    store, base = Store(tmp_path_factory.mktemp("runs")), RunConfig(hidden=(40, 10), train_limit=256, epochs=12,
                                                                    update_interval=1)
    return [store.ensure(base.but(grow=grow, seed=seed)) for grow in ("random", "gradient") for seed in (0, 1)]


def test_the_moving_picture_shows_what_the_records_hold(records: list[Record]) -> None:
    moving = growth.moving_picture(records)
    assert moving is not None
    moments = growth._moments(len(records[0].steps))
    assert moments.tolist()[:growth.FIRST] == list(range(growth.FIRST)) and len(set(moments.tolist())) == len(moments)
    assert len(moments) == len(moving["epochs"]) <= growth.FRAMES and moments[-1] == len(records[0].steps) - 1
    for rule, record in zip(moving["rules"], (records[0], records[2]), strict=True):
        degrees = record.in_degree["fc1"][moments]
        bytes_ = np.frombuffer(base64.b64decode(rule["degrees"]), np.uint8).reshape(degrees.shape)
        assert np.abs(bytes_ / moving["steps"] - np.sqrt(degrees)).max() <= 0.5 / moving["steps"] + 1e-9
        assert rule["largest"] == degrees.max(axis=1).tolist() and rule["poor"] == (degrees <= 10).sum(axis=1).tolist()
    assert moving["rules"][0]["accuracy"] == round(np.mean([r.test_accuracy[-1] for r in records[:2]]), 1)
    assert moving["rules"][0]["degrees"][:40] == moving["rules"][1]["degrees"][:40], "one start"
    assert growth.moving_picture([]) is None


def test_the_first_page_moves_and_has_a_still(material: site.Material, tmp_path: Path, records: list[Record]) -> None:
    save_figure(figure(), "growth", data=pd.DataFrame({"a": [1]}), alt=ALT, out=material.committed, profile="paper")
    moving = replace(material, growth=growth.moving_picture(records))
    folder = site.write(moving, tmp_path / "site").index.parent
    text = (folder / "index.html").read_text()
    assert text.count("<canvas") == 2 and "growth.js" in text and '<noscript><img src="committed/growth.png"' in text
    data = next(script for script in Page(text).scripts if script.startswith("{"))
    assert json.loads(data) == json.loads(json.dumps(moving.growth))
    assert_sound(folder)


def test_the_package_page_has_every_public_name_with_its_docstring(folder: Path) -> None:
    """Held against the modules as Python imports them, which the page itself does not do."""
    shown = re.sub(r"<[^>]+>|\s", "", (folder / "api.html").read_text())
    text = html.unescape(shown)
    ids = {str(attrs["id"]) for _, attrs in Page((folder / "api.html").read_text()).tags if "id" in attrs}
    names = ["regrow", *(found.name for found in pkgutil.walk_packages(regrow.__path__, "regrow."))]
    public = [(name, key, value) for name in names if name != "regrow.__main__"
              for key, value in vars(importlib.import_module(name)).items()
              if not key.startswith("_") and getattr(value, "__module__", None) == name
              and (inspect.isfunction(value) or inspect.isclass(value))]
    assert len(public) > 150
    for name, key, value in public:
        assert f"{name}.{key}" in ids, f"{name}.{key}"
        doc = re.sub(r"[`\s]", "", inspect.getdoc(value) or "")
        assert doc and doc in text, f"{name}.{key} says nothing"
    offered = [name.name for name in api.face(api.modules())]
    assert set(offered) == set(regrow.__all__) - {"__version__"}


def test_signatures_are_those_of_the_source() -> None:
    source = ('class A(Base):\n    """A."""\n    x: int = 3\n    y: str = _key("mlp", "network")\n    _z: int = 0\n'
              '    @property\n    def p(self) -> int:\n        """P."""\n    def _q(self): ...\n'
              'async def f(a: int, *, b: str = "c") -> None: ...\ndef _g(): ...\n')
    made, function = api._names(ast.parse(source).body, "m")
    assert made.signature == "class A(Base)\n    x: int = 3\n    y: str = 'mlp'  # network"
    assert [(one.anchor, one.signature) for one in made.members] == [("m.A.p", "@property\np(self) -> int")]
    assert function.signature == "f(a: int, *, b: str='c') -> None"
    assert api.Name("a.b", "", "One. Two.\n\nThree.").summary == "One."
    assert api.paragraphs("One\ntwo.\n\n- a\n  b\n- c\n\n    x = 1\n    y = 2") == [
        ("One two.", False), ("- a b", False), ("- c", False), ("    x = 1\n    y = 2", True)]
