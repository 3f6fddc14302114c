"""Exercises of notebook 02: sparse initialisation."""

from __future__ import annotations

from scipy import optimize, stats

from regrow import RunConfig, models, sparsity
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, several
from regrow_companion.plots.nb02_densities import layer_densities
from regrow_companion.session import Session

MLP = models.weight_shapes(RunConfig(), 10, (3, 32, 32))
CONVNET = tuple(models.weight_shapes(RunConfig(model="convnet"), 10, (3, 32, 32)))
N_OUT, N_IN = MLP["fc1"]


def second_is_full(book: Session) -> float:
    """The smallest density at which ERK makes fc2 dense, between those at which it is not and is."""
    low, high = 0.05, 0.99
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if sparsity.densities(MLP, middle, "erk")["fc2"] == 1 else (middle, high)
    return high


def _first_try() -> float:
    """The same, as if the last layer still got its share of the common factor."""
    (rows, columns) = MLP["fc2"]
    return sum(n_out + n_in for n_out, n_in in MLP.values()) * rows * columns / (rows + columns) / sum(
        n_out * n_in for n_out, n_in in MLP.values())


def dense_layers(book: Session, level: float = 0.9) -> set[str]:
    """The layers of the ConvNet that ERK leaves no free place."""
    frame = layer_densities(["convnet"], 1 - level)
    return set(frame[(frame["initialisation"] == "erk") & (frame["connections"] == frame["weights"])]["layer"])


def first_blind(book: Session, init: str = "erk") -> float:
    """The sparsity at which one of the inputs is expected to have no connection."""
    def excess(level: float) -> float:
        share = sparsity.densities(MLP, 1 - level, init)["fc1"]
        return float(N_IN * stats.hypergeom(N_OUT * N_IN, N_OUT, round(share * N_OUT * N_IN)).pmf(0) - 1)

    return float(optimize.brentq(excess, 0.95, 0.999))


EXERCISES = {
    "1": Exercise("a number, the density of the whole network", second_is_full, number(rel=0.002), (
        Slip("Here the last layer still gets more than it has places for. Set it aside first.",
             lambda book: _first_try()),
        Slip("This is the sparsity; its density is asked for.", lambda book: 1 - second_is_full(book)))),
    "2": Exercise(f"a list of layers, some of {', '.join(CONVNET)}", dense_layers, several(*CONVNET), (
        Slip("This is so at 95 % sparsity; twice the budget fills one more.", lambda book: dense_layers(book, 0.95)),)),
    "3": Exercise("a number, the sparsity as a share, good to 0.001", first_blind, number(rel=0, within=0.001), (
        Slip("This would be so with one density for all layers. ERK gives the first one less.",
             lambda book: first_blind(book, "uniform")),
        Slip("This is the density; the sparsity is asked for.", lambda book: 1 - first_blind(book)))),
}
