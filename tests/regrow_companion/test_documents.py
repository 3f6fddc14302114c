"""README and docs: links that lead somewhere, pages that stay short, findings that the site tells alike.

Their numbers are checked in tests/prose.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

from regrow_companion import claims
from regrow_companion.site import shared
from regrow_companion.study import REPOSITORY

ROOT = REPOSITORY
PAGES = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "results/README.md", "results/beyond/README.md",
                                    "bench/README.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    plain = [re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in plain}


def links(page: Path) -> list[str]:
    return LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.is_relative_to(ROOT) and goal.exists(), link
        assert not anchor or anchor in headings(goal), link


def test_anchors_are_found_as_github_makes_them(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# What is `exact`, and *what* not\n\n```\n# a comment\n```\n\n## A [link](b.md)\n")
    assert headings(page) == {"what-is-exact-and-what-not", "a-link"}


def test_pages_are_short_and_every_one_can_be_reached_from_the_readme() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        waiting += [goal for link in links(page) if link.partition("#")[0].endswith(".md")
                    and (goal := (page.parent / link.partition("#")[0]).resolve()) not in seen]
    for page in (ROOT / "docs").glob("*.md"):
        assert len(page.read_text().splitlines()) < 150, page.name
        assert page in seen, f"nobody leads to {page.name}"


def test_the_paper_and_its_authors_stand_at_every_entrance() -> None:
    texts = [(ROOT / "README.md").read_text()]
    for name in ("00_tour", "01_the_question", "17_verdict"):
        texts.append(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells[0].source)
    for text in (" ".join(text.split()) for text in texts):
        assert "Survival of the Most Connected" in text and shared.FIND_PAPER in text
        assert all(name in text for name in ("Dylan Matab", "Elena Mocanu", "Boqian Wu"))
    assert "CITATION.cff" in texts[0]


# ------------------------------------------------------------------------------------------------------ five findings

def test_readme_and_site_tell_the_same_findings() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    assert len(shared.findings()) == 5
    ids = {claim.id for claim in claims.LEDGER} | {""}
    for number, finding in enumerate(shared.findings(), start=1):
        assert f"{number}. **{finding.title}** {finding.text}" in text
        assert finding.claim in ids and list((ROOT / "notebooks").glob(f"{finding.notebook}_*.ipynb"))
    assert f"of {len(claims.LEDGER)} statements of the paper" in text


def test_binder_installs_what_the_package_needs() -> None:
    environment = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())
    by_conda = dict(re.fullmatch(r"([\w-]+?)(?:>=|=)?([\d.]*)", item).groups()  # type: ignore[union-attr]
                    for item in environment["dependencies"] if isinstance(item, str))
    project = (ROOT / "pyproject.toml").read_text()
    needs = map(Requirement, re.findall(r'^    "(torch\w*>=[\d.]+)"', project, re.MULTILINE))
    bounds = {need.name: str(need.specifier) for need in needs}
    assert bounds == {"torch": f">={by_conda['pytorch-cpu']}", "torchvision": f">={by_conda['torchvision']}"}
    assert by_conda["python"] == "3.12" and {"pip": ["-e ."]} in environment["dependencies"]


def test_the_cell_for_colab_ends_where_a_notebook_begins() -> None:
    """As Python, but for its two shell lines; after it the working directory is that of the notebooks."""
    (cell,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "open.md").read_text(), re.DOTALL)
    lines = cell.splitlines()
    assert lines[0].startswith("!test -d regrow || git clone") and lines[1].startswith("%pip install")
    compile("\n".join(lines[2:]), "cell", "exec")
    inside = re.findall(r'"regrow/(\w+)"', cell)
    assert inside == ["src", "notebooks"] and all((ROOT / name).is_dir() for name in inside)
