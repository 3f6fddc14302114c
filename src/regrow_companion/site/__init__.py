"""The site: a first page, the ledger of claims, a page per notebook, galleries of figures and tables, a glossary, the
public names of the package, and a search over all of it. `python -m regrow report` writes it; it is a folder that can
be copied anywhere and opened without a network.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from regrow import files
from regrow.errors import RegrowError
from regrow_companion import claims
from regrow_companion.runner.index import Entry
from regrow_companion.site import api, books, ledger, products, shared
from regrow_companion.site.books import Book, Committed
from regrow_companion.site.products import Product
from regrow_companion.site.shared import SHARED, by_chapter, chapter_of, in_the_paper, render

TOUR, VERDICT, WIDGETS = "00", "17", "widgets"  # notebooks that the first page leads to
STILL = "growth"  # the picture of the first page where scripts do not run
LAST_PAGE = "glossary.html"  # a folder that has it is a site of ours
MEANING = {
    "quick": "Where full-scale runs ship with the repository they are shown first. Pictures and tables marked quick "
             "are of real training, too, but of small networks on few images and for few epochs, in minutes on two "
             "cores: read the shapes of their curves, not their values.",
    "replay": "Drawn from the records of full-scale runs that come with the repository; nothing was trained now.",
    "paper": "The paper's grid: its networks and data sets, 300 epochs, five seeds.",
}

DOORS = (  # to notebooks; the third one, to the verdicts, is in the template
    (TOUR, "Take the tour", "Train two small networks, look inside, and see what the paper is about. Ten minutes."),
    (WIDGETS, "Play in the gallery", "Eight small experiments to move by hand, each with a question for a class."),
)


@dataclass(frozen=True)
class Material:
    """What a site is made of. `notebooks` is the folder of executed notebooks, `drawn` that of figures and tables,
    `committed` the figures of the repository; `no_ledger` says why the ledger is empty, if it is; `growth` is the
    moving picture of the first page (site.growth), None without one."""

    profile: str
    entries: tuple[Entry, ...]
    notebooks: Path
    drawn: Path
    committed: Path
    judged: Sequence[claims.Entry] = ()
    no_ledger: str = "its records are not there."
    growth: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Written:
    """What came of it: the first page, the size of all files together in bytes, pictures that nobody has described."""

    index: Path
    files: int
    size: int
    undescribed: tuple[str, ...]


def write(material: Material, site: Path) -> Written:
    """Write the whole site into the folder `site`, in place of the one that was there. Raises RegrowError for a
    notebook that cannot be read, the old site then stays, and for a folder that holds something else."""
    if site.is_dir() and any(site.iterdir()) and not (site / LAST_PAGE).is_file():
        raise RegrowError(f"{site} holds files that regrow did not write: name another folder with --build.")
    site.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".site-", dir=site.parent))
    try:
        undescribed = _Writer(material, new).write()
        if site.exists():
            shutil.rmtree(site)
        new.chmod(0o755)
        new.rename(site)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    there = [path for path in site.rglob("*") if path.is_file()]
    return Written(site / "index.html", len(there), sum(path.stat().st_size for path in there), tuple(undescribed))


class _Writer:
    """The pages of one site; what they share is read once."""

    def __init__(self, material: Material, site: Path) -> None:
        self.material, self.site = material, site
        self.books = books.find(material.entries, material.notebooks, material.profile)
        self.products = products.read(material.entries, material.drawn)
        self.shipped = products.shipped(self.products, material.entries, material.committed)
        self.best = {stem: self.shipped.get(stem, product) for stem, product in self.products.items()}
        self.claims = {row.id: row for row in ledger.rows(material.judged)}
        self.thumbnails: dict[str, tuple[str, int, int]] = {}
        self.anchors: dict[str, frozenset[str]] = {}  # of the figures and tables on a notebook's page
        self.found: list[tuple[str, str, str, str]] = []  # what the search knows: kind, title, address, text

    def write(self) -> list[str]:
        for path in SHARED:
            shutil.copyfile(path, self.site / path.name)
        self._copy_products()
        undescribed = [name for book in self.books for name in self._notebook(book)]
        figures = [self._shown(product) for product in self.best.values() if product.kind == "figure"]
        tables = [self._shown(product) for product in self.best.values() if product.kind == "table"]
        self._index()
        self._ledger()
        self._page("notebooks.html", "notebooks.html.j2", chapters=self._chapters(), total=len(self.books),
                   failed=self._count("failed"), ran=self._count("executed"))
        self._page("figures.html", "figures.html.j2", figures=figures)
        self._page("tables.html", "tables.html.j2", tables=tables)
        for product in self.best.values():
            if product.kind == "table":
                self._table(product)
        self._api()
        self._glossary()
        self._search([*figures, *tables])
        return undescribed

    def _page(self, name: str, template: str, **values: Any) -> None:
        text = render(template, profile=self.material.profile, meaning=MEANING[self.material.profile], current=name,
                      **values)
        files.write(self.site / name, text.encode())

    def _copy_products(self) -> None:
        for product in (*self.products.values(), *self.shipped.values()):
            (self.site / product.place).mkdir(exist_ok=True)
            for kind in product.files:
                shutil.copyfile(product.path(kind), self.site / product.address(kind))
        for product in self.best.values():
            if product.kind == "figure" and product.shown:
                self.thumbnails[product.stem] = self._thumbnail(product)

    def _thumbnail(self, product: Product) -> tuple[str, int, int]:
        content, width, height = products.thumbnail(product.path("png"))
        (self.site / "thumbnails").mkdir(exist_ok=True)
        files.write(self.site / "thumbnails" / f"{product.stem}.png", content)
        return f"thumbnails/{product.stem}.png", width, height

    def _committed(self, stem: str) -> Committed | None:
        """A picture of the repository as pages show it; None if there is no such picture."""
        if stem in self.shipped:  # shown by the cell that saves it
            return Committed(self.shipped[stem].address("png"), drawn_again=True)
        path = self.material.committed / f"{stem}.png"
        if not path.is_file():
            return None
        product = self.products.get(stem)
        if product and product.shown and products.same_picture(product.path("png"), path):
            return Committed(f"figures/{stem}.png", drawn_again=True)
        (self.site / "committed").mkdir(exist_ok=True)
        shutil.copyfile(path, self.site / "committed" / path.name)
        return Committed(f"committed/{path.name}", drawn_again=False)

    def _count(self, state: str) -> int:
        return sum(book.state == state for book in self.books)

    def _index(self) -> None:
        pages = {book.entry.id: book.page for book in self.books}
        still = self._committed(STILL)
        doors = [(pages[id], title, text) for id, title, text in DOORS if id in pages]
        findings = [(one, self.claims.get(one.claim), pages.get(one.notebook, "")) for one in shared.findings()]
        self._page("index.html", "index.html.j2", growth=self.material.growth, still=still.address if still else "",
                   doors=doors, findings=findings, claims=len(self.claims))

    def _ledger(self) -> None:
        rows = list(self.claims.values())
        judged = self.material.judged
        self._page("verdicts.html", "verdicts.html.j2", groups=ledger.groups(judged), rows=rows,
                   conclusions=ledger.first_page(judged), apart=ledger.apart(judged),
                   intervals=claims.what_intervals_mean(judged),
                   sections=ledger.by_section(rows), no_ledger=self.material.no_ledger,
                   verdict_page=next((book.page for book in self.books if book.entry.id == VERDICT), ""))
        self.found += [(f"Claim, {row.verdict}", row.text, f"verdicts.html#{row.anchor}", row.id) for row in rows]

    def _api(self) -> None:
        modules = api.modules()
        self._page("api.html", "api.html.j2", modules=modules, face=api.face(modules),
                   paragraphs=api.paragraphs)
        self.found += [("Python", f"{module.name}.{name.name}", f"api.html#{name.anchor}", name.summary)
                       for module in modules for name in module.names]

    def _glossary(self) -> None:
        pages = {book.entry.id: book.page for book in self.books}
        terms = shared.terms()
        self._page(LAST_PAGE, "glossary.html.j2", terms=[
            (term, [(name, pages[name]) for name in term.notebooks if name in pages]) for term in terms])
        self.found += [("Glossary", term.term, f"{LAST_PAGE}#{term.anchor}", term.text) for term in terms]

    def _search(self, shown: Sequence[Mapping[str, Any]]) -> None:
        self.found += [("Notebook", _title(book.entry), book.page, "") for book in self.books]
        self.found += [(item["kind"].capitalize(), item["name"], item["page"] if item["kind"] == "table" else
                        f"figures.html#{item['stem']}", item["caption"]) for item in shown]
        index = json.dumps(self.found, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        self._page("search.html", "search.html.j2", index=index, entries=len(self.found))

    def _chapters(self) -> list[tuple[Any, list[dict[str, Any]]]]:
        by_id = {book.entry.id: book for book in self.books}
        return [(chapter, [self._described(by_id[entry.id]) for entry in group])
                for chapter, group in by_chapter(self.material.entries)]

    def _described(self, book: Book) -> dict[str, Any]:
        """A notebook as templates name it."""
        entry = book.entry
        owned = [self.products[stem] for stem in entry.products if stem in self.products]
        return {"id": entry.id, "title": _title(entry), "page": book.page, "state": book.state,
                "command": book.command, "section": in_the_paper(entry.section), "chapter": chapter_of(entry).anchor,
                "minutes": books.minutes(entry),
                "products": [{"name": product.name, "where": _place(product)} for product in owned]}

    def _notebook(self, book: Book) -> Iterable[str]:
        body = None
        if book.notebook is not None:
            each = {stem: [self.shipped[stem], product] if stem in self.shipped else [product]
                    for stem, product in self.products.items()}
            body = books.body(books.read(book.notebook), [b.entry.path.stem for b in self.books], each, self._committed)
            self.anchors[book.page] = body.anchors
            self.found += [("Notebook", f"{_title(book.entry)}: {text}", f"{book.page}#{anchor}", "")
                           for anchor, text in body.headings]
        at = self.books.index(book)
        before = self._described(self.books[at - 1]) if at else None
        after = self._described(self.books[at + 1]) if at + 1 < len(self.books) else None
        self._page(book.page, "notebook.html.j2", book=self._described(book), body=body, before=before, after=after,
                   chapters=self._chapters())
        if body is not None and body.undescribed:
            yield f"{book.entry.file} ({body.undescribed})"

    def _shown(self, product: Product) -> dict[str, Any]:
        """A figure or table as templates name it."""
        book = next(book for book in self.books if book.entry == product.owner)
        thumbnail, width, height = self.thumbnails.get(product.stem, ("", 0, 0))
        anchor = f"#{product.stem}" if product.stem in self.anchors.get(book.page, ()) else ""
        names = ledger.claims_of_figures().get(product.stem, ())
        lacks_records = self.material.profile == "replay" and product.owner.needs and book.state != "absent"
        return {"stem": product.stem, "kind": product.kind, "name": product.name, "ours": product.ours,
                "caption": product.caption, "alt": product.alt, "page": f"{product.stem}.html",
                "where": f"{book.page}{anchor}",
                "notebook": f"notebook {book.entry.id}" if book.entry.id[:1].isdigit() else _title(book.entry),
                "command": f"python -m regrow notebooks --profile paper --only {product.owner.id}" if lacks_records
                else book.command, "problems": self._problems(product), "drawn_from": product.drawn_from,
                "files": [(kind, product.address(kind)) for kind in product.files],
                "quick": [(kind, self.products[product.stem].address(kind)) for kind in
                          self.products[product.stem].files] if product.stem in self.shipped else [],
                "thumbnail": thumbnail, "width": width, "height": height, "shown": product.shown,
                "claims": [self.claims[name] for name in names if name in self.claims]}

    def _problems(self, product: Product) -> list[str]:
        """What is wrong with a figure or table, full scale and quick together."""
        return [*product.problems, *(self.products[product.stem].problems if product.stem in self.shipped else ())]

    def _table(self, product: Product) -> None:
        item, frame = self._shown(product), _frame(product)
        if product.shown and frame is None:
            item = self._shown(replace(product, about={}))
        quick = _frame(self.products[product.stem]) if product.stem in self.shipped else None
        parts = [(*products.table_cells(one), max(0, len(one) - products.MAX_ROWS))
                 for one in (frame if frame is not None else pd.DataFrame(), quick) if one is not None]
        self._page(f"{product.stem}.html", "table.html.j2", item=item, parts=parts,
                   drawn=self.products[product.stem].drawn_from)


def _frame(product: Product) -> pd.DataFrame | None:
    """The rows of a table as text; None if they are not there or cannot be read."""
    try:
        return pd.read_csv(product.path("csv"), dtype=str, keep_default_na=False) if product.shown else None
    except ValueError:
        return None


def _title(entry: Entry) -> str:
    return f"{entry.id} {entry.title}" if entry.id[:1].isdigit() else entry.title


def _place(product: Product) -> str:
    return f"figures.html#{product.stem}" if product.kind == "figure" else f"{product.stem}.html"
