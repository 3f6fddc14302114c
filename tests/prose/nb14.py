"""Notebook 14, twice and four times the connections."""

from __future__ import annotations

from prose import measures as m
from prose.said import Said
from regrow_companion import paper, study

PAGE = "notebooks/14_more_sparsities.ipynb"
EXCUSED = {
    "the 95 of its caption": "a sparsity",
    "most often at 95 per cent. Is it still, at 80?": "sparsities",
    "reaches beyond 100 per cent": "the most there is",
    "VGG-16 at 90 per cent": "a sparsity",
    "prefers 90 per cent": "a sparsity",
    "at 95 per cent, three at 90, two at 80": "sparsities; the words are in the list",
    "the MLP at 90 per cent": "a sparsity",
    "$m$ of $n = 5$ runs": "the paper's number of seeds",
    "with $a \\le 100$ and $c \\ge 1$ per cent": "an exercise",
    "all $m$ from 1 to 4": "an exercise",
    "whose standard deviation exceeds 5?": "an exercise",
    "($n = 5$), whether 90 per cent differs from 95": "an exercise",
    "(And from 80?)": "an exercise",
    "Against 80 per cent": "a sparsity",
    "a ResNet at 80 per cent has fewer connections than VGG-16 at 95": "sparsities",
}


def loses(grow: str) -> float:
    """Of five seeds at 95 % to those at 90 %, with the black border."""
    return m.accuracy(grow, **m.BLACK) - m.accuracy(grow, sparsity=0.9, **m.BLACK)


def below() -> list[float]:
    """How much our cells at 90 % with the black border are below the paper's."""
    return [m.printed(rule, table=7, sparsity=0.9).mean - m.accuracy(rule, sparsity=0.9, **m.BLACK)
            for rule in m.STRATEGIES]


def cells() -> int:
    """Cells of Tables 4 and 7 that have a run of ours with the paper's setting."""
    return len({run.config.but(seed=0) for need in ("table4", "table7") for run in m.of_need(need)})


def wide(sparsity: float) -> int:
    """The ConvNet's cells whose standard deviation is above five points."""
    return sum(cell.std > 5 for table in (4, 7) for cell in paper.reported(table)
               if cell.sparsity == sparsity and cell.model == "convnet")


def learned() -> list[float]:
    """Where the ConvNets that learn end on MNIST at 80 and 90 %, if the split is the one with the highest end."""
    return [cell.mean for cell in paper.reported(7) if cell.model == "convnet" and cell.dataset == "mnist"
            and cell.std < 5]


SAID = [
    Said("needs {} short runs in `quick`; in `paper` {} and those of Table 4",
         lambda: (len(study.distinct(("table7", "table4"), "quick")), m.planned("table7"))),
    Said("and ours in {} cells", lambda: (cells(),)),
    Said("trains the {} runs or goes on with them", lambda: (m.planned("table7"),)),
    Said("{} of its cells have a standard deviation above five points at {95} per cent, {} at {90}, {} at {80}",
         lambda: (wide(0.95), wide(0.9), wide(0.8))),
    Said("random growth loses {} points, gradient growth loses {} and momentum growth gains {}: the paper's plateau, "
         "{} to {} points lower",
         lambda: (loses("random"), loses("gradient"), -loses("momentum"), *m.low_high(below()))),
    Said("on MNIST a network that learns ends near {} per cent", lambda: (max(learned()),)),
]
