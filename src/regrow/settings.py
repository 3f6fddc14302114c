"""What `sparsify` is told, and what that means for a model: which of its weights, and how many connections each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from regrow.config import KEYS_ELSEWHERE, RunConfig, Strategy, check_strategy, nearest, preset
from regrow.errors import ConfigError
from regrow.sparsity import connection_counts
from regrow.weights import Weight, find

PRESETS = ("paper", "set", "rigl", "snfs", "static")
TRAINED = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Settings(Strategy):
    """How a model is trained sparsely. Words mean what they mean in RunConfig; those of no run stand first.

    Raises ConfigError, in one sentence, for anything impossible.
    """

    total_steps: int  # optimizer steps of the whole training
    density: float | Mapping[str, float] | None = None  # in place of sparsity; or a number for each name or pattern
    dense: tuple[str, ...] = ()  # names and patterns of layers that stay dense, such as "head.*"
    embeddings: bool = False  # whether they become sparse too
    same_on_ranks: bool = True  # whether processes that train together are held to have the same masks
    sparsity: float | None = None
    init: str = "erk"
    prune: str = "magnitude"
    grow: str = "random"
    switch_at: float = 0.5
    prune_rate: float = 0.5
    prune_schedule: str = "cosine"
    update_interval: int
    update_until: float = 1.0
    update_order: str = "after_step"
    regrow_pruned: bool = True
    regrown_weight: str = "zero"
    grown_buffer: str = "zero"
    growth_momentum: str = "ema"
    growth_beta: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        check_strategy(self)
        if type(self.total_steps) is not int or self.total_steps < 1:
            raise ConfigError(f"total_steps must be the number of optimizer steps of the whole training, such as "
                              f"epochs * len(loader), not {self.total_steps!r}.")
        if self.is_dynamic and self.update_interval > self.update_until * self.total_steps + 1e-9:
            raise ConfigError(f"update_interval={self.update_interval} never comes in total_steps={self.total_steps} "
                              f"with update_until={self.update_until:g}: make it smaller, or write preset=\"static\".")
        for name in ("embeddings", "same_on_ranks"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}.")
        patterns = (self.dense,) if isinstance(self.dense, str) else self.dense
        if not isinstance(patterns, Iterable) or not all(isinstance(pattern, str) for pattern in patterns):
            raise ConfigError(f"dense must list names or patterns of layers, such as [\"head.*\"], not {patterns!r}.")
        object.__setattr__(self, "dense", tuple(patterns))
        self._set_density()

    def _set_density(self) -> None:
        """Leave `sparsity` or a mapping in `density`, whichever was given."""
        if (self.sparsity is None) == (self.density is None):
            raise ConfigError("Say how sparse the network shall be: give sparsity=0.9, or density=0.1, and not both.")
        if isinstance(self.density, Mapping):
            for pattern, share in self.density.items():
                if not isinstance(pattern, str) or not _is_number(share) or not 0 < share <= 1:
                    raise ConfigError(f"density gives {pattern!r} {share!r}: a number above 0 and at most 1 belongs to "
                                      "the name or pattern of a layer.")
            object.__setattr__(self, "density", {pattern: float(share) for pattern, share in self.density.items()})
            return
        name = "sparsity" if self.density is None else "density"
        value: Any = getattr(self, name)
        if not _is_number(value) or not (0 <= value < 1 if name == "sparsity" else 0 < value <= 1):
            allowed = "at least 0 and below 1" if name == "sparsity" else "above 0 and at most 1"
            hint = f"; {value} % is {value / 100:g}" if _is_number(value) and 1 < value < 100 else ""
            raise ConfigError(f"{name} must be {allowed}, not {value!r}{hint}.")
        sparsity = float(value if name == "sparsity" else 1 - value)
        if sparsity == 0 and self.is_dynamic:
            raise ConfigError("A dense network (sparsity=0) has nothing to prune or grow: write preset=\"static\" with "
                              "it, or leave sparsify out.")
        object.__setattr__(self, "sparsity", sparsity)
        object.__setattr__(self, "density", None)


def from_words(named: str | None, words: Mapping[str, Any]) -> Settings:
    """Settings from a preset's name and words that go before it. A preset means what it means for a run.

    Raises ConfigError, which names the nearest right word.
    """
    known = {f.name: f for f in fields(Settings)}
    for word in words:
        if word not in known:
            ours = KEYS_ELSEWHERE.get(word.lower(), "")
            there = ours.partition(",")[0].partition(" ")[0] in {*known, "preset"}
            raise ConfigError(f"sparsify has no {word!r}: write {ours}." if there else
                              f"sparsify has no {word!r}{nearest(word, [*known, 'preset'])}.")
    if missing := [word for word in ("update_interval", "total_steps") if word not in words]:
        raise ConfigError(f"sparsify needs {' and '.join(missing)}: update_interval=100, total_steps=epochs * "
                          "len(loader), for example.")
    base: dict[str, Any] = {}
    if named is not None:
        if named not in PRESETS:
            raise ConfigError(f"There is no preset {named!r} here{nearest(str(named), PRESETS)}.")
        base = {"grow": RunConfig().grow} | preset(named)
    given = {word: value.item() if isinstance(value, np.generic) else value for word, value in words.items()}
    return Settings(**base | given)


def chosen(model: nn.Module, settings: Settings) -> dict[str, Weight]:
    """The weights that become sparse, by layer, in order of definition.

    Biases and normalisations never do, embeddings (and what is tied to one) if asked. Raises ConfigError, in one
    sentence that names the layer and the remedy, for a weight that cannot be trained sparsely and for a name or pattern
    that fits none.
    """
    _refuse_whole(model, settings)
    embedded = {id(weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)
                for weight in module.parameters(recurse=False)}
    found = {weight.name: weight for weight in find(model, embeddings=True).weights}
    weights = {name: weight for name, weight in found.items()
               if settings.embeddings or not any(id(parameter) in embedded for parameter in weight.parameters)}
    there = [name for listed in (model.named_modules(), model.named_parameters()) for name, _ in listed]
    for pattern in settings.dense:
        if not any(_meant(name, pattern) for name in (*there, *_paths(found.values()))):
            raise ConfigError(f"dense names {pattern!r}, which fits no layer{nearest(pattern, found)}.")
    for pattern in settings.density if isinstance(settings.density, Mapping) else ():
        if not any(_fits(weight, pattern) for weight in weights.values()):
            is_embedding = any(_fits(weight, pattern) for weight in found.values())
            raise ConfigError(f"density names {pattern!r}, which fits no layer"
                              f"{'; embeddings=True adds those' if is_embedding else nearest(pattern, weights)}.")
    kept = {name: weight for name, weight in weights.items()
            if not any(_fits(weight, pattern) for pattern in settings.dense)}
    if not kept:
        raise ConfigError("There is nothing to make sparse: the model has no linear, convolutional, recurrent or "
                          "attention layer that dense= does not name (embeddings=True takes embeddings along).")
    for name, weight in kept.items():
        if trouble := _trouble(weight):
            raise ConfigError(f"The weight of {name} {trouble}, or name it in dense=.")
    return kept


def counts_of(weights: Mapping[str, Weight], settings: Settings) -> dict[str, int]:
    """Connections of every layer, at least one. Raises ConfigError where none is left or none is said."""
    sizes = {name: math.prod(weight.shape) for name, weight in weights.items()}
    if isinstance(settings.density, Mapping):
        counts = {}
        for name, weight in weights.items():
            fitting = [pattern for pattern in settings.density if _fits(weight, pattern)]
            if not fitting:
                raise ConfigError(f"density says nothing of {name}: give it a number, write \"*\" for all others, or "
                                  "name it in dense=.")
            nearest_one = name if name in fitting else fitting[0]
            counts[name] = max(1, round(settings.density[nearest_one] * sizes[name]))
        return counts
    shapes = {name: weight.shape for name, weight in weights.items()}
    counts = connection_counts(shapes, 1 - (settings.sparsity or 0), settings.init)
    if empty := next((name for name, count in counts.items() if count == 0), None):
        raise ConfigError(f"sparsity={settings.sparsity:g} leaves {empty} without a connection: lower it, choose "
                          "another init, or name the layer in dense=.")
    return counts


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fits(weight: Weight, pattern: str) -> bool:
    return any(_meant(path, pattern) for path in _paths([weight]))


def _paths(weights: Iterable[Weight]) -> list[str]:
    return [path for weight in weights for path in (weight.path, *weight.tied)]


def _meant(path: str, pattern: str) -> bool:
    """Whether a name or pattern means this tensor: by its own or its layer's name, or by a module that holds it."""
    return any(fnmatchcase(name, word) for name in (path, path.removesuffix(".weight"))
               for word in (pattern, f"{pattern}.*"))


def _refuse_whole(model: nn.Module, settings: Settings) -> None:
    for name, module in model.named_modules():
        kind = type(module)
        if kind.__name__ == "FullyShardedDataParallel":
            raise ConfigError(f"{name or 'The model'} is sharded (FullyShardedDataParallel), so that no process sees a "
                              "whole layer: train with DistributedDataParallel.")
        if ".quantized." in f"{kind.__module__}." and hasattr(module, "_packed_params") and \
                not any(_meant(name, pattern) for pattern in settings.dense):
            raise ConfigError(f"{name or 'The model'} is quantised ({kind.__name__}) and cannot be trained: sparsify "
                              "the model before it is quantised, or name it in dense=.")


def _trouble(weight: Weight) -> str:
    """Why a weight cannot be trained sparsely, with the remedy; '' if it can."""
    plain = weight.module._parameters.get(weight.attribute)
    if plain is None:
        return ("is computed from other parameters (a parametrization, weight_norm or torch's prune): make it plain "
                "with parametrize.remove_parametrizations or prune.remove")
    if is_lazy(plain):
        return "has no shape yet, as its layer is lazy: send one batch through the model first"
    if plain.is_meta:
        return "lies on the meta device and has no numbers: load or initialise the model first"
    if type(plain).__name__ == "DTensor":
        return "is spread over several processes (DTensor): train with DistributedDataParallel"
    if plain.dtype not in TRAINED:
        return f"holds {plain.dtype}, which is not trained: sparsify the model before it is quantised"
    if plain.layout != torch.strided:
        return "is stored as a sparse tensor: make it dense, as zeros are what sparsify works with"
    if not plain.requires_grad:
        return "is frozen (requires_grad=False): unfreeze it first"
    if getattr(weight.module, "sparse", False) is True:
        return "gets sparse gradients: make the embedding with sparse=False"
    return ""
