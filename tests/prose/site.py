"""The five findings as the site's first page has them, in README's words."""

from __future__ import annotations

from prose import readme

PAGE = "src/regrow_companion/assets/site/findings.yml"
EXCUSED: dict[str, str] = {}
BEGINNINGS = ("random growth reaches", "The first of", "Of {} hidden neurons", "from the second update to the end",
              "the three rules reach")
SAID = [one for one in readme.SAID if one.sentence.startswith(BEGINNINGS)]
assert len(SAID) == len(BEGINNINGS)
