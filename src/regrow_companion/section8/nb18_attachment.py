"""The attachment kernel: how a neuron's chance of the next connection depends on the connections it has.

Growth by preferential attachment gives each free place beside a neuron of degree k a weight A(k) ~ k^beta. A linear
kernel (beta = 1) makes a power law (Barabasi and Albert, Science 1999), a sublinear one a stretched exponential, and a
superlinear one condensation on few nodes (Krapivsky, Redner and Leyvraz, PRL 2000). As Newman (PRE 2001) does for
growing networks, gains are measured against what chance alone would give. Growth that ignores degree draws places from
all free ones without replacement, so a neuron's gain is hypergeometric with the mean

    E_i = G f_i / sum_j f_j,    f_i = places - connections left by pruning,    G = connections grown,

which includes saturation: a well connected neuron has fewer free places. Pruning that ignores degree takes E_i = P k_i
/ sum_j k_j. The exponent maximises the likelihood of who got the G connections, each neuron weighted by E_i k_i^beta.

An exponent of one update says little. `pooled` makes one number with an interval from many updates of several seeds: a
weighted mean and a bootstrap in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from regrow_companion.section8.watched import COUNTS, Watched

# Parts of training and where they end, as a share of the updates. The first update finds the wiring that chance made;
# "late" begins where the learning rate drops.
PHASES = {"first update": 0.0, "early": 0.1, "middle": 0.5, "late": 1.0}
FIRST = next(iter(PHASES))
CORE = 10  # the tenth of the network's highest shell, see by_shell
EDGES = np.unique(np.round(10 ** np.arange(0, 4, 0.1))).astype(int)  # ten bins of degrees to a factor of ten
# Of what an exponent is: connections gained; those of them that outlive the next pruning; connections lost, of all, of
# those grown one update ago, and of older ones.
KINDS = ("attachment", "lasting", "pruning", "infancy", "settled")
# The bootstrap of `pooled`.
BLOCK = 8  # updates that are drawn together, since what follows each other is alike
DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Exponent:
    """A maximum-likelihood exponent and the information in it: 1 / variance if every event were independent.

    Both are nan and 0 where no event or no spread of degrees decides it.
    """

    value: float
    information: float


def expected_growth(kept: ArrayLike, grown: ArrayLike, places: ArrayLike) -> NDArray[np.float64]:
    """Gains [..., n] by growth that ignores degree: a neuron's share of all places left free, E_i at the top.

    `places` is how many each neuron has: one number, or one for each update, [..., 1].
    """
    free = np.asarray(places) - np.asarray(kept, dtype=float)
    total = np.asarray(grown, dtype=float).sum(axis=-1, keepdims=True)
    everywhere = free.sum(axis=-1, keepdims=True)  # 0 where a layer is full
    return np.divide(total * free, everywhere, out=np.zeros_like(free), where=everywhere > 0)


def expected_loss(connections: ArrayLike, lost: ArrayLike) -> NDArray[np.float64]:
    """Losses [..., n] by pruning that ignores degree: every one of the `connections` [..., n] has the same chance."""
    held = np.asarray(connections, dtype=float)
    total = np.asarray(lost, dtype=float).sum(axis=-1, keepdims=True)
    everyone = held.sum(axis=-1, keepdims=True)
    return np.divide(total * held, everyone, out=np.zeros_like(held), where=everyone > 0)


def exponent(events: ArrayLike, expected: ArrayLike, degree: ArrayLike) -> Exponent:
    """beta such that the events [n] fall on neurons in proportion to expected * degree^beta.

    Neurons of degree 0 are left out, as k^beta has no place for them. The likelihood is that of sum(events) draws; it
    is concave in beta, and Newton's method starts at 0.
    """
    degree = np.asarray(degree, dtype=float)
    counts, chance = np.asarray(events, dtype=float), np.asarray(expected, dtype=float)
    there = (degree > 0) & (chance > 0)
    log_k, counts, log_chance = np.log(degree[there]), counts[there], np.log(chance[there])
    total = counts.sum()
    if total == 0 or np.ptp(log_k) == 0:
        return Exponent(np.nan, 0.0)
    wanted, beta, information = (counts @ log_k) / total, 0.0, 0.0
    for _ in range(100):
        weight = np.exp((score := log_chance + beta * log_k) - score.max())
        weight /= weight.sum()
        mean = weight @ log_k
        variance = weight @ (log_k - mean) ** 2
        information = total * variance
        change = float(np.clip((wanted - mean) / max(variance, 1e-12), -1, 1))
        beta += change
        if abs(change) < 1e-9:
            break
    return Exponent(float(beta), float(information)) if abs(beta) < 50 else Exponent(np.nan, 0.0)


def names(seen: Watched) -> dict[tuple[str, str], str]:
    """What each group of neurons is called: ("fc1", "out") is the input, ("fc1", "in") hidden 1, and so on."""
    layers = list(seen.shapes)
    called = ["input", *(f"hidden {i}" for i in range(1, len(layers))), "output"]
    return {(layer, side): called[layers.index(layer) + (side == "in")] for layer, side in seen.groups}


def outcomes(of: dict[str, NDArray[np.integer]], places: ArrayLike) -> dict[str, tuple[NDArray, NDArray[np.float64]]]:
    """For each of KINDS what happened and what chance would give, both [U, n]; `of` is Watched.of(layer, side).

    What is lasting is known one update later; at the last update nothing is.
    """
    lost, old = of["degree"] - of["kept"], of["degree"] - of["young"]
    by_growth = expected_growth(of["kept"], of["grown"], places)
    stayed = np.zeros_like(lost)
    stayed[:-1] = (of["young"] - of["young_lost"])[1:]
    share = np.divide(stayed.sum(axis=1), of["grown"].sum(axis=1), where=of["grown"].any(axis=1),
                      out=np.zeros(len(lost)))
    old_lost = lost - of["young_lost"]
    return {"attachment": (of["grown"], by_growth), "lasting": (stayed, by_growth * share[:, None]),
            "pruning": (lost, expected_loss(of["degree"], lost)),
            "infancy": (of["young_lost"], expected_loss(of["young"], of["young_lost"])),
            "settled": (old_lost, expected_loss(old, old_lost))}


def exponents(seen: Watched, places: Mapping[tuple[str, str], ArrayLike] | None = None) -> pd.DataFrame:
    """The exponents of every update and group, a row each.

    `places` says how many places beside a neuron of (layer, side) there are, a number or [U, 1], where these are not
    all of the layer's: in a growing network those of unborn neurons do not count.

    Columns: step, epoch, layer, side, nodes, connections grown and of these regrown (pruned a moment before), young
    (grown one update ago) and of these young_lost, and for each of KINDS its exponent and its information.
    """
    rows = []
    for (layer, side), nodes in names(seen).items():
        of = seen.of(layer, side)
        every = seen.shapes[layer][1 if side == "in" else 0]
        kinds = outcomes(of, (places or {}).get((layer, side), every))
        for u, step in enumerate(seen.steps):
            row = {"step": int(step), "epoch": step / seen.steps_per_epoch, "layer": layer, "side": side,
                   "nodes": nodes} | {name: int(of[name][u].sum()) for name in COUNTS[2:]}
            for kind, (events, expected) in kinds.items():
                found = exponent(events[u], expected[u], of["degree"][u])
                row |= {kind: found.value, f"{kind}_information": found.information}
            rows.append(row)
    return pd.DataFrame(rows)


def phase_updates(updates: int) -> dict[str, NDArray[np.intp]]:
    """Indices of the updates of each of PHASES, in order; one may be empty in a short run."""
    ends = np.maximum.accumulate([1, *(round(end * updates) for end in PHASES.values() if end)])
    return dict(zip(PHASES, np.split(np.arange(updates), ends[:-1]), strict=True))


def kernel(seen: Watched) -> pd.DataFrame:
    """What happened by degree, summed over the neurons and updates of a phase; a row per phase, group and bin.

    Columns: phase, layer, side, nodes, low and high (the bin's degrees, both included), neurons (neuron-updates),
    degree (their connections), and for each of KINDS the number of events, what chance would give (_chance) and the
    standard error of the first (_error) from the scatter of the updates about their common ratio.
    """
    rows = []
    for (layer, side), nodes in names(seen).items():
        of = seen.of(layer, side)
        kinds = outcomes(of, seen.shapes[layer][1 if side == "in" else 0])
        for phase, updates in phase_updates(len(seen.steps)).items():
            degree = of["degree"][updates]
            for low, high, inside in bins(degree):
                row = {"phase": phase, "layer": layer, "side": side, "nodes": nodes, "low": low, "high": high,
                       "neurons": int(inside.sum()), "degree": int(degree[inside].sum())}
                for kind, both in kinds.items():
                    events, chance = (np.where(inside, array[updates], 0).sum(axis=1, dtype=float) for array in both)
                    row |= {kind: int(events.sum()), f"{kind}_chance": chance.sum(),
                            f"{kind}_error": ratio_error(events, chance)}
                rows.append(row)
    return pd.DataFrame(rows)


def by_shell(seen: Watched) -> pd.DataFrame:
    """What became of connections by the k-shell of their neuron (Section 5.4); a row per phase, group and tenth.

    Columns: phase, layer, side, nodes, tenth (10 s / k_max of a neuron's shell s and the network's highest, rounded
    down: 10 is the core), neurons (neuron-updates), degree (their connections), kept (those that an update left),
    young (those grown one update before) and young_lost (those of them that it took).
    """
    core = np.max([shells.max(axis=1) for shells in seen.shells.values()], axis=0)
    rows = []
    for (layer, side), nodes in names(seen).items():
        of = seen.of(layer, side)
        tenths = CORE * seen.shells[f"{layer}/{side}"].astype(int) // np.maximum(core, 1)[:, None]
        for phase, updates in phase_updates(len(seen.steps)).items():
            for tenth in np.unique(tenths[updates]):
                inside = tenths[updates] == tenth
                rows.append({"phase": phase, "layer": layer, "side": side, "nodes": nodes, "tenth": int(tenth),
                             "neurons": int(inside.sum())} | {count: int(of[count][updates][inside].sum(dtype=int))
                                                              for count in ("degree", "kept", "young", "young_lost")})
    return pd.DataFrame(rows)


def later_incoming(shells: pd.DataFrame) -> pd.DataFrame:
    """The rows of `by_shell` on incoming connections at all updates after the first."""
    return shells[(shells["side"] == "in") & (shells["phase"] != FIRST)]


def ratio_error(events: ArrayLike, expected: ArrayLike) -> float:
    """Standard error of sum(events), [updates] each, from how far each lies from the common ratio to `expected`."""
    got, chance = np.asarray(events, dtype=float), np.asarray(expected, dtype=float)
    n = np.count_nonzero(chance)
    if n < 2:
        return float(np.sqrt(got.sum()))  # one update: as if connections were independent
    residual = got - chance * got.sum() / chance.sum()
    return float(np.sqrt((residual**2).sum() * n / (n - 1)))


def bins(degree: NDArray[np.integer]) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """(lowest degree, highest degree, which neurons) of every bin that is not empty; degree 0 is one of its own."""
    for low, after in pairwise([0, *EDGES.tolist()]):
        inside = (degree >= low) & (degree < after)
        if inside.any():
            yield low, after - 1, inside


# ------------------------------------------------------------------------------------------- one number of many updates


@dataclass(frozen=True)
class Pooled:
    """A weighted mean and its bootstrap interval."""

    value: float
    low: float
    high: float
    seeds: int


def pooled(frame: pd.DataFrame, value: str, weight: str, *, draws: int = DRAWS, level: float = LEVEL,
           block: int = BLOCK) -> Pooled:
    """The mean of column `value` with the weights in column `weight`, over the rows of all seeds (column `seed`).

    The bootstrap draws seeds with replacement, then blocks of `block` successive updates within each; with one seed
    it draws blocks only, so that the interval says nothing of other seeds. Rows without a value are left out.
    """
    known = frame[np.isfinite(frame[value]) & (frame[weight] > 0)].sort_values("step")
    sums = [_blocks(seed[value].to_numpy(float), seed[weight].to_numpy(float), block)
            for _, seed in known.groupby("seed", sort=True)]
    if not sums:
        return Pooled(np.nan, np.nan, np.nan, 0)
    chance = np.random.default_rng(0)
    replicas = np.empty(draws)
    for draw in range(draws):
        chosen = [sums[i] for i in chance.integers(len(sums), size=len(sums))]
        total = sum(seed[chance.integers(len(seed), size=len(seed))].sum(axis=0) for seed in chosen)
        replicas[draw] = total[0] / total[1]
    everything = np.concatenate(sums).sum(axis=0)
    low, high = np.quantile(replicas, [(1 - level) / 2, (1 + level) / 2])
    return Pooled(float(everything[0] / everything[1]), float(low), float(high), len(sums))


def _blocks(values: NDArray[np.float64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """[blocks, 2]: sum of weighted values and of weights."""
    starts = np.arange(0, len(values), size)
    return np.stack([np.add.reduceat(values * weights, starts), np.add.reduceat(weights, starts)], axis=1)
