"""What a reader opens in a browser: one page with every figure and table, and each executed notebook as a page.

Both work from a folder without network and without scripts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbconvert import HTMLExporter

from regrow.errors import RegrowError
from regrow.figures import check_figure, check_table, write_atomically

MEANING = {
    "quick": "Real training, but of small networks on few images and for few epochs, so that it takes minutes on "
             "two cores. Nothing here is at the paper's scale: read the shapes of curves, not their values.",
    "replay": "Drawn from the records of full-scale runs that come with the repository; nothing was trained now.",
    "paper": "The paper's grid: its networks and data sets, 300 epochs, five seeds.",
}
MAX_ROWS = 60  # of a table on the page; the csv has them all


def write_index(profile: str, build: Path, notebooks: Sequence[Mapping[str, Any]],
                statuses: Mapping[str, Mapping[str, Any]], *, products: Path | None = None) -> Path:
    """Write build/index.html and return its path.

    notebooks are the entries of notebooks/index.yml in order (id, file, title, section, figures, tables, minutes).
    statuses maps an id to its outcome: status ("ok", "failed", ...), seconds, and the paths log, html, ipynb (absolute
    or relative to build; each optional). products is the folder of the figures and tables, build/figures by default.
    What is not on disk is named with the command that makes it, never linked.
    """
    build = Path(build)
    products = build / "figures" if products is None else Path(products)
    books = [_book(profile, build, products, entry, statuses.get(str(entry["id"]), {})) for entry in notebooks]
    items = [item for book in books for item in (*book["figures"], *book["tables"])]
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "assets"), autoescape=True,
                              undefined=StrictUndefined, keep_trailing_newline=True)
    page = environment.get_template("index.html.j2").render(
        title="regrow: a companion to Survival of the Most Connected", profile=profile,
        meaning=MEANING.get(profile, ""), books=books, expected=len(items),
        present=sum(not item["absent"] for item in items), run=len(statuses),
        ok=sum(status.get("status") == "ok" for status in statuses.values()))
    build.mkdir(parents=True, exist_ok=True)
    write_atomically(build / "index.html", page.encode())
    return build / "index.html"


def _book(profile: str, build: Path, products: Path, entry: Mapping[str, Any],
          status: Mapping[str, Any]) -> dict[str, Any]:
    name = str(entry["id"])
    word = str(status.get("status", "not run"))
    mark, tone = {"ok": ("✓", "good"), "failed": ("✗", "bad")}.get(word, ("○", ""))
    section = str(entry.get("section") or "")
    pages = [(text, status.get(kind)) for kind, text in
             (("html", "read the executed notebook"), ("ipynb", "ipynb"), ("log", "log"))]
    return {
        "id": name, "anchor": f"notebook-{name}", "title": str(entry.get("title", "")), "status": word, "mark": mark,
        "tone": tone, "seconds": _duration(status.get("seconds")),
        "section": f"Section {section}" if section[:1].isdigit() else section,
        "links": [(text, link) for text, path in pages if path and (link := _link(build, build / str(path)))],
        "figures": [_figure(build, products, stem) for stem in entry.get("figures") or ()],
        "tables": [_table(build, products, stem) for stem in entry.get("tables") or ()],
        "command": f"python -m regrow notebooks --profile {profile} --only {name}",
    }


def _figure(build: Path, products: Path, stem: str) -> dict[str, Any]:
    item = _product(build, products, stem, ("svg", "png", "csv", "json"), check_figure)
    item["image"] = _link(build, products / f"{stem}.png")
    item["absent"] |= item["image"] is None
    return item


def _table(build: Path, products: Path, stem: str) -> dict[str, Any]:
    item = _product(build, products, stem, ("csv", "md", "json"), check_table)
    try:
        frame = pd.read_csv(products / f"{stem}.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return item | {"absent": True}
    kinds = ["number" if _is_numeric(frame[name]) else "" for name in frame.columns]
    rows = frame.head(MAX_ROWS).to_numpy().tolist()
    return item | {"head": list(zip(frame.columns, kinds, strict=True)), "more": max(0, len(frame) - MAX_ROWS),
                   "rows": [list(zip(row, kinds, strict=True)) for row in rows]}


def _product(build: Path, products: Path, stem: str, kinds: Sequence[str],
             check: Callable[[Path, str], list[str]]) -> dict[str, Any]:
    """What the page says about one stem: its links, texts and problems; absent if it cannot be shown."""
    links = [(kind, link) for kind in kinds if (link := _link(build, products / f"{stem}.{kind}"))]
    try:
        about = json.loads((products / f"{stem}.json").read_bytes())
        about = about if isinstance(about, dict) else {}
    except (OSError, ValueError):
        about = {}
    seeds, runs = about.get("seeds") or [], about.get("n_runs") or 0
    drawn = f"{runs} run{'s' * (runs != 1)}, {len(seeds)} seed{'s' * (len(seeds) != 1)}" if runs else "no training run"
    return {"stem": stem, "links": links, "alt": about.get("alt", ""), "caption": about.get("caption", ""),
            "runs": f"profile {about.get('profile', '?')} · {drawn}", "problems": check(products, stem),
            "absent": not about, "partial": bool(links)}


def _is_numeric(column: pd.Series) -> bool:
    filled = column[column != ""]
    return bool(len(filled)) and bool(pd.to_numeric(filled, errors="coerce").notna().all())


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _link(build: Path, path: Path) -> str | None:
    """The address of a file relative to the page, or None if there is no such file."""
    return quote(os.path.relpath(path, build).replace(os.sep, "/")) if path.is_file() else None


# Everything the stock template would fetch from elsewhere is left out. Formulas stay as TeX source and sliders as a
# sentence, so the page never shows less than its text.
_OFFLINE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block html_head_css %}
<style>main { max-width: 62rem; margin: 0 auto; } img, svg { max-width: 100%; }</style>{% endblock %}
{% block data_widget_view %}<p><em>An interactive control is here when the notebook is open in JupyterLab.</em></p>
{% endblock %}
"""


def executed_html(ipynb: Path) -> Path:
    """Export an executed notebook as a page beside it (same name, .html) that loads nothing from anywhere.

    Images are embedded. Raises RegrowError if the file is not a notebook.
    """
    ipynb = Path(ipynb)
    try:
        notebook = nbformat.read(ipynb, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise RegrowError(f"{ipynb.name} is not a notebook that can be read ({error}); run it again.") from error
    exporter = HTMLExporter(raw_template=_OFFLINE, embed_images=True)
    about = {"metadata": {"name": ipynb.stem, "path": str(ipynb.parent)}}
    page, _ = exporter.from_notebook_node(notebook, resources=about)
    target = ipynb.with_suffix(".html")
    write_atomically(target, page.encode())
    return target
