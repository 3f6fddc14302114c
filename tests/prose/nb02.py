"""Notebook 02, sparse initialisation."""

from __future__ import annotations

from functools import cache

import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow import models
from regrow.config import RunConfig
from regrow_companion.plots import nb02_densities as densities

PAGE = "notebooks/02_sparse_initialisation.ipynb"
DRAWN = "the density that is drawn"
EXCUSED = {
    "the paper, Section > 3.2.3": "a reference",
    "in practice 1 for the right one": "a definition",
    "of the ConvNet at 5 % density": DRAWN,
    "density of every layer at 5 % in all": DRAWN,
    "from the first layers to below 5 % in the widest ones": DRAWN,
    "under each initialisation, 5 % in all": DRAWN,
    "densest* layer above 1 dense, this one all layers above 1.": "a definition",
    "a layer once above 1 stays above 1": "a definition",
    "does ERK make dense at 90 %": "an exercise",
}


def shape(layer: str) -> tuple[int, ...]:
    return m.topology("random")[0].shapes[layer]


def colours() -> tuple[int, ...]:
    """Of the ConvNet's first convolution: channels before and after it, width and height."""
    n_out, n_in, *kernel = models.weight_shapes(RunConfig(model="convnet"), 10, (3, 32, 32))["conv1"]
    return (n_in, n_out, *kernel)


def crowded() -> float:
    """ERK's first share for the last layer, as a multiple of its places."""
    record = m.topology("random")[0]
    ends = {name: sum(size) for name, size in record.shapes.items()}
    return 0.05 * m.places() / sum(ends.values()) * ends["fc3"] / m.places("fc3")


@cache
def drawn() -> pd.DataFrame:
    """Density of every layer in percent, a column per initialisation, by network, layer and shape."""
    frame = densities.layer_densities()
    return 100 * frame.pivot(index=["network", "layer", "shape", "weights"], columns="initialisation",
                             values="density").reset_index(["shape", "weights"], drop=True)


def printed_changes() -> list[float]:
    """Points by which ERK as printed differs at most: first convolutions, shortcuts, elsewhere."""
    change = (drawn()["erk"] - drawn()["erk_printed"]).abs()
    layer = change.index.get_level_values("layer")
    first, shortcut = layer.isin(["conv1", "conv1_1"]), layer.str.contains("shortcut")
    return [change[first].max(), change[shortcut].max(), change[~first & ~shortcut].max()]


def shortcuts(stage: int) -> list[float]:
    """ERK's percentages in the residual networks."""
    erk = drawn()["erk"].reset_index("network", drop=True)
    return list(erk[erk.index == f"stage{stage}.0.shortcut.conv"])


def first_convolutions() -> list[float]:
    """The same of the residual networks' first layers, which have 3 x 3 weights for each pair of channels."""
    return [drawn().loc[(network, "conv1"), "erk"] for network in ("resnet50-cifar", "resnet56")]


SAID = [
    Said("the paper trains with $\\eta = {}$ and batches of {}.", lambda: (RunConfig.lr, RunConfig.batch_size)),
    Said("At a learning rate of {} training would almost certainly diverge, and {} for the mean",
         lambda: (RunConfig.lr * RunConfig.batch_size, RunConfig.lr)),
    Said("in the first convolution, ${} + {} + {} + {} = {}$ against ${}$",
         lambda: (*colours(), sum(colours()), sum(colours()[:2]))),
    Said("For the MLP these sums are {}, {} and {}", lambda: [sum(shape(f"fc{i}")) for i in (1, 2, 3)]),
    Said("the budget is {} % of {}.", lambda: (100 - 100 * RunConfig.sparsity, m.places())),
    Said("which has only {} places?", lambda: (m.places("fc3"),)),
    Said("{} times as many as there are places: impossible. So the layer becomes dense, its {} connections",
         lambda: (crowded(), m.places("fc3"))),
    Said("so it never falls below shell {}", lambda: (shape("fc3")[0],)),
    Said("## All {} networks", lambda: (len(densities.NETWORKS),)),
    Said("last layers are full and 1×1 shortcuts nearly or half full, while a first 3×3 convolution with fewer weights "
         "gets about half",
         lambda: (all(drawn()["erk"].unstack("network").loc[["fc", "fc3"]].max() == 100),
                  min(shortcuts(2)) > 85, all(abs(share - 50) < 10 for share in shortcuts(3)),
                  all(abs(share - 50) < 10 for share in first_convolutions()))),
    Said("the printed formula would have changed little: up to {} points in a first convolution, {} in a shortcut, "
         "about {} or less elsewhere", printed_changes),
    Said("leave the first of the MLP's {} inputs blind", lambda: (shape("fc1")[1],)),
    Said("For which mean is {} times that equal to one?", lambda: (shape("fc1")[1],)),
    Said("times {} that reaches one where", lambda: (shape("fc1")[1],)),
]
