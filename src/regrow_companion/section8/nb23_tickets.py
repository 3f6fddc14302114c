"""Winning tickets: the degrees and strengths of what iterative magnitude pruning leaves (Section 8).

Frankle and Carbin (ICLR 2019) train a dense network, prune the smallest weights, put the others back to what they were
at an early step and train again, and so on: the "ticket" left at the end trains to the accuracy of the dense network.
Rewinding to step k > 0 instead of 0 is Frankle, Dziugaite, Roy and Carbin's (ICML 2020), which larger learning rates
need. As in their LeNet-300-100, layers are pruned in isolation, the last one at half the rate. Optimizer momentum is
rewound with the weights, so that rewinding without pruning repeats the dense training bit for bit.

Beside each ticket two controls change one thing: its masks with other initial weights, and its early weights under
random masks of as many connections in each layer. Beside the last one, the paper's three growth rules train networks
of as many connections in each layer, from the same initial weights and random masks.

An engine makes its own masks and weights from its config. What trains here begins elsewhere: with the masks that
pruning has left, and with the weights of an early step. So networks are taken out of one engine and planted into
another, with any masks and at any step of training. Engines can already give and take their whole state for
checkpoints; `taken` and `plant` say it in terms of a `Network`, the same for the dense and the sparse engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from regrow import cost, data, metrics, provenance, train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.determinism import generator
from regrow.engines import Engine
from regrow.engines.sparse import SparseEngine
from regrow.errors import ConfigError
from regrow.rules import LayerState, prune_magnitude
from regrow.sparsity import random_masks
from regrow_companion import study
from regrow_companion.section8 import strength
from regrow_companion.section8.cases import Case, Experiment, Tables, Tell
from regrow_companion.tail_tables import Settings, one_time_point

TABLES = ("rounds", "layers", "neurons")
OTHER_SEED = 10_000  # added to a run's seed for weights that it has never seen
NO_MATCHING = 2**31  # tails are not cut down to a common size here
# What a layer's weight, its momentum, its bias and that one's momentum are called in the state of either engine.
_SPARSE = ("weight/{}", "buffer/{}", "bias/{}", "bias_buffer/{}")
_DENSE = ("model/{}.weight", "momentum/{}.weight", "model/{}.bias", "momentum/{}.bias")


@dataclass(frozen=True)
class Ticket(Case):
    """Pruned `rounds` times by `fraction` of what is left, each time rewound to step `rewind` of the dense `run`.

    Controls are trained at the rounds `controls`. update_interval of the run is that of the growth rules; p-values come
    from `n_sets` synthetic sets.
    """

    rounds: int = 13
    fraction: float = 0.2
    rewind: int = 100
    controls: tuple[int, ...] = (2, 5, 8, 11, 13)
    n_sets: int = 1000

    def __post_init__(self) -> None:
        if not self.run.is_dense:
            raise ConfigError("A winning ticket is found by pruning a dense network: take a run with sparsity=0.")
        if not 0 <= self.rewind < cost.total_steps(self.run):
            raise ConfigError(f"rewind must be a step of the run, 0 to {cost.total_steps(self.run) - 1}, "
                              f"not {self.rewind}.")

    @property
    def labels(self) -> dict[str, Any]:
        return {"dataset": self.run.dataset, "hidden": "-".join(map(str, self.run.hidden)), "seed": self.run.seed}


@dataclass(frozen=True)
class Trained:
    """A trained network: "ticket", "reinitialised" (its masks, other weights), "static" (its early weights, random
    masks) or a growth rule."""

    kind: str
    round: int
    network: Network
    validation: float
    test: float


@dataclass
class _Bench:
    """What all trainings of a case share; `done` counts the steps."""

    case: Ticket
    dataset: Dataset
    tell: Tell
    done: int = 0
    early: list[Network] = field(default_factory=list)  # the dense network at the step to rewind to

    def train_on(self, kind: str, round: int, network: Network, step: int = 0) -> Trained:
        """`network` from `step` to the end, on the engine that suits its density."""
        run, before = self.case.run, self.done - step
        config = run
        if round:
            rule = {"prune": "magnitude", "grow": kind} if kind in study.STRATEGIES else study.STATIC
            # The config's own masks are replaced; uniform ones let no layer be full, which rewiring would leave alone.
            config = run.but(sparsity=1 - network.density, init="uniform", **rule)

        def save(state: train.Run) -> None:
            if not self.early and state.step == self.case.rewind:
                self.early.append(taken(state.engine))

        after, validation, test = trained(config, self.dataset, network, step, save=save,
                                          progress=lambda at: self.tell(before + at))
        self.done = before + cost.total_steps(run)
        return Trained(kind, round, after, validation, test)


def outcomes(case: Ticket, dataset: Dataset, tell: Tell) -> Iterator[Trained]:
    """Everything that a case trains: every ticket, the controls beside it, and the growth rules at the end."""
    bench, seed = _Bench(case, dataset, tell), case.run.seed
    first, other = initial(case.run, dataset), initial(case.run.but(seed=seed + OTHER_SEED), dataset)
    if not case.rewind:
        bench.early.append(first)
    ticket = bench.train_on("ticket", 0, first)
    yield ticket
    for round in range(1, case.rounds + 1):
        masks = pruned(ticket.network, case.fraction)
        ticket = bench.train_on("ticket", round, bench.early[0].masked(masks), case.rewind)
        yield ticket
        if round in case.controls:
            yield bench.train_on("reinitialised", round, other.masked(masks))
            yield bench.train_on("static", round, bench.early[0].masked(at_random(ticket.network, seed)), case.rewind)
    for rule in study.STRATEGIES:
        yield bench.train_on(rule, case.rounds, first.masked(at_random(ticket.network, seed)))


def pruned(network: Network, fraction: float) -> dict[str, Tensor]:
    """The masks without `fraction` of each layer's connections, the smallest |w|; without half of that in the last."""
    last, masks = list(network.masks)[-1], {}
    for name, mask in network.masks.items():
        state = LayerState(network.weights[name], mask, generator("growth", 0))  # magnitude draws nothing
        masks[name] = mask & ~prune_magnitude(state, fraction / 2 if name == last else fraction)
    return masks


def at_random(network: Network, seed: int) -> dict[str, Tensor]:
    """Random masks with as many connections in each layer; those of a later round are part of those of an earlier."""
    shapes = {name: tuple(mask.shape) for name, mask in network.masks.items()}
    return random_masks(shapes, network.connections, seed)


def rounds_row(case: Ticket, outcome: Trained) -> dict[str, Any]:
    """A network as a whole: accuracy, dormant hidden neurons and the tail of their degrees, with the paper's
    thresholds scaled (see metrics.scaled_thresholds)."""
    network = outcome.network
    degrees = np.concatenate(list(strength.degrees(network.masks).values())[1:])
    at = metrics.scaled_thresholds(float(degrees.mean()))
    row = {"kind": outcome.kind, "round": outcome.round, "density": network.density,
           "connections": sum(network.connections.values()), "validation": outcome.validation, "test": outcome.test,
           "mean_degree": at.mean_degree, "largest": int(degrees.max()), "low": at.low, "high": at.high,
           "dormant_low": int((degrees <= at.low).sum()), "dormant_high": int((degrees <= at.high).sum())}
    if not outcome.round:
        return row  # dense layers have no tail
    settings = Settings(xmin=max(1, at.high), n_sets=case.n_sets, matched_n=NO_MATCHING)
    tail = one_time_point(degrees, settings, (case.key, outcome.kind, outcome.round))
    return row | {name: tail.get(name, np.nan) for name in ("n_tail", "alpha", "sigma", "D", "p", "p error", "best")}


def layer_rows(outcome: Trained) -> list[dict[str, Any]]:
    """How unequal the degrees of each layer of neurons are, and how unequal random masks would make them."""
    masks, rows = outcome.network.masks, []
    for (layer, degrees), chance in zip(strength.degrees(masks).items(), strength.chances(masks).values(), strict=True):
        found, expected = strength.spread(degrees), strength.expected_spread(chance)
        rows.append({"kind": outcome.kind, "round": outcome.round, "density": outcome.network.density, "layer": layer,
                     "neurons": len(degrees), "mean": degrees.mean(), "largest": int(degrees.max()),
                     "without": int((degrees == 0).sum()), "sd": found.sd, "sd_chance": expected.sd,
                     "gini": found.gini, "gini_chance": expected.gini})
    return rows


def shown(case: Ticket, outcome: Trained) -> bool:
    """Whether every neuron of this network is kept: tickets half way and at the end, and what is beside the last."""
    half_way = outcome.kind == "ticket" and outcome.round == (case.rounds + 1) // 2
    return half_way or (outcome.round == case.rounds and outcome.kind != "reinitialised")


def perform(case: Ticket, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """The tables of a case.

    rounds: a row per network (see rounds_row). layers: a row per network and layer of neurons (see layer_rows).
    neurons: kind, round and what strength.neurons says of every hidden neuron of the networks `shown`.
    """
    began = time.perf_counter()
    dataset = data.load_for(case.run, root=root)
    rounds, layers, neurons = [], [], []
    for outcome in outcomes(case, dataset, tell):
        rounds.append(rounds_row(case, outcome))
        layers += layer_rows(outcome)
        if shown(case, outcome):
            frame = strength.neurons(outcome.network.masks, outcome.network.weights)
            frame.insert(0, "kind", outcome.kind)
            frame.insert(1, "round", outcome.round)
            neurons.append(frame)
    made = provenance.of_run(device="cpu", engine="auto", threads=1, data_sha256=dataset.sha256)
    frames = (pd.DataFrame(rounds), pd.DataFrame(layers), pd.concat(neurons, ignore_index=True))
    return dict(zip(TABLES, frames, strict=True)), made | {"seconds": round(time.perf_counter() - began, 1)}


def steps(case: Ticket) -> int:
    """Optimizer steps of a case."""
    whole = cost.total_steps(case.run)
    controls = sum(1 <= round <= case.rounds for round in set(case.controls))
    rewound = case.rounds + controls  # tickets and random masks begin at the step to rewind to
    return whole * (1 + controls + len(study.STRATEGIES)) + (whole - case.rewind) * rewound


def planned(profile: str) -> tuple[Ticket, ...]:
    """`paper` is LeNet-300-100, in which tickets were found, on two data sets with three seeds: a quarter of an hour of
    one core. The paper's 1024-512 network has fourteen times as many weights."""
    if profile == "quick":
        small = study.QUICK_MLP | study.DENSE | {"epochs": 3, "update_interval": 5}
        return tuple(Ticket(RunConfig(**small, seed=seed), rounds=6, fraction=0.4, rewind=20, controls=(3, 6),
                            n_sets=200) for seed in (0, 1))
    return tuple(Ticket(RunConfig(hidden=(300, 100), dataset=dataset, epochs=10, update_interval=84, seed=seed,
                                  **study.DENSE)) for seed in range(3) for dataset in ("mnist", "fashion_mnist"))


EXPERIMENT = Experiment("tickets", planned, perform, steps, TABLES)


# ------------------------------------------------------------------------------------------------------------- planting


@dataclass(frozen=True)
class Network:
    """An MLP in training, by layer: masks, weights and their momentum [n_out, n_in], biases and their momentum [n_out].

    Weights and momentum are 0 where there is no connection.
    """

    masks: dict[str, Tensor]
    weights: dict[str, Tensor]
    momenta: dict[str, Tensor]
    biases: dict[str, Tensor]
    bias_momenta: dict[str, Tensor]

    @property
    def connections(self) -> dict[str, int]:
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    @property
    def density(self) -> float:
        return sum(self.connections.values()) / sum(mask.numel() for mask in self.masks.values())

    def masked(self, masks: Mapping[str, Tensor]) -> Network:
        """The same weights, biases and momentum under other masks; what these leave out is 0."""
        return replace(self, masks=dict(masks),
                       weights={name: weight * masks[name] for name, weight in self.weights.items()},
                       momenta={name: momentum * masks[name] for name, momentum in self.momenta.items()})


def taken(engine: Engine) -> Network:
    """A copy of what an engine trains. Before the first step there is no momentum: 0."""
    state, masks = engine.state(), {name: mask.clone() for name, mask in engine.masks.items()}
    parts: tuple[dict[str, Tensor], ...] = ({}, {}, {}, {})
    for layer, mask in masks.items():
        for at, name in enumerate(_names(engine)):
            value = state.get(name.format(layer))
            if value is None:
                value = torch.zeros_like(parts[at - 1][layer])  # no momentum yet
            elif at < 2 and isinstance(engine, SparseEngine):
                value = _spread(value, mask)
            parts[at][layer] = value.clone()
    return Network(masks, *parts)


def plant(engine: Engine, network: Network) -> None:
    """Make an engine train this network from now on; what the engine was built with is gone."""
    state = dict(engine.state())
    for layer, mask in network.masks.items():
        state |= {f"mask/{layer}": mask.clone(), f"explored/{layer}": mask.clone()}
        values = [part[layer] for part in (network.weights, network.momenta, network.biases, network.bias_momenta)]
        if isinstance(engine, SparseEngine):
            values[:2] = [value[mask] for value in values[:2]]
        state |= {name.format(layer): value for name, value in zip(_names(engine), values, strict=True)}
    engine.load_state(state)


def initial(config: RunConfig, dataset: Dataset) -> Network:
    """The network of a run before training."""
    return taken(train.start(config, dataset, engine="auto").engine)


def trained(config: RunConfig, dataset: Dataset, network: Network, step: int = 0, *,
            progress: Callable[[int], None] | None = None,
            save: Callable[[train.Run], None] | None = None) -> tuple[Network, float, float]:
    """Train a network from a step to the end of a config on the CPU: the network, its validation and test accuracy (%).

    Data order and learning rate are those that the config has from that step on. `save` and `progress` as in
    train.advance.
    """
    run = train.start(config, dataset, engine="auto")
    plant(run.engine, network)
    run.step = step
    train.advance(run, dataset, save=save, progress=progress)
    rows = run.recorder.rows
    return taken(run.engine), float(rows["val_accuracy"][-1]), float(rows["test_accuracy"][-1])


def _names(engine: Engine) -> tuple[str, ...]:
    return _SPARSE if isinstance(engine, SparseEngine) else _DENSE


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Values of the connections [n], in row-major order, as a dense tensor."""
    full = torch.zeros(mask.shape, dtype=values.dtype)
    full[mask] = values
    return full
