"""The site's templates and the files that all pages share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TEMPLATES = ASSETS / "site"
SHARED = (TEMPLATES / "style.css", TEMPLATES / "site.js", ASSETS / "mathjax" / "tex-svg.js",
          ASSETS / "html-manager" / "embed.js")  # see assets/NOTICE.md


def loader() -> FileSystemLoader:
    return FileSystemLoader(TEMPLATES)


def environment() -> Environment:
    """Everything is escaped, and a name that a template does not get is an error."""
    return Environment(loader=loader(), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True,
                       trim_blocks=True, lstrip_blocks=True)


def render(name: str, **values: Any) -> str:
    return environment().get_template(name).render(**values)
