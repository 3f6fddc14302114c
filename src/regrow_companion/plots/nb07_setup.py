"""The set-up of the experiments (Section 5.1): training images (Figs. 14 and 17), schedules, and what a lower learning
rate does to a run (Fig. 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from regrow import datasets, schedule
from regrow.config import RunConfig
from regrow.errors import DataError, RegrowError
from regrow.record import Record
from regrow_companion.paper import DATASET_NAMES as NAMES
from regrow_companion.study import by_method
from regrow_companion.style import seed_band

ARROW = "#C00000"  # red, as in the paper's Figure 3; the shape says the same
LINE = "#000000"

# ---------------------------------------------------------------------------------------- training images, Figs 14, 17


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Official training images of `name`, or of the data set in the package if that one is not on this machine.

    images uint8 [N, H, W] or [N, H, W, 3], labels int64 [N], in official order; `wanted` is what was asked for.
    """

    wanted: str
    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def is_stand_in(self) -> bool:
        return self.name != self.wanted


def training_images(name: str, profile: str) -> TrainingImages:
    """The training images of a data set, without downloading; where it is missing, those that ship with the package.

    In the paper's profile nothing stands in: a data set that is not here is downloaded, or DataError is raised.
    """
    try:
        raw = datasets.read(name, download=profile == "paper")
    except DataError:
        if profile == "paper":
            raise
        raw = datasets.read(datasets.EMBEDDED)
        return TrainingImages(name, datasets.EMBEDDED, raw.x_train, raw.y_train)
    return TrainingImages(name, name, raw.x_train, raw.y_train)


def figure14(images: TrainingImages, each: int = 8) -> tuple[Figure, pd.DataFrame]:
    """Figure 14: the first `each` training images of every MNIST digit, a column per class.

    The frame has a row per image: class, number (within the class, from 1), index (its place in the official training
    file), mean (grey value, 0 to 255), sha256 (first 16 hex digits, of its bytes) and data set.
    """
    return _grid(images, each, rows_are_classes=False)


def figure17(images: TrainingImages, each: int = 10) -> tuple[Figure, pd.DataFrame]:
    """Figure 17: the first `each` training images of every CIFAR-10 class, a row per class; frame as in figure14."""
    return _grid(images, each, rows_are_classes=True)


def _grid(images: TrainingImages, each: int, *, rows_are_classes: bool) -> tuple[Figure, pd.DataFrame]:
    names = datasets.known(images.name).class_names
    places = [np.flatnonzero(images.labels == label)[:each] for label in range(len(names))]
    along, across = (1, 0) if rows_are_classes else (0, 1)
    picture = np.concatenate([np.concatenate(list(images.images[place]), axis=along) for place in places], axis=across)
    fig, ax = plt.subplots(figsize=(7, 6.4) if rows_are_classes else (7, 0.68 * each + 0.7))
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=255)  # grey images black on white; colours are not mapped
    middles = (np.arange(len(names)) + 0.5) * images.images.shape[1] - 0.5
    order = "images in the order of the file"
    if rows_are_classes:
        ax.set(xticks=[], yticks=middles, yticklabels=names, xlabel=order, ylabel="class")
    else:
        ax.set(yticks=[], xticks=middles, xticklabels=names, ylabel=order, xlabel="class")
        ax.tick_params(axis="x", labelsize=7 if images.is_stand_in else 9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(f"{NAMES[images.wanted]} is not on this machine; the images in the package stand in"
                 if images.is_stand_in else
                 f"{NAMES[images.name]}: the first {each} training images of each class")
    plt.close(fig)
    rows = [{"class": names[label], "number": number, "index": int(i), "mean": float(images.images[i].mean()),
             "sha256": hashlib.sha256(images.images[i].tobytes()).hexdigest()[:16], "data set": images.name}
            for label, place in enumerate(places) for number, i in enumerate(place, start=1)]
    return fig, pd.DataFrame(rows)


# ---------------------------------------------------------------------------------------------- schedules, Section 5.1

def schedule_figure(config: RunConfig, total_steps: int) -> tuple[Figure, pd.DataFrame]:
    """Learning rate of every epoch (logarithmic) and prune rate of every topology update (Eq. 5), over the same epochs.

    The frame has a row per epoch and one per update: quantity, epoch (at its end), step, value.
    """
    per_epoch = total_steps // config.epochs
    rates = [schedule.learning_rate(config, epoch) for epoch in range(config.epochs)]
    updates = schedule.update_steps(config, total_steps)
    pruned = [schedule.prune_rate(config, step, total_steps) for step in updates]
    every = max(1, len(updates) // 24)
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 3.6), sharex=True)
    top.stairs(rates, np.arange(config.epochs + 1), color=LINE, linewidth=1.6, baseline=None)
    top.set(yscale="log", ylabel="learning rate", ylim=(min(rates) / 2, 3 * max(rates)))
    for a, b in zip([0, *drops(rates)], [*drops(rates), config.epochs], strict=True):
        top.text((a + b) / 2, 1.25 * rates[a], f"{rates[a]:g}", ha="center", va="bottom", fontsize=8)
    bottom.plot(np.array(updates) / per_epoch, pruned, color=LINE, marker="o", markersize=3, linewidth=1,
                markevery=every)
    bottom.set(ylabel="fraction pruned p(t)", xlabel="epoch", xlim=(0, config.epochs), ylim=(-0.02, None),
               xticks=[0, *drops(rates), config.epochs])
    bottom.text(0.985, 0.93, f"{len(updates)} updates, one in {every} has a dot", transform=bottom.transAxes,
                ha="right", va="top", fontsize=8)
    plt.close(fig)
    rows = [{"quantity": "learning rate", "epoch": float(epoch), "step": epoch * per_epoch, "value": rate}
            for epoch, rate in enumerate(rates, start=1)]
    rows += [{"quantity": "prune rate", "epoch": step / per_epoch, "step": step, "value": rate}
             for step, rate in zip(updates, pruned, strict=True)]
    return fig, pd.DataFrame(rows)


def drops(rates: Sequence[float] | NDArray[np.float64]) -> list[int]:
    """After how many epochs the learning rate falls, from its value in every epoch."""
    return [int(i) + 1 for i in np.flatnonzero(np.diff(np.asarray(rates)) < 0)]


# -------------------------------------------------------------------------------------- what the drops do, Figure 3

def learning_curves(records: Sequence[Record]) -> pd.DataFrame:
    """A row per run and epoch: strategy, seed, epoch (from 1), learning rate, train loss, validation accuracy (%).

    Raises RegrowError for runs whose learning rates differ, which cannot share the arrows of a figure.
    """
    if len({tuple(record.learning_rate.tolist()) for record in records}) != 1:
        raise RegrowError("Figure 3 marks the drops of one learning rate schedule; give it runs that share theirs.")
    return pd.concat([pd.DataFrame({
        "strategy": record.config.method, "seed": record.config.seed,
        "epoch": np.arange(1, len(record.train_loss) + 1), "learning rate": record.learning_rate,
        "train loss": record.train_loss, "validation accuracy": record.val_accuracy,
    }) for record in records], ignore_index=True)


def figure3(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """Figure 3: training loss and validation accuracy after every epoch, with red arrows where the learning rate falls.

    A line per strategy, mean over seeds with a band of one standard deviation. The frame is `learning_curves(records)`.
    """
    frame = learning_curves(records)
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.3))
    for ax, what, label in zip(axes, ("train loss", "validation accuracy"),
                               ("training loss, mean of the epoch", "validation accuracy, %"), strict=True):
        for method in by_method(records):
            curves = frame[frame["strategy"] == method].pivot(index="epoch", columns="seed", values=what)
            seed_band(ax, curves.index, curves.to_numpy().T, method)
        ax.set(xlabel="epoch", ylabel=label, xlim=(0, frame["epoch"].max()))
        _mark_drops(ax, records[0].learning_rate)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    plt.close(fig)
    return fig, frame


def _mark_drops(ax: Axes, rates: NDArray[np.float64]) -> None:
    """Arrows from above where the learning rate falls, and its value between them, in a strip over the curves."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.2 * (high - low))
    at = drops(rates)
    for epoch in at:
        ax.annotate("", (epoch, 0.84), (epoch, 1.0), xycoords=ax.get_xaxis_transform(),
                    arrowprops={"arrowstyle": "-|>", "color": ARROW, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0})
    for a, b in zip([0, *at], [*at, len(rates)], strict=True):
        ax.text((a + b) / 2, 0.93, f"lr {rates[a]:g}", transform=ax.get_xaxis_transform(), ha="center", va="center",
                fontsize=8)


def drop_gains(frame: pd.DataFrame, window: int = 5) -> pd.DataFrame:
    """What follows each drop: mean validation accuracy of the `window` epochs after it minus that of those before.

    'before' is the same difference one window earlier, the progress that was being made anyway. Points of percent,
    mean over seeds; `frame` is `learning_curves(records)`. Columns: strategy, epoch, learning rate, before, gain.
    """
    rows = []
    rates = frame[frame["seed"] == frame["seed"].iloc[0]].drop_duplicates("epoch")["learning rate"].to_numpy()
    for strategy, group in frame.groupby("strategy", sort=False):
        curve = group.groupby("epoch")["validation accuracy"].mean().to_numpy()
        for at in drops(rates):
            width = max(1, min(window, at // 2, len(curve) - at))
            parts = [curve[at + i * width: at + (i + 1) * width].mean() for i in (-2, -1, 0)]
            rows.append({"strategy": strategy, "epoch": at, "learning rate": rates[at],
                         "before": parts[1] - parts[0], "gain": parts[2] - parts[1]})
    return pd.DataFrame(rows)
