"""What all pages share: templates and files, the order in which the site leads through the notebooks, the glossary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from regrow_companion.runner.index import Entry

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TEMPLATES = ASSETS / "site"
SHARED = (TEMPLATES / "style.css", TEMPLATES / "site.js", ASSETS / "mathjax" / "tex-svg.js")  # see assets/NOTICE.md


def loader() -> FileSystemLoader:
    return FileSystemLoader(TEMPLATES)


def environment() -> Environment:
    """Everything is escaped, and a name that a template does not get is an error."""
    return Environment(loader=loader(), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True,
                       trim_blocks=True, lstrip_blocks=True)


def render(name: str, **values: Any) -> str:
    return environment().get_template(name).render(**values)


@dataclass(frozen=True)
class Chapter:
    """A part of the paper: the first characters of the sections that belong to it."""

    anchor: str
    title: str
    sections: str
    begins: str = ""


CHAPTERS = (
    Chapter("introduction", "Introduction and background", "Sections 1 and 2", "12"),
    Chapter("method", "Method", "Sections 3 and 4", "34"),
    Chapter("experiments", "Experiments", "Section 5", "5"),
    Chapter("appendices", "Appendices", "A to I", "ABCDEFGHI"),
    Chapter("whole", "The paper as a whole", "abstract to Appendix I", "a"),
    Chapter("beyond", "Beyond the paper", "what Sections 6 to 8 leave open", "678"),
)
TEACHING = Chapter("teaching", "For teachers", "")


def chapter_of(entry: Entry) -> Chapter:
    """The chapter of a notebook, by the first section that it belongs to; TEACHING if it belongs to none."""
    first = entry.section[:1]
    return next((chapter for chapter in CHAPTERS if first in chapter.begins), TEACHING)


def by_chapter(entries: Iterable[Entry]) -> list[tuple[Chapter, list[Entry]]]:
    """Chapters that have notebooks, in the paper's order, with their notebooks in the map's order."""
    listed = list(entries)
    groups = [(chapter, [e for e in listed if chapter_of(e) == chapter]) for chapter in (*CHAPTERS, TEACHING)]
    return [(chapter, group) for chapter, group in groups if group]


def in_the_paper(section: str) -> str:
    """A section as it stands beside a title: "Section 5.3", "Appendices E, I", "the whole paper"."""
    if section == "all":
        return "the whole paper"
    many = "," in section or "-" in section
    if section[:1].isdigit():
        return f"Section{'s' * many} {section}"
    return f"{'Appendices' if many else 'Appendix'} {section}" if len(section.split(",")[0]) == 1 else section


@dataclass(frozen=True)
class Term:
    """A word of the field; `notebooks` are ids of the map."""

    term: str
    text: str
    notebooks: tuple[str, ...]

    @property
    def anchor(self) -> str:
        return "".join(character if character.isalnum() else "-" for character in self.term.lower())


def terms() -> list[Term]:
    """All terms, alphabetically."""
    raw = yaml.safe_load((TEMPLATES / "glossary.yml").read_text(encoding="utf-8"))
    return sorted((Term(item["term"], " ".join(item["text"].split()), tuple(item["in"])) for item in raw),
                  key=lambda term: term.term.lower())
