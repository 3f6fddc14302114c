"""notebooks/index.yml, the one map of the notebooks: which paper section, figures and tables each of them owns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from regrow.config import nearest
from regrow.errors import RegrowError

PROFILES = ("quick", "paper", "replay")
REPLAY_MINUTES = 0.2  # drawing only; an entry may say otherwise

_REQUIRED = ("id", "file", "title", "section", "minutes")
_NAMES = ("figures", "tables", "equations", "needs")


@dataclass(frozen=True)
class Entry:
    """One notebook of the map."""

    id: str
    path: Path
    title: str
    section: str
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    equations: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    minutes: dict[str, float] = field(default_factory=dict, hash=False)

    @property
    def file(self) -> str:
        return self.path.name

    @property
    def products(self) -> tuple[str, ...]:
        """The figures and tables of the paper that this notebook alone makes."""
        return self.figures + self.tables

    def seconds(self, profile: str) -> float:
        """How long the map expects the notebook to take in a profile."""
        return 60 * self.minutes.get(profile, REPLAY_MINUTES)


def read_index(path: Path | str) -> tuple[Entry, ...]:
    """Read and check the map; notebooks are files beside it.

    Raises RegrowError, in one sentence, for unreadable YAML, unknown or missing keys, values of the wrong kind, an id,
    file, figure or table that appears twice, and a notebook that does not exist.
    """
    path = Path(path).resolve()
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RegrowError(f"The map of the notebooks {path} cannot be read ({error.strerror}): run this in a clone of "
                          "the repository.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RegrowError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(raw, list) or not raw:
        raise RegrowError(f"{path.name} must be a list of notebooks, each beginning with '- id:'.")
    entries = tuple(_entry(item, f"{path.name}, entry {n}", path.parent) for n, item in enumerate(raw, start=1))
    _refuse_doubles(entries, path.name)
    return entries


def select(entries: Sequence[Entry], only: str | None = None, start: str | None = None) -> tuple[Entry, ...]:
    """The notebooks that `--only 05,fig12,table4` and `--from 08` ask for, in the map's order.

    Raises RegrowError for a name that no notebook has, with the nearest one, and when nothing is left.
    """
    owners = {name: e.id for e in entries for name in (e.id, *e.products)}
    chosen = [e.id for e in entries]
    if only is not None:
        names = [name.strip() for name in only.split(",") if name.strip()]
        wanted = {_owner(name, owners) for name in names}
        chosen = [id for id in chosen if id in wanted]
    if start is not None:
        first = _owner(start.strip(), owners)
        order = [e.id for e in entries]
        chosen = [id for id in chosen if order.index(id) >= order.index(first)]
    if not chosen:
        raise RegrowError("No notebook is left to run: --only and --from exclude every one of them.")
    return tuple(e for e in entries if e.id in chosen)


def check_parameters(entry: Entry) -> None:
    """Raise RegrowError if the notebook has no place for our parameters; papermill itself would only warn."""
    import nbformat  # these two are slow to import, and `--list` does not need them
    import papermill

    try:
        known = papermill.inspect_notebook(str(entry.path))
    except (ValueError, KeyError, TypeError, AttributeError, nbformat.ValidationError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RegrowError(f"{entry.file} cannot be read as a notebook: {reason}.") from None
    missing = [name for name in ("profile", "store", "out") if name not in known]
    if missing:
        raise RegrowError(f"{entry.file} takes no parameter {' or '.join(missing)}: its cell tagged 'parameters' must "
                          'read profile = "auto"; store = ""; out = "", one to a line.')


def list_table(entries: Iterable[Entry]) -> str:
    """The map as a table for `notebooks --list`: id, section, figures and tables, expected minutes, title."""
    head = ("id", "section", "figures and tables", "quick", "paper", "title")
    rows = [(e.id, e.section, ", ".join(e.products) or "-", f"{e.minutes['quick']:g} min",
             f"{e.minutes['paper']:g} min", e.title) for e in entries]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
                     for row in (head, *rows))


def _owner(name: str, owners: dict[str, str]) -> str:
    if name not in owners:
        raise RegrowError(f"No notebook is called {name!r} or makes it{nearest(name, owners)}.")
    return owners[name]


def _entry(item: Any, where: str, folder: Path) -> Entry:
    if not isinstance(item, dict):
        raise RegrowError(f"{where}: a notebook is described by keys ({', '.join(_REQUIRED)}), not by {item!r}.")
    for key in item:
        if key not in _REQUIRED + _NAMES:
            raise RegrowError(f"{where}: there is no key {key!r}{nearest(key, _REQUIRED + _NAMES)}.")
    for key in _REQUIRED:
        if key not in item:
            raise RegrowError(f"{where}: the key {key!r} is missing.")
    texts = {key: _text(item[key], key, where) for key in ("id", "file", "title", "section")}
    names = {key: _names(item.get(key, []), key, where) for key in _NAMES}
    path = folder / texts["file"]
    if path.name != texts["file"] or path.suffix != ".ipynb":
        raise RegrowError(f"{where}: file must be the name of a notebook in {folder}, not {texts['file']!r}.")
    if not path.is_file():
        raise RegrowError(f"{where}: there is no notebook {path}.")
    return Entry(id=texts["id"], path=path, title=texts["title"], section=texts["section"],
                 minutes=_minutes(item["minutes"], where), **names)


def _text(value: Any, key: str, where: str) -> str:
    # YAML reads 05 and 4.5 as numbers and would lose the zero.
    if not isinstance(value, str) or not value.strip():
        raise RegrowError(f'{where}: {key} must be text in quotes, for example {key}: "05", not {value!r}.')
    return value


def _names(value: Any, key: str, where: str) -> tuple[str, ...]:
    kinds = (str, int) if key == "equations" else (str,)
    if not isinstance(value, list) or not all(type(v) in kinds for v in value):
        raise RegrowError(f"{where}: {key} must be a list of names such as [fig10, fig11], not {value!r}.")
    return tuple(str(v) for v in value)


def _minutes(value: Any, where: str) -> dict[str, float]:
    if not (isinstance(value, dict) and {"quick", "paper"} <= set(value) <= set(PROFILES)
            and all(type(v) in (int, float) and 0 < v < float("inf") for v in value.values())):
        raise RegrowError(f"{where}: minutes must be numbers above 0 such as {{quick: 1, paper: 3}}, not {value!r}.")
    return {profile: float(v) for profile, v in value.items()}


def _refuse_doubles(entries: Iterable[Entry], index: str) -> None:
    owner: dict[tuple[str, str], str] = {}
    for e in entries:
        for kind, names in (("id", (e.id,)), ("file", (e.file,)), ("figure or table", (*e.products,))):
            for name in names:
                if (kind, name) in owner:
                    raise RegrowError(f"{index}: the {kind} {name!r} belongs to notebook {owner[kind, name]!r} already "
                                      f"and cannot belong to {e.id!r} ({e.file}) too.")
                owner[kind, name] = e.id


def notebook_table(entries: Iterable[Entry]) -> str:
    """The map as docs/notebooks.md shows it, in Markdown; a test holds the page against it."""
    lines = ["| notebook | paper | figures and tables | command |", "|---|---|---|---|"]
    for e in entries:
        products = ", ".join(_spoken(name) for name in e.products) or "-"
        lines.append(f"| [{e.id} {e.title}](../notebooks/{e.file}) | {e.section} | {products} "
                     f"| `./run_all.sh --only {e.id}` |")
    return "\n".join(lines)


def _spoken(stem: str) -> str:
    """fig05 -> Figure 5, table3 -> Table 3."""
    kind, number = (stem[:3], stem[3:]) if stem.startswith("fig") else (stem[:5], stem[5:])
    return f"{'Figure' if kind == 'fig' else 'Table'} {int(number)}"
