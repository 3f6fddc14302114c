"""Anybody's model, optimizer and loop, trained sparsely.

    sparse = regrow.sparsify(model, optimizer, sparsity=0.9, grow="gradient", update_interval=100, total_steps=steps)
    for images, labels in loader:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        sparse.step()                        # in place of optimizer.step()

The wiring is `topology`'s, as in the built-in loop. This is the way in for a loop that is not ours: two hooks of the
optimizer do before and after its step what belongs there, so that a step is sparse whoever calls it, or is refused.
"""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from regrow.errors import ConfigError, RegrowError
from regrow.rules import count
from regrow.settings import Settings, chosen, counts_of, from_words
from regrow.sparsity import Shape, random_masks
from regrow.topology import MOMENTA, MaskedOptimizer, Rewiring, Topology, optimizer_state, ranks_buffer
from regrow.weights import find, unwrapped

REFUSED = {
    "LBFGS": "keeps one history of all weights, which cannot be reset where connections grow: use another optimizer",
    "ZeroRedundancyOptimizer": "keeps each weight's state on one rank alone: use an optimizer that every rank has",
}


def sparsify(model: nn.Module, optimizer: Optimizer, *, preset: str | None = None,
             state: Mapping[str, Any] | None = None, **words: Any) -> SparseTraining:
    """Make a model sparse, and keep it so while its own loop trains it: call step() in place of optimizer.step().

    `words` are fields of `settings.Settings`, such as sparsity=0.9 or density={"conv*": 0.2, "*": 0.1}, prune_rate=0.3,
    grow="gradient", dense=["head.*"], seed=1. update_interval and total_steps, in optimizer steps, are needed. `preset`
    (paper, set, rigl, snfs, static) sets what goes together. Weights between units become sparse, in place: of linear,
    convolutional, recurrent and attention layers and those made like them; embeddings if asked. With `state`, which
    state_dict() returned, a model that has its weights already goes on with those masks instead of new ones.

    Raises ConfigError, in one sentence, for what cannot be trained so.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"sparsify needs the model itself, a torch.nn.Module, not a {type(model).__name__}.")
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(f"sparsify needs the optimizer, a torch.optim.Optimizer, not a {type(optimizer).__name__}.")
    return SparseTraining(model, optimizer, from_words(preset, words), state)


class SparseTraining:
    """A model in sparse training. `settings` are what `sparsify` was told, `step_count` the optimizer steps so far.

    `left_dense` names the weights of two axes or more that stay as they are.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, settings: Settings,
                 state: Mapping[str, Any] | None = None) -> None:
        """Lay the first masks over the model's weights. Raises ConfigError as `sparsify`."""
        model, self._given = unwrapped(model), weakref.ref(optimizer)
        while "param_groups" not in vars(optimizer) and isinstance(inner := getattr(optimizer, "optimizer", None),
                                                                   Optimizer):
            optimizer = inner  # Accelerate's is but a shell, which cannot carry hooks
        self.settings, self.step_count, self._model = settings, 0, model
        layers = chosen(model, settings)
        weights: dict[str, Tensor] = {name: layer.parameters[0] for name, layer in layers.items()}
        _check_optimizer(optimizer, weights)
        counts = counts_of(layers, settings)
        self._device = next(iter(weights.values())).device
        self._agree(f"{asdict(settings)} {counts}".encode(), "different models, settings or seeds")
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        if state is None:
            masks = random_masks(shapes, counts, settings.seed)
        else:
            _check_state(state, settings, shapes)
            masks = {name: state["topology"][f"mask/{name}"] for name in weights}
        self._topology = Topology(settings, weights, masks=masks,
                                  groups={name: layer.groups for name, layer in layers.items()})
        self._optimizer = weakref.ref(optimizer)  # its hooks hold us; once it is replaced, we see that it is gone
        self._masked = MaskedOptimizer(self._topology, weakref.proxy(optimizer), settings.total_steps)
        found = find(model, embeddings=True)
        self.left_dense = (*(layer.name for layer in found.weights if layer.name not in weights), *found.left_out)
        self._attached = self._stepping = self._inside = self._seen = self._skipped = False
        self._hidden: list[tuple[Tensor, Tensor | None]] = []
        self._changes: dict[str, Rewiring] | None = None
        self._hooks: tuple[RemovableHandle, ...] = (optimizer.register_step_pre_hook(self._before_step),
                                                    optimizer.register_step_post_hook(self._after_step))
        _trainings.add(self)
        if state is not None:
            self.load_state_dict(state)

    def step(self, scaler: Any = None, closure: Callable[[], Any] | None = None) -> dict[str, Rewiring] | None:
        """One step of the optimizer on the connections that exist, and the update of the wiring if one is due.

        Returns what an update has changed in every layer, None at any other step. `scaler` is a GradScaler, through
        which the optimizer steps; its update() stays the loop's. A step that it skips does not count. `closure` is
        called by the optimizer. With gradient accumulation, call it when the optimizer would step. Raises RegrowError
        if the model or the optimizer has been replaced or moved.
        """
        given, optimizer = self._given(), self._optimizer()
        if given is None or optimizer is None:
            raise RegrowError("The optimizer that sparsify was given is gone: if another one has replaced it, call "
                              "remove() and sparsify the model again with that one, else keep it in a variable.")
        if not self._hooks:
            raise RegrowError("This training has ended with remove(): call sparsify again to go on sparsely.")
        if scaler is not None and not hasattr(scaler, "unscale_"):
            raise ConfigError("What step() takes first is a GradScaler: write step(closure=...) for a closure.")
        if scaler is not None and closure is not None:
            raise ConfigError("A GradScaler takes no closure: call backward() before, and step(scaler) alone.")
        self._changes, self._stepping = None, True
        try:
            if scaler is not None:
                _unscale(scaler, optimizer)
                scaler.step(optimizer)
            elif closure is not None:
                given.step(closure)
            else:
                given.step()
        finally:
            self._stepping = self._inside = False
        return self._changes

    def attach(self) -> SparseTraining:
        """From now on every optimizer.step() is a step(): for loops that call it themselves, as frameworks' do."""
        self._attached = True
        return self

    def remove(self) -> None:
        """End the sparse training: the optimizer steps as ever, and absent weights are plain zeros that may learn."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = ()
        _trainings.discard(self)

    def __reduce__(self) -> NoReturn:
        """Raise RegrowError: a copy, by copy, deepcopy or pickle, would hang on the optimizer of the original."""
        raise RegrowError("What sparsify returned cannot be copied or pickled, as it belongs to one optimizer: keep it "
                          "outside of the model that is copied, save state_dict(), and call sparsify with state= for "
                          "the copy.")

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Layer -> bool tensor, True where a connection is: a view that is always as the wiring is now."""
        return MappingProxyType(self._topology.masks)

    @property
    def counts(self) -> dict[str, int]:
        """Connections by layer."""
        return {name: count(mask) for name, mask in self.masks.items()}

    @property
    def density(self) -> float:
        """Connections over weights, of all layers that are sparse together."""
        return sum(self.counts.values()) / sum(mask.numel() for mask in self.masks.values())

    def table(self) -> pd.DataFrame:
        """One row for each layer: layer, shape (as stored), density, connections."""
        return pd.DataFrame([{"layer": name, "shape": tuple(mask.shape), "density": count(mask) / mask.numel(),
                              "connections": count(mask)} for name, mask in self.masks.items()])

    def __repr__(self) -> str:
        dense = f"; dense: {', '.join(self.left_dense)}" if self.left_dense else ""
        return (f"<SparseTraining of {len(self.masks)} layers at density {self.density:.4g}; step {self.step_count} of "
                f"{self.settings.total_steps}{dense}>")

    @torch.no_grad()
    def apply_to(self, copy: nn.Module) -> None:
        """Lay the masks over a copy of the model, such as an average of its weights, which remembers pruned ones.

        Raises ConfigError for a model that lacks a layer.
        """
        if not isinstance(copy, nn.Module):
            raise ConfigError(f"apply_to needs a copy of the model, a torch.nn.Module, not a {type(copy).__name__}.")
        found = find(copy, embeddings=True)
        for name, mask in self.masks.items():
            layer = found.named(name)
            if layer is None or layer.shape != tuple(mask.shape):
                raise ConfigError(f"The copy has no layer {name} of shape {tuple(mask.shape)}: give a copy of the "
                                  "model that is trained.")
            weight = layer.parameters[0]
            weight.mul_(mask.to(weight.device))

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs beside the states of model and optimizer; torch.save and load keep it."""
        return {"step_count": self.step_count, "settings": asdict(self.settings),
                "topology": {name: part.clone() for name, part in self._topology.state().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Model and optimizer load theirs before or after, as ever.

        Raises ConfigError if it is no such state, or that of another model or other settings.
        """
        _check_state(state, self.settings, {name: tuple(mask.shape) for name, mask in self.masks.items()})
        self._topology.load_state({name: part.clone() for name, part in state["topology"].items()})
        self.step_count = state["step_count"]

    def _before_step(self, optimizer: Optimizer, args: tuple[Any, ...],
                     keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Hook of the optimizer. With a closure, gradients are there only once that has been called."""
        if not (self._stepping or self._attached):
            raise RegrowError("optimizer.step() was called, and the model would not stay sparse: call step() of what "
                              "sparsify returned in its place (step(scaler) with a GradScaler), or attach() once if a "
                              "framework calls optimizer.step(), or remove() to end sparse training.")
        self._inside, self._seen, self._skipped = True, False, False
        closure = keywords.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._take_gradients(optimizer)
            return None

        def taken() -> Any:
            loss = closure()
            self._take_gradients(optimizer)
            return loss

        return (args[:1], {**keywords, "closure": taken})

    def _take_gradients(self, optimizer: Optimizer) -> None:
        """Keep of the dense gradients what growth needs, and mask them."""
        found_inf = getattr(optimizer, "found_inf", None)  # of a fused optimizer, which skips the step by itself
        self._skipped = found_inf is not None and bool(found_inf)
        if self._skipped:
            self._hide_gradients(optimizer)  # fused SGD would begin its momentum with whatever is in the memory
            return
        if getattr(optimizer, "grad_scale", None) is not None:
            raise RegrowError("The gradients are still scaled: call scaler.unscale_(optimizer) before "
                              "scaler.step(optimizer), or step(scaler) in place of both.")
        step = self.step_count + 1
        self._check_weights(step)
        if not self._seen:  # an optimizer may call a closure more than once
            self._masked.average_gradients()
            self._masked.keep_gradients(step)
        self._seen = True
        if step in self._masked.updates and self.settings.update_order == "instead_of_step":
            self._hide_gradients(optimizer)
        else:
            self._masked.mask_gradients()

    def _hide_gradients(self, optimizer: Optimizer) -> None:
        """Until after the step: where there is no gradient, no optimizer steps."""
        self._hidden = [(parameter, parameter.grad) for parameter in _parameters(optimizer)]
        for parameter, _ in self._hidden:
            parameter.grad = None

    def _after_step(self, optimizer: Optimizer, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Hook of the optimizer: keep absent weights at 0, whatever it does, and rewire if it is time."""
        hidden, self._hidden, self._inside = self._hidden, [], False
        for parameter, gradient in hidden:
            parameter.grad = gradient
        if self._skipped:
            return
        self._changes = None
        self.step_count += 1
        self._topology.mask_weights()
        if ranks_buffer(self.settings) and not hidden:
            self._check_momentum(optimizer)
        if self.step_count in self._masked.updates:
            self._changes = self._masked.update(self.step_count)
            self._agree_on_masks()

    def _check_weights(self, step: int) -> None:
        """Raise RegrowError if the model's weights are no longer these, or somewhere else."""
        weights = self._topology.weights
        if step in self._masked.updates or any(weight.grad is None for weight in weights.values()):
            there = set(map(id, self._model.parameters()))
            if lost := [name for name, weight in weights.items() if id(weight) not in there]:
                raise RegrowError(f"The weight of {lost[0]} has been replaced since the model was sparsified: call "
                                  "remove() and sparsify again, with an optimizer of the new weights.")
        for name, weight in weights.items():
            if weight.device != self._topology.masks[name].device:
                raise RegrowError(f"The model has been moved to {weight.device} since it was sparsified: call "
                                  "sparsify after model.to(...).")
            if weight.dtype != self._topology.factors[name].dtype:
                raise RegrowError(f"The weight of {name} has become {weight.dtype} since the model was sparsified: "
                                  "call sparsify after model.to(...), half() or double(), with a new optimizer.")

    def _check_momentum(self, optimizer: Optimizer) -> None:
        states = optimizer_state(optimizer, self._topology.weights).values()
        if not any(key in state for state in states for key in MOMENTA):
            raise ConfigError(f"Growth ranks the optimizer's own momentum (growth_momentum=\"sgd_buffer\"), and this "
                              f"{type(optimizer).__name__} keeps none: give it momentum, or write "
                              "growth_momentum=\"ema\".")

    def _agree_on_masks(self) -> None:
        """Averaged gradients give every rank the same masks without a word; whether they did is worth one number."""
        if self._has_ranks:
            packed = b"".join(np.packbits(mask.numpy(force=True)).tobytes() for mask in self.masks.values())
            self._agree(b"%d " % self.step_count + packed, f"different masks after step {self.step_count}")

    @property
    def _has_ranks(self) -> bool:
        return (self.settings.same_on_ranks and dist.is_available() and dist.is_initialized()
                and dist.get_world_size() > 1)

    def _agree(self, what: bytes, trouble: str) -> None:
        """Raise RegrowError if processes that train together differ in something: one number from each."""
        if not self._has_ranks:
            return
        number = zlib.crc32(what)
        extremes = torch.tensor([number, -number], dtype=torch.int64, device=self._device)
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        if extremes[0] != -extremes[1]:
            raise RegrowError(f"The ranks that train together have {trouble}: give all of them the same, and let "
                              "DistributedDataParallel average their gradients, or write same_on_ranks=False if they "
                              "train models of their own.")


_trainings: weakref.WeakSet[SparseTraining] = weakref.WeakSet()


def _refuse_others(optimizer: Optimizer, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Hook of all optimizers: none but the one that was given steps weights that are kept sparse."""
    for training in _trainings:
        if not _is_stepped_by(training, optimizer) and _holds(training, _parameters(optimizer)):
            raise RegrowError(f"This {type(optimizer).__name__} steps a model that sparsify was given with another "
                              "optimizer: call remove() of what sparsify returned, and sparsify the model again with "
                              "this one.")


register_optimizer_step_pre_hook(_refuse_others)  # an optimizer that replaces ours knows nothing of us


def _check_optimizer(optimizer: Optimizer, weights: Mapping[str, Tensor]) -> None:
    """Raise ConfigError if it cannot step these weights sparsely."""
    for kind in type(optimizer).__mro__:
        if kind.__name__ in REFUSED:
            raise ConfigError(f"{kind.__name__} {REFUSED[kind.__name__]}.")
    known = set(map(id, _parameters(optimizer)))
    for training in _trainings:
        if _holds(training, weights.values()):
            raise ConfigError("The model is sparse already: keep what sparsify returned first, or call its remove() "
                              "before another sparsify.")
        if _is_stepped_by(training, optimizer):
            raise ConfigError("The optimizer steps another model that is sparse already: make one for each model.")
    for name, weight in weights.items():
        if id(weight) not in known:
            raise ConfigError(f"The optimizer does not have the weight of {name}: make it of all parameters of this "
                              "model, or name the layer in dense=.")
        for state in optimizer_state(optimizer, {name: weight})[name].values():
            if state.device != weight.device:
                raise ConfigError(f"The weight of {name} is on {weight.device}, and what the optimizer remembers of it "
                                  f"on {state.device}: move the model before the optimizer is made or loaded.")


def _check_state(state: Any, settings: Settings, shapes: Mapping[str, Shape]) -> None:
    """Raise ConfigError unless `state` is one of a training with these settings and layers."""
    if not isinstance(state, Mapping) or state.keys() != {"step_count", "settings", "topology"}:
        raise ConfigError("This is no state of a sparse training: give what state_dict() returned.")
    ours, theirs = asdict(settings), state["settings"]
    for name in ours:
        if name not in ("total_steps", "same_on_ranks") and theirs.get(name) != ours[name]:  # more steps may follow
            raise ConfigError(f"The state was saved with {name}={theirs.get(name)!r}, and this training has "
                              f"{name}={ours[name]!r}: give sparsify the same.")
    masks = {name.removeprefix("mask/"): tuple(mask.shape) for name, mask in state["topology"].items()
             if name.startswith("mask/")}
    if odd := [name for name in [*shapes, *masks] if shapes.get(name) != masks.get(name)]:
        raise ConfigError(f"The state is of another model, as the layer {odd[0]} does not fit: load it into the one it "
                          "was saved from.")


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _holds(training: SparseTraining, tensors: Iterable[Tensor]) -> bool:
    """Whether one of these tensors is kept sparse."""
    ours = set(map(id, training._topology.weights.values()))
    return any(id(tensor) in ours for tensor in tensors)


def _is_stepped_by(training: SparseTraining, optimizer: Optimizer) -> bool:
    """Whether it is the optimizer that the training was given, or one inside of that, in its step."""
    return training._inside or optimizer is training._optimizer()


def _unscale(scaler: Any, optimizer: Optimizer) -> None:
    """Unless the loop has done it already, to clip gradients; only the scaler's error says so."""
    try:
        scaler.unscale_(optimizer)
    except RuntimeError as error:
        if "already been called on this optimizer" not in str(error):
            raise
