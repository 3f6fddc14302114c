"""What the paper prints, to stand beside what is built, counted and trained here; and what it leaves open.

Tables 1, 2, 5 and 6, of which nothing is trained, and the accuracies of Tables 3, 4, 7 and 8.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd
from torch import nn

from regrow import models, sparsity
from regrow.config import CHOICES, RunConfig, preset
from regrow.datasets import DATASETS
from regrow.record import READINGS

RGB32 = (3, 32, 32)
DENSITY = 0.05  # of the paper's sparse networks
MODEL_NAMES = {"convnet": "ConvNet", "mlp": "MLP", "resnet50-cifar": "ResNet-50", "resnet56": "ResNet-56",
               "vgg16": "VGG-16"}
DATASET_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST",
                 "fashion_mnist_small": "Fashion-MNIST, 12,000 images"}

# Table 1: preset -> the paper's name, where it comes from, and the paper's words for what goes and what comes. The
# scan has lost bars and a minus sign in the second column; Appendix A says in words what it means.
_METHODS = {
    "set": ("SET", "Mocanu et al. 2018", "θ₋, θ₊", "random"),
    "rigl": ("RigL", "Evci et al. 2020", "|θ|", "gradient"),
    "snfs": ("SNFS", "Dettmers and Zettlemoyer 2019", "|θ|", "momentum"),
}

# Table 2: name, the sparsity of a layer as printed, and its density as implemented. n_in, n_out: neurons or channels.
_INITIALISATIONS = {
    "uniform": ("uniform", "S", "the same for all"),
    "er": ("Erdős-Rényi (ER)", "scales with 1 - (n_in + n_out) / (n_in n_out)", "(n_in + n_out) / (n_in n_out)"),
    "erk": ("Erdős-Rényi-Kernel (ERK)", "scales with 1 - (n_in + n_out) / (n_in n_out w h)",
            "(n_in + n_out + w + h) / (n_in n_out w h)"),
    "erk_printed": ("ERK to the letter", "(the same)", "(n_in + n_out) / (n_in n_out w h)"),
}

# Table 5, its last two rows: parameters, dense and at 5 %.
PRINTED_PARAMETERS = {"mlp": (3_676_682, 183_834), "convnet": (94_538, 4_727)}
# Sections 5.1 and B: network, how it is read here, classes, and the number that the paper quotes for it, if any.
_NETWORKS = (
    ("MLP", "mlp", 10, 3_676_682),
    ("ConvNet", "convnet", 10, 94_538),
    ("ResNet-56", "resnet56", 10, 855_770),
    ("ResNet-50, for ImageNet", "resnet50", 1000, 25_502_912),
    ("ResNet-50, for CIFAR (6n+2 layers)", "resnet50-cifar", 10, None),
    ("VGG-16", "vgg16", 10, None),
)

# Table 6 as printed: samples, train, validation, test.
PRINTED_SPLITS = {
    "cifar10": (70_000, 45_000, 5_000, 10_000),
    "cifar100": (70_000, 45_000, 5_000, 10_000),
    "fashion_mnist": (70_000, 53_900, 6_300, 9_800),
    "mnist": (70_000, 53_900, 6_300, 9_800),
}


# What the paper leaves open, by key of RunConfig: the choice in words, and why the default is what it is.
_CHOICES = {
    "augment": ("border of the random crop", "the paper names no augmentation; on CIFAR-10 sparse MLPs end within a "
                "point of its accuracies with the mirrored border, 2.4 to 3.5 points below with a black one (notebook "
                "11)"),
    "crop_pad": ("size of its shifts, in pixels", "as in SNFS's code and its descendants"),
    "normalise": ("constants of normalisation", "not in the paper; the others are those of public code, and on "
                  "CIFAR-10 those of SNFS's come closest to its accuracies (notebook 08); all runs but that "
                  "ablation's have the data set's own"),
    "image_format": ("grey images", "the paper's parameter counts hold for inputs of 3 x 32 x 32"),
    "padding": ("border of a convolution", "Table 5 read in PyTorch's order; no count of parameters can tell"),
    "evaluation": ("validation and test images", "the usual way; public code with one transform for all grey images "
                   "does the other as soon as crops are put into it"),
    "update_order": ("order at an update", "the paper does not say; the other order changes a point at most (notebook "
                     "08)"),
}


def table1() -> pd.DataFrame:
    """Table 1, the three methods as pairs of a drop and a grow rule, with the keys of RunConfig that set them."""
    rows = []
    for name, (method, source, drop, grow) in _METHODS.items():
        config = RunConfig(**preset(name))
        rows.append({"method": method, "source": source, "drop, as printed": drop, "grow, as printed": grow,
                     "prune": config.prune, "what goes": CHOICES["prune"][config.prune],
                     "grow": config.grow, "where new ones come": CHOICES["grow"][config.grow]})
    return pd.DataFrame(rows)


def table2(model: str = "convnet") -> pd.DataFrame:
    """Table 2, the initialisations: the printed formula, the implemented one, and the densities that it gives.

    The last columns are the layers of one network at 5 % density, so that the formulas can be told apart.
    """
    shapes = models.weight_shapes(RunConfig(model=model), 10, RGB32)
    rows = []
    for init, (name, printed, implemented) in _INITIALISATIONS.items():
        shares = sparsity.densities(shapes, DENSITY, init)
        rows.append({"initialisation": name, "sparsity of a layer, as printed": printed,
                     "density of a layer here, up to a factor": implemented, "init": init}
                    | {f"{model} {layer}": round(share, 3) for layer, share in shares.items()})
    return pd.DataFrame(rows)


def table5() -> pd.DataFrame:
    """Table 5 read off the networks themselves, layer by layer, and their parameters, counted and as printed."""
    columns: dict[str, list[str]] = {}
    for name, title in (("mlp", "MLP"), ("convnet", "ConvNet")):
        network = models.outline(RunConfig(model=name), 10, RGB32)
        everything, maskable = models.parameter_counts(network)
        shapes = models.weight_shapes(RunConfig(model=name), 10, RGB32)
        active = sum(sparsity.connection_counts(shapes, DENSITY, "erk").values())
        layers = [text for module in network.children() if (text := _described(module))]
        columns[title] = [*layers, *[""] * (10 - len(layers)),
                          *(f"{n:,}" for n in (*PRINTED_PARAMETERS[name], everything, maskable, active,
                                               active + everything - maskable))]
    first = [*map(str, range(1, 11)), "100 %, as printed", "5 %, as printed", "all parameters", "of these maskable",
             "connections at 5 %", "connections, biases"]
    return pd.DataFrame({"layer": first, **columns})


def _described(module: nn.Module) -> str:
    """A layer as Table 5 writes it; '' for one that it leaves out."""
    match module:
        case nn.Linear():
            return f"Linear({module.in_features}, {module.out_features})"
        case nn.Conv2d():
            return f"Conv2d({module.in_channels}, {module.out_channels}, {module.kernel_size[0]}, {module.stride[0]})"
        case nn.MaxPool2d():
            return f"MaxPool, size {module.kernel_size}"
        case nn.AdaptiveAvgPool2d():
            return "Global Average Pool"
        case nn.ReLU():
            return "ReLU"
    return ""


def parameter_table() -> pd.DataFrame:
    """Parameters and maskable weights of the networks of Section 5.1, counted, and which of the two the paper quotes.

    Maskable are the weights of linear and convolutional layers, without biases and batch normalisation.
    """
    rows: list[dict[str, Any]] = []
    for title, name, classes, quoted in _NETWORKS:
        counts = models.parameter_counts(models.outline(RunConfig(model=name), classes, RGB32))
        which = "" if quoted is None else dict(zip(counts, ("all parameters", "maskable weights"),
                                                   strict=True)).get(quoted, "neither")
        rows.append({"network": title, "classes": classes, "all parameters": counts[0], "maskable weights": counts[1],
                     "the paper's number": "" if quoted is None else f"{quoted:,}", "which is": which})
    return pd.DataFrame(rows)


def table6() -> pd.DataFrame:
    """Table 6: the split as printed, its sum, and the split used here; sizes in images."""
    rows: list[dict[str, Any]] = []
    for name, (samples, *parts) in PRINTED_SPLITS.items():
        facts = DATASETS[name]
        rows.append({"data set": DATASET_NAMES[name], "features": "x".join(map(str, facts.shape)),
                     "classes": facts.classes, "samples, as printed": samples,
                     "train / validation / test, as printed": " / ".join(f"{n:,}" for n in parts),
                     "their sum": sum(parts), "train": facts.train, "validation": facts.validation,
                     "test": facts.test, "samples": facts.train + facts.validation + facts.test})
    return pd.DataFrame(rows)


def protocol() -> pd.DataFrame:
    """What the paper leaves open, a row per choice: key of RunConfig, default, why, and other values.

    The last row is no key: which epoch's accuracy counts is read from any run afterwards.
    """
    rows = []
    for key, (choice, why) in _CHOICES.items():
        values = dict(CHOICES.get(key, {}))
        usual = values.pop("auto", str(getattr(RunConfig(), key)))  # a value, or a sentence if it depends on the run
        default = f"{usual}: {values.pop(usual)}" if usual in values else usual
        others = [f"{name}: {text}" for name, text in values.items()]
        rows.append({"choice": choice, "key": key, "default": default, "why": why,
                     "values": "; ".join(others) or "any whole number from 1 to 16"})
    first, *others = (f"{name}: {text}" for name, text in READINGS.items())
    rows.append({"choice": "which epoch counts", "key": "(a reading)", "default": first, "values": "; ".join(others),
                 "why": "the paper does not say; tables give both"})
    return pd.DataFrame(rows)


# The tables' ResNet-50 is trained here as the CIFAR ResNet with 6n+2 layers, see study.py.
_MODELS = {"resnet50": "resnet50-cifar"}


@dataclass(frozen=True)
class Reported:
    """One cell. `model`, `method` and `dataset` are the words of RunConfig; mean and std (ddof 1) are in percent."""

    table: int
    model: str
    method: str
    sparsity: float
    dataset: str
    mean: float
    std: float
    reconstructed: bool  # put back in its place from a part of Table 4 that the scan has out of order

    @property
    def number(self) -> str:
        """As the paper prints it: '68.08 ± 0.07'."""
        return f"{self.mean:.2f} ± {self.std:.2f}"


@cache
def reported(table: int) -> tuple[Reported, ...]:
    """All cells of one table, in the paper's order; () for a table without accuracies."""
    text = resources.files("regrow_companion").joinpath("assets/reported_accuracy.csv").read_text(encoding="utf-8")
    return tuple(
        Reported(int(row["table"]), _MODELS.get(row["model"], row["model"]), row["method"], float(row["sparsity"]),
                 row["dataset"], float(row["mean"]), float(row["std"]), row["scan"] == "reconstructed")
        for row in csv.DictReader(text.splitlines()) if int(row["table"]) == table)
