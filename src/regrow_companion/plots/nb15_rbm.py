"""Boltzmann machines (Appendix D): where they look, how they learn, and what they make of an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from regrow import rbm
from regrow.determinism import generator
from regrow.record import Record
from regrow_companion.plots.nb11_heat_maps import heat_grid, input_maps
from regrow_companion.study import by_method
from regrow_companion.style import seed_band, style_of

GIBBS_STEPS = (1, 10, 100, 1000)
SHOWN = 0.995
LEARNING_LABELS = ("free energy,\ntraining images", "free energy,\nvalidation − training",
                   "reconstruction error\n(mean squared)")


def figure15(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """Degrees of the big machine's visible units on the image: strategies by moments, mean over seeds, as Figure 8.

    The first column, before training, is ours; the others are the paper's five moments. One colour scale, which ends
    above the fraction SHOWN of all values: early in training a few pixels would use up all of it.
    """
    return heat_grid(records, input_maps, "connections per pixel", SHOWN)


def figure16(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """The same of the small machine."""
    return heat_grid(records, input_maps, "connections per pixel", SHOWN)


def learning(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """Free energy of training images, how much higher that of validation images is, and the reconstruction error.

    Against epochs: a row of panels for each size, a line for each strategy, mean over seeds with one sample standard
    deviation. Frame: model, method, measure, epoch, mean, sd, seeds.
    """
    records = list(records)
    models = list(dict.fromkeys(record.config.model for record in records))
    fig, axes = plt.subplots(len(models), 3, figsize=(7, 0.9 + 1.9 * len(models)), squeeze=False, sharex="row")
    rows = []
    for panels, model in zip(axes, models, strict=True):
        groups = by_method(record for record in records if record.config.model == model)
        for method, group in groups.items():
            epochs = np.arange(1, group[0].config.epochs + 1)
            for ax, (name, series) in zip(panels, _learning_series(group).items(), strict=True):
                seed_band(ax, epochs, series, method)
                sd = series.std(axis=0, ddof=1) if len(series) > 1 else np.full(len(epochs), np.nan)
                rows.append(pd.DataFrame({"model": model, "method": method, "measure": name, "epoch": epochs,
                                          "mean": series.mean(axis=0), "sd": sd, "seeds": len(series)}))
        for ax, label in zip(panels, LEARNING_LABELS, strict=True):
            ax.set(xlabel="epoch", ylabel=label)
        panels[0].set_title(f"{model}, {rbm.HIDDEN_UNITS[model]} hidden units", loc="left")
        panels[2].set_ylim(bottom=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    plt.close(fig)
    return fig, pd.concat(rows, ignore_index=True)


def _learning_series(group: Sequence[Record]) -> dict[str, NDArray[np.float64]]:
    """[seeds, epochs] each."""
    train, validation, error = (np.stack([record.measures[name] for record in group]) for name in rbm.MEASURES)
    return {"free energy, training": train, "free energy, validation - training": validation - train,
            "reconstruction error": error}


def samples(records: Iterable[Record], at: Sequence[int] = GIBBS_STEPS) -> tuple[Figure, pd.DataFrame]:
    """What machines make of nine validation images: reconstructions, then Gibbs chains that start from the images.

    A row for each strategy (its first seed), panels of 3 x 3 images; chains show P(v = 1 | h) after the steps in `at`.
    Frame: a row of pixels in a row: method, stage, sample, y, and the grey levels 0..255 of x0, x1, ...
    """
    groups = by_method(records)
    stages = ["image", "reconstruction", *(f"{step} Gibbs step{'s' * (step > 1)}" for step in at)]
    fig, axes = plt.subplots(len(groups), len(stages), figsize=(7, 0.3 + 1.15 * len(groups)), squeeze=False)
    frames = []
    for row, (method, (first, *_)) in zip(axes, groups.items(), strict=True):
        shown = _stages(first, at)
        for ax, name, pictures in zip(row, stages, shown, strict=True):
            ax.imshow(_mosaic(pictures), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, linewidth=0.4)
            frames.append(_pictures(method, name, pictures))
        row[0].set_ylabel(style_of(method).label)
    for ax, name in zip(axes[0], stages, strict=True):
        ax.set_title(name, fontsize=8)
    plt.close(fig)
    return fig, pd.concat(frames, ignore_index=True)


def _stages(record: Record, at: Sequence[int]) -> NDArray[np.float32]:
    """[stages, 9, h, w]: the images, their reconstructions, and the chains."""
    machine, images = rbm.of_record(record), rbm.examples_of(record)
    chance = generator("gibbs chain", record.config.seed)
    stages = torch.cat([images[None], rbm.reconstruct(machine, images)[None], rbm.gibbs(machine, images, at, chance)])
    return stages.view(len(stages), *record.final["examples"].shape).float().numpy()


def _mosaic(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Nine images [9, h, w] as one [3 h, 3 w]."""
    _, h, w = pictures.shape
    return pictures.reshape(3, 3, h, w).swapaxes(1, 2).reshape(3 * h, 3 * w)


def _pictures(method: str, stage: str, pictures: NDArray[np.float32]) -> pd.DataFrame:
    n, h, w = pictures.shape
    sample, y = np.divmod(np.arange(n * h), h)
    grey = pd.DataFrame(np.rint(pictures.reshape(n * h, w) * 255).astype(int), columns=[f"x{x}" for x in range(w)])
    return pd.concat([pd.DataFrame({"method": method, "stage": stage, "sample": sample, "y": y}), grey], axis=1)
