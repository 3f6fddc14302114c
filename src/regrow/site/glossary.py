"""Terms in a sentence each, with the notebook that uses them (assets/site/glossary.yml)."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from regrow.site.templates import TEMPLATES


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
