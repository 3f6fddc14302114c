"""Dormancy by activation beside dormancy by degree, and what predicts a neuron's next connections (Section 5.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from regrow import metrics
from regrow.record import Array
from regrow_companion.section8.nb18_attachment import names
from regrow_companion.section8.watched import TAUS, Watched, scores

SHOWN = (0.25, 1.0)  # parts of training at which every single neuron is kept, for scatter plots


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of two sequences [n], ties sharing their mean rank; nan where one is constant."""
    first, second = (rankdata(np.asarray(values)) for values in (a, b))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def partial(ab: float, ac: float, bc: float) -> float:
    """Correlation of a and b with c held fixed, from the three correlations; nan where c decides everything."""
    rest = (1 - ac**2) * (1 - bc**2)
    return (ab - ac * bc) / rest**0.5 if rest > 1e-9 else float("nan")


def neurons(seen: Watched) -> pd.DataFrame:
    """Every hidden neuron at every moment, a row each.

    Columns: step, epoch, layer, nodes, neuron, in_degree, degree (total), score (Sokar et al.), spread (standard
    deviation of the activation over images, over the layer's mean of it), gradient and update (see
    watched.MEASURES), grown and lost (connections below that it gains and loses in the update that follows; before
    training and where no update follows, nan).
    """
    parts = []
    called = {layer: nodes for (layer, side), nodes in names(seen).items() if side == "in"}
    for moment, step in enumerate(seen.moment_steps):
        update = np.flatnonzero(seen.steps == step)
        for layer in list(seen.shapes)[:-1]:
            of: dict[str, Array] = {name.split("/")[1]: values[moment] for name, values in seen.neurons.items()
                                    if name.startswith(f"{layer}/")}
            n = len(of["activation"])
            moved: dict[str, Any] = {"grown": np.full(n, np.nan), "lost": np.full(n, np.nan)}
            if len(update):
                counts = seen.of(layer, "in")
                moved = {"grown": counts["grown"][update[0]].astype(float),
                         "lost": (counts["degree"] - counts["kept"])[update[0]].astype(float)}
            parts.append(pd.DataFrame({
                "step": int(step), "epoch": step / seen.steps_per_epoch, "layer": layer, "nodes": called[layer],
                "neuron": np.arange(n), "in_degree": of["in_degree"].astype(int),
                "degree": (of["in_degree"] + of["out_degree"]).astype(int), "score": scores(of["activation"]),
                "spread": scores(of["spread"]), "gradient": of["gradient"], "update": of["update"]} | moved))
    return pd.concat(parts, ignore_index=True)


def limits(seen: Watched) -> metrics.Thresholds:
    """The degree thresholds of the paper, scaled for other networks as everywhere."""
    return metrics.network_thresholds(seen.shapes, seen.connections)


def shown(every: pd.DataFrame) -> pd.DataFrame:
    """The rows of `neurons` at the moments SHOWN."""
    steps = np.sort(every["step"].unique())
    wanted = {steps[np.abs(steps / steps[-1] - part).argmin()] for part in SHOWN}
    return every[every["step"].isin(wanted)].reset_index(drop=True)


def moments(every: pd.DataFrame, at: metrics.Thresholds) -> pd.DataFrame:
    """Counts and rank correlations at every moment and hidden layer, from the frame of `neurons`.

    Columns: step, epoch, layer, nodes, neurons; how many have a degree of at most the low and the high threshold (low,
    high), no spread at all (constant: the same output for every image), a score of at most tau (score_0, ...), and both
    a low degree and such a score (both_0, ...); Spearman's rho of degree with score, gradient and update
    (degree_score, ...), and of gains with in-degree, score and gradient (grown_in_degree, ...) and with one of the
    first two where the other is the same (grown_in_degree_given_score, ...).
    """
    rows = []
    for (step, layer), group in every.groupby(["step", "layer"], sort=False):
        low = group["degree"] <= at.low
        row: dict[str, Any] = {"step": step, "epoch": group["epoch"].iloc[0], "layer": layer,
                               "nodes": group["nodes"].iloc[0], "neurons": len(group), "low": int(low.sum()),
                               "high": int((group["degree"] <= at.high).sum()),
                               "constant": int((group["spread"] == 0).sum())}
        for tau in TAUS:
            silent = group["score"] <= tau
            row |= {f"score_{tau:g}": int(silent.sum()), f"both_{tau:g}": int((silent & low).sum())}
        row |= {f"degree_{name}": spearman(group["degree"], group[name]) for name in ("score", "gradient", "update")}
        knows = group["grown"].notna().all()
        gains = {name: spearman(group["grown"], group[name]) if knows else np.nan
                 for name in ("in_degree", "score", "gradient")}
        between = spearman(group["in_degree"], group["score"])
        row |= {f"grown_{name}": rho for name, rho in gains.items()}
        row |= {"grown_in_degree_given_score": partial(gains["in_degree"], gains["score"], between),
                "grown_score_given_in_degree": partial(gains["score"], gains["in_degree"], between)}
        rows.append(row)
    return pd.DataFrame(rows)
