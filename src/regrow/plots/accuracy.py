"""Tables 3, 4, 7 and 8: the paper's accuracies beside ours (Section 5.2, Appendices C and E). A number of ours stands
in a cell of the paper only if it was trained with exactly the paper's setting; everything else gets rows of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from regrow import reported, study
from regrow.config import RunConfig
from regrow.record import Record
from regrow.reported import Reported
from regrow.style import style_of

MODELS = {"convnet": "ConvNet", "mlp": "MLP", "resnet50-cifar": "ResNet-50", "resnet56": "ResNet-56",
          "vgg16": "VGG-16"}
DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST",
            "fashion_mnist_small": "Fashion-MNIST, 12,000 images"}
RECONSTRUCTED = "†"
NOTHING = "–"
OWN = "ours, not in the paper"

Cells = dict[str, str]  # data set -> what its column says


def mean_and_std(values: Sequence[float]) -> str:
    """'86.40 ± 0.20', mean and sample standard deviation (ddof 1) as the paper prints them; one value has no spread."""
    if len(values) == 1:
        return f"{values[0]:.2f} (one seed)"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def table(need: str, profile: str, records: Sequence[Record]) -> pd.DataFrame:
    """Rows model x method x number, a column per data set; `need` is 'table3', 'table4', 'table7' or 'table8'.

    For each cell of the paper: its number, and ours or why there is none. Where records exist also our difference from
    the paper, median, number of seeds and of collapsed seeds (test accuracy at chance). A record counts for a cell if
    its config is one of `study.runs(need, "paper")`; all others (the quick network, static baselines) follow in rows
    of their own, in the column of their own data set, without a number of the paper. Accuracies are test accuracies
    in percent after the last epoch; no epoch is selected. A column says the sparsity where it is not the same for all.
    A switch of strategies reads 'random → gradient'; data sets that the paper's table leaves out have no column.
    """
    grid = set(study.runs(need, "paper"))
    cells: dict[tuple[str, float, str, str], list[Record]] = {}
    own: dict[RunConfig, list[Record]] = {}
    for record in records:
        config = record.config
        if config in grid:
            cells.setdefault((config.model, config.sparsity, config.method, config.dataset), []).append(record)
        else:
            own.setdefault(config.but(seed=0), []).append(record)

    printed: dict[tuple[str, float, str], list[Reported]] = {}
    for cell in reported.load(int(need.removeprefix("table"))):
        printed.setdefault((cell.model, cell.sparsity, cell.method), []).append(cell)
    missing = "not in quick" if profile == "quick" else "not trained yet"
    used = {p.dataset for papers in printed.values() for p in papers} | {config.dataset for config in own}
    datasets = [name for name in DATASETS if name in used]

    rows: list[dict[str, str]] = []
    for (model, sparsity, method), papers in printed.items():
        ours = {p.dataset: group for p in papers if (group := cells.get((model, sparsity, method, p.dataset)))}
        numbers = {"paper": {p.dataset: f"{p.mean:.2f} ± {p.std:.2f}" + f" {RECONSTRUCTED}" * p.reconstructed
                             for p in papers}}
        numbers |= _numbers(ours, {p.dataset: p for p in papers})
        numbers["ours"] = {p.dataset: missing for p in papers} | numbers["ours"]
        rows += _rows(MODELS[model], method, sparsity, numbers, datasets)
    for config, group in own.items():
        numbers = _numbers({config.dataset: group})
        numbers = {OWN: numbers.pop("ours")} | numbers
        rows += _rows(network_name(group[0]), config.method, config.sparsity, numbers, datasets)
    frame = pd.DataFrame(rows)
    return frame.drop(columns="sparsity") if frame["sparsity"].nunique() == 1 else frame


def styled(frame: pd.DataFrame, caption: str) -> Styler:
    """The table as HTML for a notebook, with its caption, and no line breaks within a number."""
    words = [column for column in frame.columns if column in ("model", "sparsity", "method", "number")]
    numbers = [column for column in frame.columns if column not in words]
    style = frame.style.hide().set_caption(caption).set_table_attributes('style="font-size: 0.85em"')
    style = style.set_properties(subset=numbers, **{"white-space": "nowrap"})
    return style.set_properties(subset=words, **{"text-align": "left"})


def caption(need: str, profile: str) -> str:
    """What a reader of the table has to know, the command that fills it included."""
    parts = [f"{study.NEEDS[need].title}: test accuracy in percent after the last epoch, the paper's (5 seeds) and "
             "ours where there is one; mean ± sample standard deviation over seeds."]
    if any(cell.reconstructed for cell in reported.load(int(need.removeprefix("table")))):
        parts.append(f"{RECONSTRUCTED} put back in its place from a part of the scan that is out of order.")
    if profile == "quick":
        parts.append("The last rows are the quick profile's small network on fewer images and for fewer epochs: they "
                     "cannot be compared with any number of the paper.")
    parts.append(f"`{command(need)}` trains what is missing.")
    return " ".join(parts)


def command(need: str) -> str:
    """Trains every run of a table at the paper's scale, or goes on with it."""
    return f"python -m regrow run --profile paper --only {need}"


def _numbers(ours: dict[str, list[Record]], papers: dict[str, Reported] | None = None) -> dict[str, Cells]:
    """What the rows 'ours', 'ours - paper', 'median', 'seeds' and 'collapsed' say, by data set."""
    accuracies = {name: [float(record.test_accuracy[-1]) for record in group] for name, group in ours.items()}
    numbers = {"ours": {name: mean_and_std(values) for name, values in accuracies.items()}}
    if papers:
        numbers["ours - paper"] = {name: f"{np.mean(values) - papers[name].mean:+.2f}"
                                   for name, values in accuracies.items()}
    numbers["median"] = {name: f"{np.median(values):.2f}" for name, values in accuracies.items()}
    numbers["seeds"] = {name: str(len(group)) for name, group in ours.items()}
    numbers["collapsed"] = {name: str(sum(record.collapsed for record in group)) for name, group in ours.items()}
    return numbers


def _rows(model: str, method: str, sparsity: float, numbers: dict[str, Cells],
          datasets: Sequence[str]) -> list[dict[str, str]]:
    """One row per kind of number that has at least one cell."""
    head = {"model": model, "sparsity": f"{100 * sparsity:.0f} %", "method": style_of(method).label}
    return [head | {"number": number} | {DATASETS.get(name, name): texts.get(name, NOTHING) for name in datasets}
            for number, texts in numbers.items() if texts]


def network_name(record: Record) -> str:
    """A network that is not one of the paper's by its sizes, 'MLP 784-300-100-10, 30 epochs'; others by their name."""
    config = record.config
    name = MODELS.get(config.model, config.model)
    if not config.is_small:
        return name
    shapes = list(record.shapes.values())
    sizes = "-".join(str(size) for size in (shapes[0][1], *(shape[0] for shape in shapes)))
    return f"{name} {sizes}, {config.epochs} epochs"
