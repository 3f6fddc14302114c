"""Words of the glossary in a page's text become links to it, each where the page first uses it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from regrow_companion.site.shared import Term

# Where a link would stand in another one, would change a formula or code, or would be in the way.
CLOSED = ("a", "code", "pre", "script", "style", "h1", "h2", "h3", "summary", "button", "svg", "table", "figcaption")
PIECES = re.compile(r"(<[^>]+>|\$\$.*?\$\$|\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\])", re.DOTALL)
TAG = re.compile(r"<(/?)([a-zA-Z0-9]+)[^>]*?(/?)>")
VOID = ("br", "img", "hr", "input", "meta", "link", "wbr")


def linked(text: str, terms: Iterable[Term], page: str = "glossary.html") -> str:
    """The HTML of a page's body with a link at the first use of every term; of two that fit the longer one is meant.

    Formulas, code, headings, tables and links stay as they are.
    """
    left = {form.lower(): term for term in terms for form in term.forms}
    closed: list[str] = []
    parts = PIECES.split(text)
    for at, part in enumerate(parts):
        if tag := TAG.fullmatch(part):
            ends, name, alone = tag[1], tag[2].lower(), tag[3] or tag[2].lower() in VOID
            if ends and closed and closed[-1] == name:
                closed.pop()
            elif not ends and not alone and (name in CLOSED):
                closed.append(name)
        elif not at % 2 and not closed and left and part.strip():
            parts[at] = _linked(part, left, page)
    return "".join(parts)


def _linked(part: str, left: dict[str, Term], page: str) -> str:
    """Text without tags. What it uses is taken out of `left`."""
    forms = sorted(left, key=len, reverse=True)
    fits = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, forms)) + r")(?![\w-])", re.IGNORECASE)

    def link(found: re.Match[str]) -> str:
        term = left.get(" ".join(found[1].lower().split()))
        if term is None:  # an earlier word of this text was the same term
            return found[1]
        for form in term.forms:
            left.pop(form.lower(), None)
        return (f'<a class="term" href="{page}#{term.anchor}" title="{html.escape(term.text)}">{found[1]}</a>')

    return fits.sub(link, part)
