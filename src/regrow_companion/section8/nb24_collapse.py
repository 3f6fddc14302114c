"""Where a run's loss leaves for good, and what the same network does from there under other conditions (Section 8).

The paper's ConvNet ends with 63.5 +- 12.9 % under gradient growth: some seeds break. A run is trained again with its
loss at every step. Between two updates the loss counts as left when its mean is that of guessing, or no number; if it
stays so, the network goes on once more from the step before the update at which that began, in SECOND ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from regrow import data, models, provenance, schedule, train
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.data import Dataset
from regrow.engines import chosen_engine
from regrow.engines.dense import DenseEngine
from regrow.engines.sparse import SparseNetwork
from regrow.metrics import in_degree, out_degree
from regrow_companion import study
from regrow_companion.section8.cases import Case, Experiment, Tables, Tell

GUESSING = 0.98  # of log(classes), the loss of a network that answers the same whatever it sees
STAYS = 12  # updates, after which a loss that is back at guessing counts as gone for good
FOLLOWED = 8  # updates that a second run is followed for
IMAGES = 512  # the first validation images, on which channels are silent or not
# What is another in a second run. "nothing" is the control: it must break as the run did.
SECOND: dict[str, dict[str, Any]] = {
    "nothing": {}, "random growth": {"grow": "random"}, "no rewiring": {"prune": "none", "grow": "none"},
    "a tenth of the learning rate": {}, "other batches": {}}
BEFORE, AFTER = "before the update", "after the update"
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Collapse(Case):
    """A run that may collapse."""

    @property
    def labels(self) -> dict[str, Any]:
        """What distinguishes the planned runs."""
        return {name: getattr(self.run, name) for name in ("dataset", "prune", "grow", "seed")}


class _Enough(Exception):
    """Ends a run in its middle."""


@dataclass
class Watch:
    """The loss of every step of a run; its mean from one update to the next; the states around the last updates.

    `left` is the number of the update after which the loss was that of guessing for the first time since it was not,
    None while it is not.
    """

    chance: float
    updates: frozenset[int]
    losses: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)  # after update 0 (none), 1, 2, ...
    left: int | None = None
    states: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _total: float = 0.0
    _since: int = 0

    def look(self, run: train.Run) -> None:
        """After every step. Raises _Enough when the loss has been gone for STAYS updates."""
        epoch_ends = run.step % run.steps_per_epoch == 0  # the engine's sum is in the record then
        total = (float(run.recorder.rows["train_loss"][-1]) * run.steps_per_epoch if epoch_ends else
                 float(run.engine.loss))  # type: ignore[attr-defined]
        self.losses.append(total - self._total)
        self._total = 0.0 if epoch_ends else total
        if run.step + 1 in self.updates:
            self.close()
            if self.left is not None and len(self.means) - self.left >= STAYS:
                raise _Enough
            if self.left is None:
                self.states = {BEFORE: _copied(run)}
        elif run.step in self.updates:
            self._since = len(self.losses)
            if self.left is None:
                self.states[AFTER] = _copied(run)

    def close(self) -> None:
        """The mean since the last update, when the next one is a step away or training over."""
        if self._since == len(self.losses):
            return
        self.means.append(float(np.mean(self.losses[self._since:])))
        gone = not self.means[-1] < GUESSING * self.chance
        if not gone:
            self.left = None
        elif self.left is None and len(self.means) > 1 and min(self.means[:-1]) < GUESSING * self.chance:
            self.left = len(self.means) - 1  # the update before these steps, whose states are the last ones kept


def _copied(run: train.Run) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in run.engine.state().items()}


def planned(profile: str) -> tuple[Collapse, ...]:
    """The ConvNet under gradient and momentum growth, CIFAR-10 and MNIST, seed by seed, then with the other pruning
    rules of Figure 13; quick: its small network."""
    if profile == "quick":
        return tuple(Collapse(run) for run in study.runs("cnn", "quick") if run.grow == "gradient")
    runs = [run for run in study.runs("convnet", "paper") if run.sparsity == 0.95
            and run.grow in ("gradient", "momentum") and run.dataset != "fashion_mnist"]
    return tuple(Collapse(run) for run in sorted(runs, key=lambda run: (run.prune != "magnitude", run.grow, run.seed)))


def perform(case: Collapse, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """Train the run with its losses watched, and the second runs if it collapses."""
    config = case.run
    dataset, total = data.load_for(config, root=root), total_steps(config)
    name = chosen_engine(config, "cpu")
    steps = schedule.update_steps(config, total)
    run, watch = train.start(config, dataset, "cpu", name), Watch(math.log(dataset.classes), frozenset(steps))
    try:
        train.advance(run, dataset, save=watch.look, progress=tell)
        watch.close()
    except _Enough:
        tell(total)
    made = provenance.of_run(device="cpu", engine=name, threads=1, data_sha256=dataset.sha256)
    per_epoch = run.steps_per_epoch
    losses = pd.DataFrame({"update": range(len(watch.means)), "step": [0, *steps][:len(watch.means)],
                           "loss": watch.means})
    losses.insert(2, "epoch", losses["step"] / per_epoch)
    if watch.left is None:
        nothing = {"channels": pd.DataFrame(columns=CHANNELS), "second": pd.DataFrame(columns=RUNS)}
        return {"losses": losses, **nothing}, made
    at = steps[watch.left - 1]
    channels = [channel_rows(config, dataset, state, name, when) for when, state in watch.states.items()]
    channels.append(channel_rows(config, dataset, run.engine.state(), name, "at the end"))
    rows = []
    for when, state in watch.states.items():
        for what in SECOND:
            rows.append({"from": when, "changed": what, "update": watch.left, "epoch": at / per_epoch,
                         **second_run(config, what, dataset, state, at - (when == BEFORE), name)})
    return {"losses": losses, "channels": pd.concat(channels, ignore_index=True),
            "second": pd.DataFrame(rows, columns=RUNS)}, made


RUNS = ["from", "changed", "update", "epoch", "updates", "loss", "validation %", "collapsed"]
CHANNELS = ["when", "layer", "channels", "without inputs", "without outputs", "silent"]


def second_run(config: RunConfig, what: str, dataset: Dataset, state: State, step: int, name: str) -> dict[str, Any]:
    """Go on from a state after so many steps, with one thing changed, for FOLLOWED updates of the original schedule."""
    changed = config.but(**SECOND[what])
    if what == "a tenth of the learning rate":
        changed = changed.but(lr=config.lr / 10)
    elif what == "other batches":
        changed = changed.but(seed=config.seed + 1000)
    total = total_steps(config)
    ahead = [update for update in schedule.update_steps(config, total) if update > step + 1][:FOLLOWED]
    run = train.start(changed, dataset, "cpu", name)
    run.engine.load_state(state)
    run.engine.take_loss()
    run.step = step
    watch = Watch(math.log(dataset.classes), frozenset(ahead))

    def look(now: train.Run) -> None:
        watch.look(now)
        if now.step >= (ahead[-1] if ahead else total) - 1:
            raise _Enough

    with suppress(_Enough):
        train.advance(run, dataset, save=look)
    last = float(np.mean(watch.losses[-config.update_interval:]))
    return {"updates": len(ahead), "loss": last, "validation %": run.engine.accuracy(dataset.validation),
            "collapsed": not last < GUESSING * watch.chance}


def network(config: RunConfig, dataset: Dataset, state: State, name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """The PyTorch network of an engine's state, and its masks."""
    engine = train.start(config, dataset, "cpu", name).engine
    engine.load_state(state)
    if isinstance(engine, DenseEngine):
        return engine.model, dict(engine.masks)
    assert isinstance(engine, SparseNetwork)
    model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape)
    with torch.no_grad():
        for layer, part in engine.layers.items():
            module = model.get_submodule(layer)
            module.get_parameter("weight").copy_(part.dense(part.weight))
            module.get_parameter("bias").copy_(torch.from_numpy(part.bias))
    return model, dict(engine.masks)


def channel_rows(config: RunConfig, dataset: Dataset, state: State, name: str, when: str) -> pd.DataFrame:
    """Hidden channels, or neurons, of every layer that have no connection on a side, or are 0 on every image."""
    model, masks = network(config, dataset, state, name)
    largest: dict[str, Tensor] = {}

    def note(layer: str) -> Any:
        def hook(module: nn.Module, _: Any, y: Tensor) -> None:
            largest[layer] = y.detach().transpose(0, 1).flatten(1).amax(1)

        return hook

    handles = [module.register_forward_hook(note(layer)) for layer, module in model.named_modules() if layer in masks]
    images = data.normalise(dataset.validation.images[:IMAGES], dataset, getattr(torch, config.dtype))
    with torch.no_grad():
        model.eval()(images)
    for handle in handles:
        handle.remove()
    names = list(masks)
    rows = [(when, layer, len(masks[layer]), int((in_degree(masks[layer]) == 0).sum()),
             int((out_degree(masks[above]) == 0).sum()), int((~(largest[layer] > 0)).sum()))
            for layer, above in pairwise(names)]
    return pd.DataFrame(rows, columns=CHANNELS)


EXPERIMENT = Experiment("collapse", planned, perform, lambda case: total_steps(case.run),
                        ("losses", "channels", "second"))
