"""Compare the check cells of executed notebooks with what is committed: python tests/check_cells.py FOLDER.

nbval does it for the quick profile; this does it for notebooks that were executed anyhow, at full scale.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

COMMITTED = Path(__file__).parents[1] / "notebooks"


def printed(path: Path) -> dict[str, str]:
    """What every check cell of a notebook printed, by its id."""
    return {cell.id: "".join(output.get("text", "") for output in cell.outputs)
            for cell in nbformat.read(path, as_version=4).cells
            if "nbval-check-output" in cell.metadata.get("tags", [])}


def differences(executed: Path, committed: Path = COMMITTED) -> list[str]:
    """A sentence for every check cell that was not executed or printed something else."""
    found = []
    for path in sorted(committed.glob("*.ipynb")):
        there = executed / path.name
        if not there.is_file():
            found.append(f"{path.name} was not executed to its end.")
            continue
        ours = printed(there)
        found += [f"{path.name}, cell {name}: committed\n{text}executed\n{ours.get(name, 'nothing')}"
                  for name, text in printed(path).items() if ours.get(name) != text]
    return found


if __name__ == "__main__":
    found = differences(Path(sys.argv[1]))
    print("\n".join(found) or "All check cells print what is committed.")
    sys.exit(bool(found))
