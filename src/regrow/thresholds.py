"""Degrees at or below which a neuron counts as dormant, and where the tail begins: the paper's, scaled to others."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from regrow.record import Record

PAPER_LOW, PAPER_HIGH = 10, 110  # Fig. 9; 110 is also xmin of the power-law fits (Section 5.4)
_PAPER_CONNECTIONS, _PAPER_SIZES = (129_918, 48_719, 5_120), (1024, 512)
PAPER_MEAN_DEGREE = (sum(_PAPER_CONNECTIONS) + _PAPER_CONNECTIONS[1]) / sum(_PAPER_SIZES)  # 151.4


@dataclass(frozen=True)
class Thresholds:
    """Degrees at or below which a hidden neuron counts as dormant, and xmin; scaled with the mean hidden degree."""

    low: int
    high: int
    mean_degree: float

    @property
    def scaled(self) -> bool:
        return (self.low, self.high) != (PAPER_LOW, PAPER_HIGH)

    @property
    def sentence(self) -> str:
        """What the plot must say."""
        if not self.scaled:
            return f"thresholds {self.low} and {self.high} as in the paper"
        return (f"thresholds {self.low} and {self.high}: the paper's {PAPER_LOW} and {PAPER_HIGH} times "
                f"{self.mean_degree:.1f}/{PAPER_MEAN_DEGREE:.1f}, the ratio of mean hidden degrees")


def of(record: Record) -> Thresholds:
    """Thresholds for an MLP's record: the paper's, times its mean hidden degree over the paper's network's.

    Where the last layer is dense, the low one never falls below the number of classes: a neuron of the last hidden
    layer that has lost all its inputs still keeps that many connections.
    """
    counts = [record.connections[layer] for layer in record.layers]
    hidden = [shape[0] for shape in record.shapes.values()][:-1]
    mean = sum(counts[:-1] + counts[1:]) / sum(hidden)
    last = list(record.shapes.values())[-1]
    return scaled(mean, last[0] if counts[-1] == prod(last) else 0)


def scaled(mean_degree: float, floor: int = 0) -> Thresholds:
    """The paper's thresholds for neurons of another mean degree; the low one is at least `floor`."""
    ratio = mean_degree / PAPER_MEAN_DEGREE
    return Thresholds(max(floor, round(PAPER_LOW * ratio)), round(PAPER_HIGH * ratio), mean_degree)
