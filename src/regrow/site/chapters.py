"""The order in which the site leads through the notebooks: the paper's sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from regrow.notebook_index import Entry


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
