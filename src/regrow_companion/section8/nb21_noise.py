"""How far the place of a new connection is decided by which images happened to be in the batch (Section 8).

Gradient growth ranks all free places by the gradient of one batch (Eq. 9). At moments of a training run the ranking is
made again from other batches, of other sizes, from running averages (Eq. 10) and from all training images, and what
would grow is compared: the share of connections that two rankings have in common, beside what chance would give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from regrow import data, provenance, schedule, train
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.data import Dataset, draws, steps_per_epoch
from regrow.determinism import generator
from regrow.engines.kernels import TILE
from regrow.engines.sparse import GradientAverage, SparseEngine, window
from regrow.rules import LayerState
from regrow.topology import rewire
from regrow_companion import study
from regrow_companion.section8.cases import Case, Experiment, Tables, Tell

SIZES = (32, 128, 512, 2048, 8192)  # images that a gradient is taken of
BETAS = (0.5, 0.9, 0.99)
PAIRS = 3
Ranking = dict[str, tuple[Tensor, float]]  # per layer what would grow, and the share of the free places that this is
PARTS = (0.0, 0.1, 0.25, 0.5, 0.75)  # of the updates; 0 is the first one, the last ones grow too little to compare
OTHER_IMAGES = 10_000  # added to the seed: batches that the run itself does not see in this order


@dataclass(frozen=True)
class Noise(Case):
    """A run with gradient growth, at whose moments rankings are compared."""


class ComparingEngine(SparseEngine):
    """The sparse engine, which looks before some updates and changes nothing."""

    def __init__(self, config: RunConfig, dataset: Dataset, total: int) -> None:
        super().__init__(config, dataset, total)
        updates = schedule.update_steps(config, total)
        self.moments = sorted({updates[min(round(part * len(updates)), len(updates) - 1)] for part in PARTS})
        self.rows: list[dict[str, Any]] = []
        self.steps_per_epoch = steps_per_epoch(len(dataset.train.labels), config.batch_size)
        batch = (ceil(config.batch_size / TILE), TILE)
        self.running = {beta: {name: GradientAverage(layer.n_out, layer.n_in, batch, beta, self.dtype)
                               for name, layer in self.layers.items() if not bool(self.masks[name].all())}
                        for beta in BETAS}

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """As ever, and the running averages that the next moment will read."""
        super().backward(images, labels, step)
        ahead = min((moment - step for moment in self.moments if moment >= step), default=None)
        for beta, averages in self.running.items():
            if ahead is not None and ahead < window(beta):
                for index, name in enumerate(self.layers):
                    if name in averages:
                        averages[name].add(self.deltas[index + 1][:len(images)], self.activations[index][:len(images)])

    def update(self, step: int) -> None:
        """Compare if it is time, then prune and grow as ever."""
        if step in self.moments:
            own, loss = dict(self.gradients), self.loss
            self._compare(step)
            self.gradients, self.loss = own, loss
            for averages in self.running.values():
                for average in averages.values():
                    average.reset()
        super().update(step)

    def _compare(self, step: int) -> None:
        n = len(self.dataset.train.labels)
        whole = self._grown(self._gradient(n, step, 0), step)
        self._note(step, "average", {beta: [self._grown({name: average.flush() for name, average in averages.items()},
                                                        step)] for beta, averages in self.running.items()}, whole)
        sizes = [size for size in SIZES if 2 * size * PAIRS <= n]
        batches = {size: [self._grown(self._gradient(size, step, 1 + SIZES.index(size) * 2 * PAIRS + i), step)
                          for i in range(2 * PAIRS)] for size in sizes}
        self._note(step, "batch", batches, whole)

    def _gradient(self, images: int, step: int, number: int) -> dict[str, Tensor]:
        """The dense gradient [n_out, n_in] of each rewired layer on so many augmented images drawn at random."""
        config, left = self.config, images
        sums: dict[str, Tensor] = {}
        for draw in draws(self.dataset, batch_size=config.batch_size, seed=config.seed + OTHER_IMAGES,
                          epoch=step * 1000 + number, augment=config.augment, pad=config.crop_pad):
            few = data.Draw(draw.chosen[:left], None if draw.offsets is None else draw.offsets[:left],
                            None if draw.flips is None else draw.flips[:left], draw.mirrored, draw.pad)
            labels = self.dataset.train.labels[few.chosen]
            super().backward(self._load(self.dataset.train.images, few), labels, step)
            for name, gradient in self.gradients.items():
                part = gradient * (len(labels) / images)
                sums[name] = sums[name] + part if name in sums else part
            left -= len(labels)
            if not left:
                break
        return sums

    def _grown(self, gradients: Mapping[str, Tensor], step: int) -> Ranking:
        """What would grow by these gradients."""
        config = self.config
        found: Ranking = {}
        rate = schedule.prune_rate(config, step, self.total_steps)
        for index, (name, layer) in enumerate(self.layers.items()):
            if name in gradients:
                state = LayerState(layer.dense(layer.weight), self.masks[name],
                                   generator("growth", config.seed, step * 1000 + index), gradients[name])
                rewiring = rewire(state, rate=rate, prune=config.prune, grow="gradient",
                                  regrow_pruned=config.regrow_pruned)
                free = int((~self.masks[name]).sum()) + int(rewiring.pruned.sum())
                found[name] = rewiring.grown, float(rewiring.grown.sum()) / free
        return found

    def _note(self, step: int, of: str, rankings: Mapping[Any, list[Ranking]],
              whole: Ranking) -> None:
        for size, several in rankings.items():
            for name, (by_all, chance) in whole.items():
                same = [shared(one[name][0], other[name][0]) for one, other in _pairs(several)]
                self.rows.append({
                    "step": step, "epoch": step / self.steps_per_epoch, "layer": name, "of": of, "size": size,
                    "grown": int(by_all.sum()), "chance": chance,
                    "with another": float(np.mean(same)) if same else np.nan,
                    "with all": float(np.mean([shared(one[name][0], by_all) for one in several]))})


def shared(one: Tensor, other: Tensor) -> float:
    """Share of the connections of a mask that another mask of as many has as well; nan if there are none."""
    return float((one & other).sum() / one.sum())


def _pairs(several: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(several[::2], several[1::2], strict=False)


def planned(profile: str) -> tuple[Noise, ...]:
    """Gradient growth as in `schedules`: 30 epochs of the paper's MLP on CIFAR-10, or the quick network."""
    runs = study.runs("schedules", profile)
    seeds = study.QUICK_SEEDS[:1] if profile == "quick" else study.SHORT_SEEDS
    return tuple(Noise(runs[0].but(grow="gradient", seed=seed)) for seed in seeds)


def perform(case: Noise, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """Train the run and compare."""
    config = case.run
    dataset = data.load_for(config, root=root)
    engine = ComparingEngine(config, dataset, total_steps(config))
    run = train.begin(train.Run(config, engine, config.key, engine.steps_per_epoch))
    made = provenance.of_run(device="cpu", engine="sparse", threads=1, data_sha256=dataset.sha256)
    record = train.finish(run, dataset, progress=tell, made=made)
    return {"agreement": pd.DataFrame(engine.rows)}, record.provenance


EXPERIMENT = Experiment("noise", planned, perform, lambda case: total_steps(case.run), ("agreement",))
