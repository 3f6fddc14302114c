"""report.py: a page whose links lead somewhere, that hides nothing missing and fetches nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure

from regrow import report
from regrow.errors import RegrowError
from regrow.figures import save_figure, save_table

ALT = 'A rising line, "quoted" & <b>bold</b>, from one to three.'
BOOKS = [
    {"id": "05", "file": "05-k-shell.ipynb", "title": "k-shell <script>alert(1)</script>", "section": "5.3",
     "figures": ["fig11", "fig12"], "tables": ["table3"], "minutes": 1},
    {"id": "09", "file": "09-degree.ipynb", "title": "Degrees", "section": "Appendix G", "figures": [],
     "tables": ["table4"], "minutes": 2},
]


VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Every start tag with its attributes, and what was never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:  # <meta ... /> ends here as well
            assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def addresses(self) -> list[str]:
        return [str(a[key]) for _, a in self.tags for key in ("href", "src") if key in a]


def figure() -> Figure:
    fig = Figure()
    fig.subplots().plot([1, 2, 3])
    fig.axes[0].set(xlabel="epoch", ylabel="connections")
    return fig


@pytest.fixture
def build(tmp_path: Path) -> Path:
    build = tmp_path / "build" / "quick run"
    frame = pd.DataFrame({"rule": ["<i>random</i>", "dense"], "accuracy": [55.5, 70.25]})
    save_figure(figure(), "fig11", data=frame, alt=ALT, out=build / "figures", profile="quick",
                caption="Shells & <u>N</u> = 3")
    save_table(frame, "table3", out=build / "figures", profile="quick", caption="Accuracy in percent, N = 3")
    (build / "notebooks").mkdir()
    (build / "notebooks" / "05.html").write_text("<p>05</p>")
    (build / "log 05.txt").write_text("fine")
    return build


STATUSES = {"05": {"status": "ok", "seconds": 12.3, "html": "notebooks/05.html", "log": "log 05.txt"},
            "09": {"status": "failed", "seconds": 200.0, "log": "gone.txt"}}


def test_every_link_resolves_and_nothing_is_fetched(build: Path) -> None:
    path = report.write_index("quick", build, BOOKS, STATUSES)
    assert path == build / "index.html"
    page = Page(path.read_text())
    assert page.open == [] and not page.all("script") and not page.all("link")
    anchors = {a["id"] for _, a in page.tags if "id" in a}
    assert len(anchors) == sum("id" in a for _, a in page.tags)  # no id twice
    assert len(page.addresses) > 12
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in anchors
        else:
            assert (build / unquote(address)).is_file(), address
    assert "http" not in path.read_text() and "url(" not in path.read_text()


def test_page_is_escaped_and_has_its_landmarks(build: Path) -> None:
    text = report.write_index("quick", build, BOOKS, STATUSES).read_text()
    page = Page(text)
    assert "<i>random" not in text and "<u>" not in text and "&lt;script&gt;" in text
    (image,) = page.all("img")
    assert image["alt"] == ALT
    assert page.all("html")[0]["lang"] == "en" and len(page.all("main")) == len(page.all("h1")) == 1
    assert page.tags[[tag for tag, _ in page.tags].index("body") + 1][1]["href"] == "#content"  # skip link comes first
    assert all(th["scope"] == "col" for th in page.all("th")) and len(page.all("caption")) == 1
    assert '<td class="number">70.25</td>' in text and "prefers-color-scheme: dark" in text


def test_page_says_what_is_missing_and_how_it_went(build: Path) -> None:
    text = report.write_index("quick", build, BOOKS, STATUSES).read_text()
    assert "2 of 4 figures and tables are here" in text and "1 of 2 notebooks ran" in text
    assert "fig12 is not here.</strong>" in text and "table4 is not here.</strong>" in text
    assert "python -m regrow notebooks --profile quick --only 05" in text
    assert "Nothing here is at the paper" in text and "Section 5.3" in text and "paper, Appendix G" in text
    assert "✓ ok" in text and "12 s" in text and "✗ failed" in text and "3.3 min" in text


def test_damaged_products_are_named_on_the_page(build: Path) -> None:
    (build / "figures" / "fig11.csv").unlink()
    (build / "figures" / "table3.csv").write_text("")
    text = report.write_index("quick", build, BOOKS, STATUSES).read_text()
    assert "fig11.csv is missing." in text
    assert "table3 is not here as a whole.</strong> table3.csv is empty." in text


def test_long_tables_are_cut_and_other_folders_reached(build: Path, tmp_path: Path) -> None:
    products = tmp_path / "figures"
    save_table(pd.DataFrame({"n": range(100)}), "table4", out=products, profile="paper", caption="Many rows")
    path = report.write_index("paper", build, BOOKS, {}, products=products)
    assert "40 more rows" in path.read_text() and path.read_text().count("<tr>") == 61
    assert "../../figures/table4.csv" in Page(path.read_text()).addresses and "○ not run" in path.read_text()
    assert path.read_bytes() == report.write_index("paper", build, BOOKS, {}, products=products).read_bytes()


def test_executed_notebook_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    save_figure(figure(), "fig05", data=pd.DataFrame({"a": [1]}), alt=ALT, out=tmp_path, profile="paper")
    png = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "x"})
    view = nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}})
    book = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell(r"Eq. 5 is $p_t = \frac{p_0}{2}$ ![chart of it](fig05.png) ![gone](gone.png)"),
        nbformat.v4.new_code_cell("print('<b>')", execution_count=1, outputs=[
            nbformat.v4.new_output("stream", name="stdout", text="<b>\n"), png, view]),
        nbformat.v4.new_markdown_cell("```mermaid\ngraph\n```"),
    ])
    book.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"a": {}}, "version_major": 2}}
    nbformat.write(book, tmp_path / "05.ipynb")
    path = report.executed_html(tmp_path / "05.ipynb")
    text, page = path.read_text(), Page(path.read_text())
    assert path == tmp_path / "05.html"
    assert not [s for s in page.all("script") if "src" in s or s.get("type") in (None, "module", "text/javascript")]
    assert not [a for a in page.addresses if re.match("(https?:)?//", a)]
    assert "@import" not in text and not re.search(r"url\(['\"]?(https?:)?//", text)
    assert r"$p_t = \frac{p_0}{2}$" in text and "interactive control" in text and "&lt;b&gt;" in text
    assert sum(str(a["src"]).startswith("data:image/png") for a in page.all("img")) == 2


def test_what_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text("{")
    for name in ("x.ipynb", "none.ipynb"):
        with pytest.raises(RegrowError, match="not a notebook that can be read") as refused:
            report.executed_html(tmp_path / name)
        assert "\n" not in str(refused.value)
