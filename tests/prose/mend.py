"""Show, and with --write mend, the numbers of our prose that are not what the records say.

    PYTHONPATH=src:tests python -m prose.mend [--write] [PAGE ...]

It changes digits and leaves the words to you: read what it shows. A notebook's text is changed, nothing is executed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from prose import LISTS, said
from prose.said import Match, Said


def problem(page: str, one: Said) -> str:
    """What is wrong with a sentence, for whoever has to mend it; "" if it says what the records say."""
    found = said.matches(one, page)
    written = sum(match.passage.written for match in found)
    if not found or written > 1:
        return (f"{page} has {written} times, not once:\n  {one.sentence}\n"
                "If the text was changed, change the list as well.")
    lines = []
    for match in found:
        verdict = said.judge(one, match.found)
        if not verdict.holds:
            lines += [f"{match.passage.place} says", f"  {_flat(match.found[0])}"]
        if verdict.there != verdict.right:
            lines += ["and the records say", f"  {_flat(said.corrected(match.found, verdict.right))}",
                      "`python -m prose.mend --write` changes the digits (PYTHONPATH=src:tests); read the words."
                      if match.passage.written else "Change the code, or draw the figure anew."]
        lines += [f"fact {number} among its values is false: rewrite the sentence" for number in verdict.false_facts]
    return "\n".join(lines)


def _flat(text: str) -> str:
    return " ".join(text.split())


def mend(page: str, one: Said) -> bool:
    """Write the right numbers into the page; returns whether anything was changed."""
    found = [match for match in said.matches(one, page) if match.passage.written]
    if len(found) != 1:
        return False
    verdict = said.judge(one, found[0].found)
    if verdict.there == verdict.right:
        return False
    _replace(said.ROOT / page, found[0], said.corrected(found[0].found, verdict.right))
    said.passages.cache_clear()
    return True


def _replace(path: Path, match: Match, new: str) -> None:
    old = match.found.string
    text = old[:match.found.start()] + new + old[match.found.end():]
    if path.suffix != ".ipynb":
        path.write_text(text, encoding="utf-8")
        return
    book = json.loads(path.read_text(encoding="utf-8"))
    book["cells"][int(match.passage.place.rpartition(" ")[2])]["source"] = text.splitlines(keepends=True)
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as README.md; all, if none is named")
    parser.add_argument("--write", action="store_true", help="write the right numbers into the pages")
    arguments = parser.parse_args()
    for lists in LISTS:
        if arguments.pages and lists.PAGE not in arguments.pages:
            continue
        for one in lists.SAID:
            if text := problem(lists.PAGE, one):
                print(text, "\n")
                if arguments.write and mend(lists.PAGE, one):
                    print("written\n")


if __name__ == "__main__":
    main()
