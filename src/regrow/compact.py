"""Records small enough to ship: what the figures read of a full-scale run, in well under a megabyte.

Left out are the masks between the first and the last moment and the out-degrees of the input between the moments; kept
instead are the two series that are drawn from them. Degrees are stored as differences in time and compressed with LZMA,
which numpy reads as well: `np.cumsum(np.load(path)["in_degree/fc1"], axis=0)`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from regrow import files, record
from regrow.errors import StoreError
from regrow.record import Array, Record

FORMAT = "regrow compact record 1"
LAST = 5  # the moment whose masks are kept; those before training follow from the seed


@dataclass(frozen=True)
class CompactRecord(Record):
    """A record without most masks. `out_degree` has no entry for the first layer; `input_degrees` has the moments."""

    moment_degrees: Array = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    moment_paths: Array = field(default_factory=lambda: np.zeros((0, 0), np.int32))

    @property
    def mask_moments(self) -> tuple[int, ...]:
        return (0, LAST)

    def input_degrees(self) -> Array:
        return self.moment_degrees

    def input_paths(self) -> Array:
        return self.moment_paths.astype(np.int64)

    def masks(self, moment: int) -> dict[str, Array]:
        """Masks at the end of training (5), or before it (0), which are drawn again from the seed."""
        if moment == LAST and all(len(packed) for packed in self.packed_masks.values()):
            return record.unpacked({name: packed[0] for name, packed in self.packed_masks.items()}, self.shapes)
        if moment == 0:
            from regrow.sparsity import random_masks  # imports torch

            initial = random_masks(self.shapes, self.connections, self.config.seed)
            return {name: mask.numpy() for name, mask in initial.items()}
        raise StoreError(f"The shipped record {self.key} has no masks between the start and the end of training; "
                         "train the run again to have them.")


def save(full: Record, path: Path, *, topology: bool = True) -> None:
    """Write the compact form of a record.

    Without `topology`, for tables that read accuracies only, no mask is kept, and degrees at the start and the end, of
    the input at the end only.
    A Boltzmann machine, whose single layer has no paths through hidden neurons, keeps the degrees at the moments. Paths
    are counted in fully connected networks only.
    """
    rows = {0, len(full.steps) - 1}
    if not topology:
        full = replace(_at(full, rows), final={})
    elif full.config.is_rbm:
        full = _at(full, rows | {full.update_at(moment) for moment in range(len(full.moment_steps))})
    first = full.layers[0]
    arrays = {name: array for name, array in full.arrays().items() if "degree/" not in name}
    arrays |= {f"{kind}/{layer}": np.diff(series, axis=0, prepend=np.zeros_like(series[:1]))
               for kind in ("in_degree", "out_degree") for layer, series in getattr(full, kind).items()
               if (kind, layer) != ("out_degree", first)}
    arrays |= {f"packed_masks/{layer}": packed[[LAST] if topology else []]
               for layer, packed in full.packed_masks.items()}
    has_paths = topology and len(full.layers) > 1 and all(len(shape) == 2 for shape in full.shapes.values())
    arrays |= {"moment_degrees": full.input_degrees()[0 if topology else -1:],
               "moment_paths": (full.input_paths() if has_paths else full.input_degrees()[:0]).astype(np.int32)}
    head = full.head() | {"format": FORMAT, "provenance": full.provenance}
    files.write_arrays(path, arrays, head, zipfile.ZIP_LZMA)


def _at(full: Record, updates: set[int]) -> Record:
    """The record with its topology at some updates only."""
    rows = sorted(updates)
    series: dict[str, Any] = {name: {layer: array[rows] for layer, array in getattr(full, name).items()}
                              for name in ("in_degree", "out_degree", "explored")}
    return replace(full, steps=full.steps[rows], prune_rates=full.prune_rates[rows], **series)


def load(path: Path) -> Record:
    """Read a record of either kind. Raises StoreError, in one sentence, if it is damaged or foreign."""
    arrays, head = files.read_arrays(path)
    if head.get("format") != FORMAT:
        return record.decode(path, arrays, head)
    try:
        moments: dict[str, Any] = {name: arrays.pop(name) for name in ("moment_degrees", "moment_paths")}
        first = head["layers"][0]
        arrays = {name: np.cumsum(array, axis=0, dtype=array.dtype) if "degree/" in name else array
                  for name, array in arrays.items()}
        arrays[f"out_degree/{first}"] = moments["moment_degrees"]  # completes the form; taken out again below
    except (KeyError, IndexError, TypeError) as error:
        raise StoreError(f"{path} was written by another version of regrow ({error}).") from error
    full = record.decode(path, arrays, head | {"format": record.FORMAT})
    parts: dict[str, Any] = {f.name: getattr(full, f.name) for f in fields(Record)}
    parts["out_degree"] = {layer: series for layer, series in full.out_degree.items() if layer != first}
    return CompactRecord(**parts | moments)

