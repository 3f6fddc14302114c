"""Notebook 03, one update by hand: what it says of the paper's runs and of the committed figure. The rest is a toy."""

from __future__ import annotations

from prose import measures as m
from prose.said import Said
from regrow.config import RunConfig
from regrow_companion import study

PAGE = "notebooks/03_prune_and_regrow.ipynb"
EXCUSED: dict[str, str] = {}


def picture() -> tuple[int, ...]:
    """Of the toy's update: receivers and senders, connections before, pruned, grown and after."""
    cells = m.figure_data("update_step", ())
    count = cells.groupby("panel")["state"].value_counts()
    grown = int(count["grow", "grown"] + count["grow", "regrown"])
    assert count["grow", "regrown"] == 1
    return (cells["to"].max(), cells["from"].max(), count["before", "kept"], count["prune", "pruned"], grown,
            count["grow", "kept"] + grown)


SAID = [
    Said("The last of the {} updates falls on the very last step", lambda: (len(m.topology("random")[0].steps) - 1,)),
    Said("with $\\beta = {}$ it looks back $1/(1-\\beta)$, about {} batches. (As for noise, it is as quiet as the "
         "plain mean of $(1+\\beta)/(1-\\beta) = {}$ batches",
         lambda: (RunConfig.growth_beta, 1 / (1 - RunConfig.growth_beta),
                  (1 + RunConfig.growth_beta) / (1 - RunConfig.growth_beta))),
    Said("![A layer of {} by {} possible connections in three stages: {} connections with their weights; the {} "
         "smallest struck out; {} grown where the gradient is largest, one of them just pruned. Again {}.", picture),
    Said("Now 784 pixels and {} neurons, {95} % sparse", lambda: (study.QUICK_MLP["hidden"][0],)),
    Said("makes a first update with $p = {}$", lambda: (RunConfig.prune_rate,)),
]
