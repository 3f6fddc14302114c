"""An executed notebook as the body of a page: links and pictures of the site, widgets alive, and folded what comes too
early (solutions, what happened after a prediction) or is no part of the argument (imports, checks, saving)."""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter

from regrow.errors import RegrowError
from regrow_companion.runner.index import Entry
from regrow_companion.site.products import Product, saved_in
from regrow_companion.site.shared import loader, terms
from regrow_companion.site.words import linked

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PICTURE = re.compile(r"!\[([^\]]*)\]\(\.\./figures/([\w.-]+)\.png\)")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#\s]+|[\w-]+\.ipynb)(#[^)\s]*)?\)")  # within the repository
# What pandas puts before every table; and a header cell without text is none.
FRAME_STYLE, EMPTY_HEAD = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL), re.compile(r"<th>\s*</th>")
# Where the reader should think before looking; a heading may say it, too.
PREDICT = re.compile(r"before you run (?:this|these|the next) cells?|^## predict again", re.IGNORECASE)


@dataclass(frozen=True)
class Book:
    """A notebook on the site. `state` is executed, failed or absent; `notebook` the file, if there is one."""

    entry: Entry
    state: str
    notebook: Path | None
    command: str

    @property
    def page(self) -> str:
        return f"{self.entry.path.stem}.html"


@dataclass(frozen=True)
class Committed:
    """A picture of the repository: where the site has it, and whether a notebook has just drawn the very same."""

    address: str
    drawn_again: bool


@dataclass(frozen=True)
class Body:
    """What a page shows of a notebook: its cells as HTML, the headings in them as (anchor, text), the figures and
    tables that can be linked to, the error that stopped it, and the number of pictures that nobody has described."""

    html: str
    headings: tuple[tuple[str, str], ...]
    anchors: frozenset[str]
    error: str
    undescribed: int


def find(entries: Iterable[Entry], folder: Path, profile: str) -> list[Book]:
    """The notebooks as `folder` (of executed notebooks) has them; a failed one there is newer than a finished one."""
    books = []
    for entry in entries:
        executed = folder / entry.file
        failed = executed.with_name(f"{executed.stem}.failed.ipynb")
        state, path = ("failed", failed) if failed.is_file() else ("executed", executed)
        if not path.is_file():
            state = "absent"
        command = f"python -m regrow notebooks --profile {profile} --only {entry.id}"
        books.append(Book(entry, state, path if path.is_file() else None, command))
    return books


def minutes(entry: Entry) -> tuple[int, int] | None:
    """To read and to work through, as the notebook's first cell says."""
    first = json.loads(entry.path.read_text(encoding="utf-8"))["cells"][0]
    found = re.search(r"read\s+(\d+),\s+work\s+through\s+(\d+)\s+minutes", "".join(first["source"]))
    return (int(found[1]), int(found[2])) if found else None


def read(path: Path) -> nbformat.NotebookNode:
    """Raises RegrowError if the file is not a notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise RegrowError(f"{path.name} is not a notebook that can be read ({error}); run it again.") from error


def body(notebook: nbformat.NotebookNode, pages: Iterable[str], products: Mapping[str, Sequence[Product]],
         committed: Callable[[str], Committed | None]) -> Body:
    """Export a notebook. `pages` are the stems of the notebooks that have a page; `products` are what there is of each
    figure and table, full scale first; `committed` finds a picture of the
    repository, of which those are left out that the notebook itself has just drawn the same, but for one in its first
    cell, which introduces it."""
    ready = prepared(notebook, set(pages), products, committed)
    exporter = HTMLExporter(template_name="basic", template_file="cells.html.j2", extra_loaders=[loader()])
    text, _ = exporter.from_notebook_node(ready)
    errors = [output for cell in ready.cells if cell.cell_type == "code" for output in cell.outputs
              if output.output_type == "error"]
    anchors = frozenset(product.anchor for cell in ready.cells for product in cell.metadata["site"]["products"])
    text = linked(text, terms())
    return Body(text, tuple(_headings(text)), anchors,
                f"{errors[-1].ename}: {errors[-1].evalue}" if errors else "", text.count("data-undescribed"))


def prepared(notebook: nbformat.NotebookNode, pages: set[str], products: Mapping[str, Sequence[Product]],
             committed: Callable[[str], Committed | None]) -> nbformat.NotebookNode:
    """A copy of the notebook as the template wants it; `cell.metadata.site` says what is special about a cell."""
    book = deepcopy(notebook)
    book.cells = [cell for cell in book.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    state = book.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    told = _told_too_early(book.cells)
    for cell, early in zip(book.cells, told, strict=True):
        cell.metadata["site"] = {"products": [], "opens": False, "closes": False, "outcome": early, "parts": []}
        if cell.cell_type == "markdown":
            cell.source = _links(_pictures(cell.source, committed, fold=early, opens=cell is book.cells[0]), pages)
        elif cell.cell_type == "code":
            cell.metadata["site"]["parts"] = parts(cell)
            _show_products(cell, products)
            cell.outputs = _joined([shown for output in cell.outputs if (shown := _static_only(output, state))])
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):
                    plain = FRAME_STYLE.sub("", output.data["text/html"]).replace(' border="1"', "")
                    output.data["text/html"] = EMPTY_HEAD.sub("<td></td>", plain)
    book.cells = [cell for cell in book.cells if cell.source.strip() or cell.get("outputs")]
    fold_solutions(book.cells)
    return book


def _told_too_early(cells: list[nbformat.NotebookNode]) -> list[bool]:
    """Which cells show what a prompt just asked to predict: the code after it, and the picture right behind that."""
    told, asked, ran = [], False, False
    for cell in cells:
        text = cell.cell_type == "markdown"
        told.append(asked and (not text or (ran and cell.source.startswith("!["))))
        if text:
            asked = bool(PREDICT.search(" ".join(cell.source.split()))) or (asked and not ran)
            ran = False
        else:
            ran = asked
    return told


def parts(cell: nbformat.NotebookNode) -> list[dict[str, str]]:
    """The code in pieces: `source`, and `fold`, which names what is folded and is empty for the argument."""
    tags = cell.metadata.get("tags", ())
    label = "parameters" if "parameters" in tags else "check" if "nbval-check-output" in tags else ""
    if label:
        return [{"source": cell.source, "fold": label}]
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError:  # a magic of IPython
        statements = []
    found: list[dict[str, str]] = []
    lines, done = cell.source.splitlines(), 0
    for number, statement in enumerate(statements, 1):
        end = len(lines) if number == len(statements) else statement.end_lineno
        before = found[-1]["fold"] if found else ""
        fold = _plumbing(statement, after_saving=before == "saving")
        if found and fold == before:
            found[-1]["source"] += "\n" + "\n".join(lines[done:end])
        else:
            found.append({"source": "\n".join(lines[done:end]), "fold": fold})
        done = end
    return [piece | {"source": piece["source"].strip("\n")} for piece in found] or [{"source": cell.source, "fold": ""}]


def _plumbing(statement: ast.stmt, after_saving: bool) -> str:
    """What a statement does for the notebook and not for its argument; "" if it belongs to the argument."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return "imports"
    code = ast.unparse(statement)
    if code.startswith("book = session.start("):
        return "imports"
    saves = code.startswith(("alt = ", "caption = ", "book.save", "plt.close("))
    return "saving" if saves or (after_saving and code == "fig") else ""


def fold_solutions(cells: list[nbformat.NotebookNode]) -> None:
    """Let the <details> that ends a text hold the solution cells after it as well."""
    for here, after in pairwise(cells):
        if here.cell_type == "markdown" and here.source.rstrip().endswith("</details>") and _is_solution(after):
            here.source = here.source.rstrip().removesuffix("</details>")
            here.metadata["site"]["opens"] = True
            last = next(n for n in range(cells.index(after), len(cells) + 1)
                        if n == len(cells) or not _is_solution(cells[n])) - 1
            cells[last].metadata["site"]["closes"] = True


def _is_solution(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and "solution" in cell.metadata.get("tags", ())


def _show_products(cell: nbformat.NotebookNode, products: Mapping[str, Sequence[Product]]) -> None:
    """Show a saved figure from its file, which is sharper than the output and has an alt text, not both; and before it
    what ships of full-scale runs."""
    here = [product for stem, _ in saved_in(cell.source) for product in products.get(stem, ()) if product.shown]
    cell.metadata["site"]["products"] = here
    if any(product.kind == "figure" for product in here):
        cell.outputs = [output for output in cell.outputs if "image/png" not in output.get("data", {})]


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What a cell printed arrives in pieces."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _pictures(source: str, committed: Callable[[str], Committed | None], *, fold: bool, opens: bool) -> str:
    def shown(found: re.Match[str]) -> str:
        picture = committed(found[2])
        if picture is None or (picture.drawn_again and not opens):
            return ""
        note = "" if opens else "<figcaption>The picture that comes with the repository.</figcaption>"
        alt = html.escape(" ".join(found[1].split()))
        figure = f'<figure class="panel"><img src="{picture.address}" alt="{alt}" loading="lazy">{note}</figure>'
        if fold:
            figure = f'<details class="outcome"><summary>Show it at the paper\'s scale</summary>{figure}</details>'
        return f"\n\n{figure}\n\n"

    return PICTURE.sub(shown, source)


def _links(source: str, pages: set[str]) -> str:
    """Links to notebooks lead to their pages; what else the repository has is not on the site."""
    def changed(found: re.Match[str]) -> str:
        text, name, place = found[1], found[2], found[3] or ""
        stem = name.removesuffix(".ipynb")
        return f"[{text}]({stem}.html{place})" if stem != name and stem in pages else text

    return LINK.sub(changed, source)


def _static_only(output: nbformat.NotebookNode, state: Mapping[str, Any]) -> nbformat.NotebookNode | None:
    """Still forms of widgets are HTML. Others do nothing without a kernel: a panel becomes a sentence, and a finished
    progress bar says nothing."""
    view = output.get("data", {}).get(WIDGET_VIEW)
    if not view:
        return output
    if "regrow-widget" not in state.get(view.get("model_id"), {}).get("state", {}).get("_dom_classes", []):
        return None
    text = "<p><em>An interactive control is here when the notebook is open in JupyterLab.</em></p>"
    return nbformat.v4.new_output("display_data", {"text/html": text})


def _headings(text: str) -> Iterable[tuple[str, str]]:
    for anchor, inner in re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', text, flags=re.DOTALL):
        plain = re.sub(r"<a class=\"anchor-link\".*?</a>|<[^>]+>", "", inner, flags=re.DOTALL)
        yield anchor, html.unescape(plain).strip()
