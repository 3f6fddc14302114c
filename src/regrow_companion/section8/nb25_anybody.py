"""Three networks that are not the paper's, trained sparsely in a loop that is not ours; Figure B21.

An MLP with AdamW, a ResNet-18 with SGD and a transformer that reads an image row by row, each with a fixed wiring and
with the three growth rules, from the same first weights and masks, on the same batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from regrow import data, models, provenance
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.data import Dataset, ImageSet, percent, steps_per_epoch
from regrow.determinism import global_chance
from regrow.sparsification import sparsify
from regrow_companion.section8 import strength
from regrow_companion.section8.cases import Case, Experiment, Tables, Tell
from regrow_companion.style import style_of
from regrow_companion.watching.observation import Observation, observe

RULES = ("static", "random", "gradient", "momentum")
LOOKS = 10  # of the wiring, the first one before training
EVALUATED = 250  # images at once


class Encoder(nn.Module):
    """A transformer encoder of two layers that reads an image row by row: [B, 1, H, W] -> logits [B, classes]."""

    def __init__(self, rows: int = 28, width: int = 28, classes: int = 10, features: int = 64) -> None:
        super().__init__()
        self.embed = nn.Linear(width, features)
        self.places = nn.Parameter(torch.randn(rows, features) * 0.02)
        layer = nn.TransformerEncoderLayer(features, nhead=4, dim_feedforward=2 * features, dropout=0.0,
                                           batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(images[:, 0]) + self.places).mean(1))


def resnet18(channels: int = 1, classes: int = 10) -> nn.Sequential:
    """ResNet-18 (He et al. 2016, Table 1), which torchvision has under that name, for images of any number of channels.

    It begins as our ResNet-50 does and has two basic blocks a stage.
    """
    net = models.beginning(models.convolution(channels, 64, 7, stride=2))
    net.add_module("pool1", nn.MaxPool2d(3, stride=2, padding=1))
    models.add_stages(net, models.BasicBlock, 64, widths=(64, 128, 256, 512), depths=(2, 2, 2, 2))
    return models.with_head(net, 512, classes)


def mlp() -> nn.Sequential:
    """784-300-100-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(),
                         nn.Linear(100, 10))


@dataclass(frozen=True)
class Network:
    """Somebody's network with the optimizer that belongs to it; what stays dense has its patterns in `dense`."""

    title: str
    build: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], Optimizer]
    dense: tuple[str, ...] = ()


NETWORKS = {
    "mlp": Network("MLP, AdamW", mlp, lambda model: AdamW(model.parameters(), lr=1e-3)),
    "transformer": Network("transformer, AdamW", Encoder, lambda model: AdamW(model.parameters(), lr=2e-3), ("head",)),
    "resnet18": Network("ResNet-18, SGD", resnet18, lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9,
                                                                      weight_decay=5e-4), ("conv1", "fc"))}


@dataclass(frozen=True)
class Anybody(Case):
    """A network and a rule; `run` says images, epochs, batches, sparsity, update interval and seed."""

    network: str = "mlp"
    rule: str = "static"


def planned(profile: str) -> tuple[Anybody, ...]:
    """Fashion-MNIST's small images. Quick: some of them and one seed; else all that ship, more epochs, two seeds."""
    small: dict[str, Any] = {"dataset": "fashion_mnist_small", "image_format": "native", "sparsity": 0.9,
                             "batch_size": 64}
    if profile == "quick":
        steps, seeds = {"mlp": (6, 20), "transformer": (4, 20), "resnet18": (1, 6)}, range(1)
        small |= {"train_limit": 1920}
    else:
        steps, seeds = {"mlp": (20, 100), "transformer": (10, 50), "resnet18": (3, 25)}, range(2)
    return tuple(Anybody(RunConfig(**small, epochs=epochs, update_interval=interval, seed=seed), network, rule)
                 for seed in seeds for network, (epochs, interval) in steps.items() for rule in RULES)


def perform(case: Anybody, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """Train as anybody would, and watch."""
    run, network = case.run, NETWORKS[case.network]
    images = data.load_for(run, root=root)
    with global_chance(run.seed):
        model = network.build()
    per_epoch = steps_per_epoch(len(images.train.labels), run.batch_size)
    total = run.epochs * per_epoch
    optimizer = network.optimizer(model)
    words: dict[str, Any] = {"preset": "static"} if case.rule == "static" else {"grow": case.rule}
    sparse = sparsify(model, optimizer, sparsity=run.sparsity, dense=network.dense, seed=run.seed,
                             update_interval=run.update_interval, total_steps=total, **words)
    watch = observe(model, masks=lambda: sparse.masks, chain=())
    looks = {round(part * total / (LOOKS - 1)) for part in range(1, LOOKS)}
    course, losses = [(0, float("nan"), accuracy(model, images.validation, images))], []
    for epoch in range(run.epochs):
        for x, labels in data.batches(images, batch_size=run.batch_size, seed=run.seed, epoch=epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
            sparse.step()
            losses.append(loss.item())
            if sparse.step_count in looks:
                watch(sparse.step_count)
            tell(sparse.step_count)
        course.append((epoch + 1, float(np.mean(losses[-per_epoch:])), accuracy(model, images.validation, images)))
    made = provenance.of_run(device="cpu", engine="sparsify", threads=1, data_sha256=images.sha256)
    return {"course": pd.DataFrame(course, columns=["epoch", "loss", "validation %"]), "wiring": spread(watch),
            "ends": ends(watch)}, made


def trained(images: Dataset, *, steps: int = 180, sparsity: float = 0.98, **words: Any) -> float:
    """Validation accuracy in percent of the MLP after a short sparse training with AdamW; `words` are sparsify's."""
    with global_chance(0):
        model = mlp()
    optimizer = NETWORKS["mlp"].optimizer(model)
    sparse = sparsify(model, optimizer, sparsity=sparsity, update_interval=20, total_steps=steps, **words)
    epoch = 0
    while sparse.step_count < steps:
        for x, labels in data.batches(images, batch_size=50, seed=0, epoch=epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(x), labels).backward()
            sparse.step()
            if sparse.step_count == steps:
                break
        epoch += 1
    return accuracy(model, images.validation, images)


@torch.no_grad()
def accuracy(model: nn.Module, part: ImageSet, dataset: Dataset) -> float:
    """Of a network, in percent, in evaluation mode; it is left in training mode."""
    model.eval()
    correct = 0
    for start in range(0, len(part), EVALUATED):
        x = data.normalise(part.images[start:start + EVALUATED], dataset)
        correct += int((model(x).argmax(1) == part.labels[start:start + EVALUATED]).sum())
    model.train()
    return percent(correct, len(part))


def spread(watch: Observation) -> pd.DataFrame:
    """How unequal the units of each layer are at every look: largest in-degree over the mean, and units without input.

    Columns: step, layer, units, mean, largest, dead.
    """
    rows = [(int(step), layer, degrees.shape[1], float(degrees[look].mean()), int(degrees[look].max()),
             int((degrees[look] == 0).sum()))
            for layer, degrees in watch.in_degree.items() for look, step in enumerate(watch.steps)]
    return pd.DataFrame(rows, columns=["step", "layer", "units", "mean", "largest", "dead"])


def ends(watch: Observation) -> pd.DataFrame:
    """In-degrees over the mean of their layer, all layers together, equal ones counted once, at both ends.

    Columns: moment ("start" or "end"), relative degree, count.
    """
    parts = []
    for moment, look in (("start", 0), ("end", -1)):
        relative = np.concatenate([degrees[look] / degrees[look].mean() for degrees in watch.in_degree.values()])
        values, counts = np.unique(relative.round(4), return_counts=True)
        parts.append(pd.DataFrame({"moment": moment, "relative degree": values, "count": counts}))
    return pd.concat(parts, ignore_index=True)


def summary(course: pd.DataFrame, wiring: pd.DataFrame) -> pd.DataFrame:
    """A row for each network and rule, means over seeds: validation %, largest in-degree over its layer's mean (mean of
    the layers) and percent of units without input, at the end; seeds."""
    last = course[course["epoch"] == course.groupby(["network"])["epoch"].transform("max")]
    end = wiring[wiring["step"] == wiring.groupby(["network"])["step"].transform("max")]
    end = end.assign(ratio=end["largest"] / end["mean"])
    keys = ["network", "rule"]
    units = end.groupby(keys, sort=False)[["dead", "units"]].sum()
    return pd.DataFrame({"validation %": last.groupby(keys, sort=False)["validation %"].mean(),
                         "largest / mean": end.groupby(keys, sort=False)["ratio"].mean(),
                         "without input %": 100 * units["dead"] / units["units"],
                         "seeds": last.groupby(keys, sort=False)["seed"].nunique()})


def figure_b21(course: pd.DataFrame, wiring: pd.DataFrame, degrees: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """A row for each network: (a) validation accuracy after each epoch, (b) the largest in-degree of a layer over its
    mean, mean of the layers, over training, (c) share of units at the end with a relative in-degree as large or larger.

    Bands are the range over seeds. The frame has the values of (a) and (b).
    """
    networks = list(dict.fromkeys(course["network"]))
    fig, axes = plt.subplots(len(networks), 3, figsize=(7, 0.7 + 1.9 * len(networks)), squeeze=False)
    wiring = wiring.assign(ratio=wiring["largest"] / wiring["mean"])
    frames = []
    for row, network in zip(axes, networks, strict=True):
        for rule in RULES:
            mine = (course["network"] == network) & (course["rule"] == rule)
            theirs = (wiring["network"] == network) & (wiring["rule"] == rule)
            means = wiring[theirs].groupby(["seed", "step"])["ratio"].mean().reset_index()
            learned = course[mine & (course["epoch"] > 0)]
            for ax, frame, x, y in ((row[0], learned, "epoch", "validation %"), (row[1], means, "step", "ratio")):
                frames.append(_line(ax, frame, x, y, rule).assign(network=network, rule=rule, what=y))
            _share(row[2], degrees[(degrees["network"] == network) & (degrees["rule"] == rule)
                                   & (degrees["moment"] == "end")], rule)
        title = NETWORKS[network].title
        row[0].set(ylabel=f"{title}\nvalidation (%)", xlabel="epoch")
        row[1].set(ylabel="largest / mean in-degree", xlabel="step")
        row[2].set(ylabel="share as large or larger", xlabel="in-degree / mean", xscale="log", yscale="log",
                   xlim=(0.09, None))
        row[2].xaxis.set_minor_formatter(NullFormatter())
    for ax, letter, what in zip(axes[0], "abc", ("accuracy", "largest unit", "units at the end"), strict=True):
        ax.set_title(f"({letter}) {what}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=4)
    return fig, pd.concat(frames, ignore_index=True)


def _line(ax: Axes, frame: pd.DataFrame, x: str, y: str, rule: str) -> pd.DataFrame:
    look = style_of(rule)
    over = frame.groupby(x)[y].agg(["mean", "min", "max"]).reset_index()
    ax.plot(over[x], over["mean"], color=look.colour, marker=look.marker, markersize=3,
            label=f"{look.label} (N={frame['seed'].nunique()})")
    ax.fill_between(over[x], over["min"], over["max"], color=look.colour, alpha=0.2, linewidth=0)
    return over.rename(columns={x: "at"})


def _share(ax: Axes, frame: pd.DataFrame, rule: str) -> None:
    look = style_of(rule)
    values = np.repeat(frame["relative degree"].to_numpy(), frame["count"].to_numpy())
    there, share = strength.ccdf(values)
    ax.plot(there[there > 0], share[there > 0], color=look.colour)


EXPERIMENT = Experiment("anybody", planned, perform, lambda case: total_steps(case.run), ("course", "wiring", "ends"))
