"""Rules that users might write and that do anything: change what they are given, fail, or return something else.

Whatever they do, an update ends in exact counts with nothing else touched, or in one sentence that names the rule.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

import regrow
from regrow import data, train
from regrow.config import CHOICES, FINGERPRINTS, RunConfig
from regrow.data import Dataset
from regrow.errors import RegrowError
from regrow.rules import ELEMENTWISE, GROWTH, PRUNING, PRUNING_NEEDS, LayerState
from regrow.topology import rewire
from torture.promises import Stage, Tally
from torture.victims import RBM, TINY

NAME = "odd one"
Thing = Callable[[Tensor], Any]  # of a good answer, what is returned in its place

# What a rule does to what it is given.
DEEDS: dict[str, Callable[[LayerState], object]] = {
    "nothing": lambda layer: None,
    "changes the mask": lambda layer: layer.mask.logical_not_(),
    "empties the mask": lambda layer: layer.mask.zero_(),
    "fills the mask": lambda layer: layer.mask.fill_(True),
    "changes the mask as an array": lambda layer: layer.mask.numpy().fill(True),
    "changes the weight": lambda layer: layer.weight.fill_(torch.nan),
    "shrinks the weight": lambda layer: layer.weight.data.resize_(0),
    "changes the gradient": lambda layer: layer.gradient.zero_(),
    "changes the average": lambda layer: layer.average.mul_(-1),
    "seeds its generator": lambda layer: layer.generator.manual_seed(3),
    "seeds everything": lambda layer: (torch.manual_seed(1), np.random.seed(1), random.seed(1)),
    "draws from everything": lambda layer: (torch.rand(3), np.random.rand(3), random.random()),
    "assigns the mask": lambda layer: setattr(layer, "mask", ~layer.mask),
    "forces the mask": lambda layer: object.__setattr__(layer, "mask", ~layer.mask),
    "raises": lambda layer: 1 / 0,
    "raises without a word": lambda layer: (_ for _ in ()).throw(AssertionError),
    "raises many lines": lambda layer: (_ for _ in ()).throw(ValueError("one\ntwo\n" * 99)),
    "stops an iteration": lambda layer: next(iter(())),
    "leaves": lambda layer: exit(3),
    "recurses": lambda layer: DEEDS["recurses"](layer),
}
# What it returns in the place of a good answer.
ANSWERS: dict[str, Thing] = {
    "good": lambda good: good,
    "an array": lambda good: good.numpy(),
    "a backward array": lambda good: np.flip(good.numpy()),
    "a big-endian array": lambda good: good.numpy().astype(">f8"),
    "an array of objects": lambda good: good.numpy().astype(object),
    "an array of words": lambda good: good.numpy().astype(str),
    "a masked array": lambda good: np.ma.masked_array(good.numpy(), good.numpy() > 0),
    "a list": lambda good: good.tolist(),
    "a number": lambda good: 1.5,
    "nothing": lambda good: None,
    "itself": lambda good: ANSWERS["itself"],
    "a generator": lambda good: (value for value in good),
    "zeros and ones": lambda good: (good > 0).float(),
    "opposite": lambda good: ~good if good.dtype == torch.bool else -good,
    "everything": lambda good: torch.ones_like(good, dtype=torch.bool),
    "indices": lambda good: good.flatten().nonzero().squeeze(1),
    "indices of its shape": lambda good: torch.arange(good.numel()).reshape(good.shape),
    "transposed": lambda good: good.T if good.ndim == 2 else good[None],
    "a row": lambda good: good[:1],
    "a column": lambda good: good[..., :1],
    "flat": lambda good: good.flatten(),
    "one number": lambda good: torch.tensor(1.0),
    "empty": lambda good: torch.empty(0),
    "not a number": lambda good: torch.full(good.shape, torch.nan),
    "some not a number": lambda good: good.float().masked_fill(torch.rand(good.shape) < 0.5, torch.nan),
    "infinite": lambda good: torch.full(good.shape, torch.inf),
    "minus infinite": lambda good: torch.full(good.shape, -torch.inf),
    "complex": lambda good: good.to(torch.complex64),
    "sparse": lambda good: good.float().to_sparse(),
    "compressed": lambda good: good.float().to_sparse_csr() if good.ndim == 2 else good,
    "quantized": lambda good: torch.quantize_per_tensor(good.float(), 0.1, 0, torch.qint8),
    "on no device": lambda good: good.to("meta"),
    "a parameter": lambda good: torch.nn.Parameter(good.float()),
    "with a graph": lambda good: good.float().requires_grad_() * 2,
    "repeated": lambda good: torch.zeros(1).expand(good.shape),
    "a view of a larger one": lambda good: torch.stack([good, good], -1)[..., 0],
} | {f"{dtype}": partial(lambda good, dtype: good.to(dtype), dtype=dtype) for dtype in (
    torch.bool, torch.uint8, torch.int8, torch.int64, torch.uint16, torch.float16, torch.bfloat16, torch.float64,
    torch.float8_e4m3fn)}


@dataclass(frozen=True)
class OddRule:
    """A rule of one of two kinds that does something and returns something."""

    kind: str  # "growth" or "pruning"
    deed: str
    answer: str
    elementwise: bool = False
    needs: tuple[str, ...] = ()

    def __call__(self, layer: LayerState, rate: float = 0.0) -> Any:
        if self.kind == "growth":
            good = torch.rand(layer.mask.shape, generator=layer.generator)
        else:
            good = layer.mask & (layer.weight.abs() <= layer.weight.abs()[layer.mask].quantile(rate))
        DEEDS[self.deed](layer)
        return ANSWERS[self.answer](good)


def odd_rule(chance: random.Random, kind: str = "") -> OddRule:
    """Half of them do something, half return something, some both."""
    kind = kind or chance.choice(("growth", "pruning"))
    deed = chance.choice(list(DEEDS)) if chance.random() < 0.6 else "nothing"
    answer = chance.choice(list(ANSWERS)) if deed == "nothing" or chance.random() < 0.3 else "good"
    elementwise = kind == "pruning" and chance.random() < 0.4
    needs = () if elementwise else tuple(need for need in ("gradient", "average") if chance.random() < 0.5)
    return OddRule(kind, deed, answer, elementwise, needs)


@contextmanager
def registered(rule: OddRule) -> Iterator[dict[str, str]]:
    """The rule under NAME for now; what a config says to use it. What was registered is forgotten afterwards."""
    with (mock.patch.dict(PRUNING), mock.patch.dict(GROWTH), mock.patch.dict(PRUNING_NEEDS),
          mock.patch.dict(CHOICES["prune"]), mock.patch.dict(CHOICES["grow"]), mock.patch.dict(FINGERPRINTS)):
        try:
            if rule.kind == "growth":
                regrow.growth(NAME, needs=rule.needs)(rule)
                yield {"prune": "magnitude", "grow": NAME}
            else:
                regrow.pruning(NAME, elementwise=rule.elementwise, needs=rule.needs)(rule)
                yield {"prune": NAME, "grow": "random"}
        finally:
            ELEMENTWISE.discard(NAME)


def broken_alone(rule: OddRule, chance: random.Random) -> str:
    """What one update with the rule breaks; "" if it keeps its promises."""
    shape = (chance.randint(1, 6), chance.randint(1, 9))
    draws = torch.Generator().manual_seed(chance.randrange(2**31))
    mask = torch.rand(shape, generator=draws) < chance.random()
    weight, gradient, average = torch.randn(3, *shape, generator=draws)
    layer = LayerState(weight * mask, mask, draws, gradient, average, "fc")
    given = (layer.weight, layer.mask, gradient, average)
    before, everywhere = [part.clone() for part in given], _global_chance()
    try:
        with registered(rule) as words:
            after = rewire(layer, rate=chance.choice((0.0, 0.3, 0.5, 1.0)), **words,
                           regrow_pruned=chance.random() < 0.7)
    except RegrowError as error:
        said = _unsaid(error)
    except BaseException as error:
        said = f"{type(error).__name__} in the place of a sentence: {error}"
    else:
        there, n = sum(after.mask.flatten().tolist()), sum(before[1].flatten().tolist())
        said = "" if there == n and after.mask.dtype == torch.bool else f"{there} connections in the place of {n}"
    if not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(given, before, strict=True)):
        said = said or "what it was given changed"
    return said or ("" if _global_chance() == everywhere else "the global generators changed")


def broken_in_training(rule: OddRule, engine: str, config: RunConfig = TINY) -> str:
    """The same of a short run on an engine."""
    try:
        with registered(rule) as words:
            run = config.but(epochs=1, **words)
            record = train.finish(train.start(run, _images(config), "cpu", engine), _images(config))
    except RegrowError as error:
        return _unsaid(error)
    except BaseException as error:
        return f"{type(error).__name__} in the place of a sentence: {error}"
    counts = {layer: set(series.sum(axis=1).tolist()) for layer, series in record.in_degree.items()}
    moments = {layer: {int(record.masks(moment)[layer].sum()) for moment in range(6)} for layer in record.layers}
    return "" if all(len(counts[layer] | moments[layer]) == 1 for layer in counts) else f"counts drift: {counts}"


@cache
def _images(config: RunConfig) -> Dataset:
    return data.load_for(config)


def _unsaid(error: RegrowError) -> str:
    text = str(error)
    return "" if repr(NAME) in text and "\n" not in text and len(text) < 700 else f"a sentence that says little: {text}"


def _global_chance() -> tuple[bytes, bytes, Any]:
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()


RUNS = (("dense", TINY), ("sparse", TINY), ("sparse", RBM), ("dense", RBM))


def run(stage: Stage) -> Tally:
    """Odd rules in single updates; one in ten trains a network as well."""
    tally, chance = Tally("rules", stage.planned), random.Random(f"rules {stage.seed}")
    with warnings.catch_warnings(action="ignore"):  # a mask of what is kept is warned of
        _try(stage, tally, chance)
    return tally


def _try(stage: Stage, tally: Tally, chance: random.Random) -> None:
    for number in range(stage.planned):
        if stage.over:
            return
        rule = odd_rule(chance)
        broken = {"an update": broken_alone(rule, chance)}
        if number % 10 == 0:
            engine, config = RUNS[number // 10 % len(RUNS)]
            broken[f"{config.model} on the {engine} engine"] = broken_in_training(rule, engine, config)
        tally.tried += 1
        for where in broken:
            tally.count(where)
        tally.broken += [f"{rule} in {where}: {what}" for where, what in broken.items() if what]
