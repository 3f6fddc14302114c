"""What all pages share: templates and files, the order in which the site leads through the notebooks, the glossary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from regrow_companion.runner.index import Entry

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TEMPLATES = ASSETS / "site"
OURS = tuple(TEMPLATES / name for name in ("style.css", "site.js", "growth.js", "search.js"))
OTHERS = (ASSETS / "mathjax" / "tex-svg.js",)  # unchanged, see assets/NOTICE.md
SHARED = (*OURS, *OTHERS)
PAPER = "Survival of the Most Connected: An Understanding of How Sparse Neural Networks Grow"
AUTHORS = "Dylan Matab, Elena Mocanu and Boqian Wu, University of Twente"
FIND_PAPER = "https://scholar.google.com/scholar?q=" + quote(f'"{PAPER}"')  # no address of the paper itself is known


def loader() -> FileSystemLoader:
    return FileSystemLoader(TEMPLATES)


def environment() -> Environment:
    """Everything is escaped, and a name that a template does not get is an error."""
    return Environment(loader=loader(), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True,
                       trim_blocks=True, lstrip_blocks=True)


def render(name: str, **values: Any) -> str:
    return environment().get_template(name).render(paper=PAPER, authors=AUTHORS, find_paper=FIND_PAPER, **values)


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
    Chapter("yours", "Your own network", "trained by your own loop", "y"),
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
    """A word of the field; `notebooks` are ids of the map, `also` other forms of the word."""

    term: str
    text: str
    notebooks: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def forms(self) -> tuple[str, ...]:
        """What stands for it in a text: the term, its plural, and its other forms."""
        plain = self.term.partition(" (")[0]
        return (plain, f"{plain}s", *self.also)

    @property
    def anchor(self) -> str:
        return "".join(character if character.isalnum() else "-" for character in self.term.lower())


@dataclass(frozen=True)
class Finding:
    """A result on the first page: a sentence in bold, what stands behind it, where it is shown (a notebook's id), and
    the claim of the paper that it decides, if any."""

    title: str
    text: str
    notebook: str
    claim: str


def findings() -> list[Finding]:
    """In the order of the first page and of README, which tests hold to each other and to the records."""
    raw = yaml.safe_load((TEMPLATES / "findings.yml").read_text(encoding="utf-8"))
    return [Finding(item["title"], " ".join(item["text"].split()), item["notebook"], item["claim"]) for item in raw]


def terms() -> list[Term]:
    """All terms, alphabetically."""
    raw = yaml.safe_load((TEMPLATES / "glossary.yml").read_text(encoding="utf-8"))
    return sorted((Term(item["term"], " ".join(item["text"].split()), tuple(item["in"]),
                        tuple(item.get("also", ()))) for item in raw),
                  key=lambda term: term.term.lower())
