"""An executed notebook as an HTML page whose widgets live without a kernel and without a network."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import jinja2
import nbformat
from nbconvert import HTMLExporter

ASSETS = files("regrow") / "assets" / "html-manager"  # see assets/NOTICE.md
SCRIPT = "embed.js"


def to_html(notebook: nbformat.NotebookNode, title: str, script: str = SCRIPT) -> str:
    """The page of a notebook executed with its widget state stored; `script` is where it finds embed.js.

    There is no MathJax in it: formulas need a page of their own. Widgets are alive where the notebook was executed with
    REGROW_STATIC_WIDGETS=1, see `panel.Panel`.
    """
    template = (ASSETS / "page.html.j2").read_text(encoding="utf-8")
    exporter = HTMLExporter(template_name="lab", template_file="page.html.j2",
                            extra_loaders=[jinja2.DictLoader({"page.html.j2": template})])
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}, "widget_script": script})
    return page


def write_page(notebook: nbformat.NotebookNode, path: Path, title: str) -> None:
    """Write the page to `path` (.html) and embed.js beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_html(notebook, title), encoding="utf-8")
    with as_file(ASSETS / SCRIPT) as script:
        shutil.copyfile(script, path.parent / SCRIPT)
