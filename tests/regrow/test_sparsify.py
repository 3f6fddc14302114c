"""Somebody's own loop trains sparsely: bit for bit as the dense engine does, with any layer, rule and optimizer.

What cannot be trained so is refused in a sentence, and so is a loop that would let the network become dense.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations, prune
from torch.optim import Optimizer

import regrow
from regrow import data, models, schedule, sparsification, train
from regrow.config import CHOICES, RunConfig, Strategy, preset
from regrow.data import Dataset
from regrow.errors import ConfigError, RegrowError
from regrow.rules import GROWTH, PRUNING
from regrow.settings import Settings, from_words
from regrow.sparsification import SparseTraining, sparsify
from regrow.topology import optimizer_state

MLP = RunConfig(model="mlp", train_limit=64, batch_size=32, epochs=2, update_interval=2)
SMALL_MLP = MLP.but(hidden=(40, 30), epochs=4)
CONVNET = MLP.but(model="convnet", padding="none", epochs=3)
OPTIONS: list[dict[str, Any]] = [
    *({"grow": grow} for grow in ("random", "gradient", "momentum", "l3", "random>gradient")),
    *({"prune": prune, "grow": "random"} for prune in ("set", "set_legacy", "random")),
    *({"preset": name} for name in ("paper", "set", "rigl", "snfs", "static")),
    {"grow": "momentum", "grown_buffer": "keep", "regrown_weight": "keep"}, {"init": "uniform", "seed": 3},
    {"grow": "gradient", "regrow_pruned": False, "prune_schedule": "linear", "update_until": 0.7},
]


@pytest.fixture(scope="module")
def few() -> Dataset:
    found = data.load(MLP.dataset, image_format=MLP.image_format, train_limit=MLP.train_limit)
    return replace(found, validation=found.train, test=found.train)


def short(options: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items())


# ---- the proof: the built-in loop and a plain one -------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS, ids=short)
@pytest.mark.parametrize("config", [pytest.param(MLP, id="mlp", marks=pytest.mark.slow),
                                    pytest.param(SMALL_MLP, id="small mlp"), pytest.param(CONVNET, id="convnet")])
def test_a_plain_loop_gets_what_the_dense_engine_gets_bit_for_bit(config: RunConfig, options: dict[str, Any],
                                                                  few: Dataset) -> None:
    changes = dict(options)
    named = changes.pop("preset", None)
    config = config.but(**(preset(named) if named else {}) | changes)
    run = train.start(config, few, engine="dense")
    train.advance(run, few)

    words = changes if named else {name: getattr(config, name) for name in Strategy.__annotations__}
    steps = config.epochs * run.steps_per_epoch
    given = {"sparsity": config.sparsity, "update_interval": 2} | words
    model = models.build(config, classes=few.classes, image_shape=few.image_shape)
    layout = torch.channels_last if config.model == "convnet" else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, nesterov=config.nesterov,
                                weight_decay=config.weight_decay, fused=True)
    sparse = sparsify(model, optimizer, preset=named, total_steps=steps, **given)
    for epoch in range(config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(config, epoch)
        for images, labels in data.batches(few, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                                           augment=config.augment):
            optimizer.zero_grad()
            cross_entropy(model(images.contiguous(memory_format=layout)), labels).backward()
            sparse.step()

    engine: Any = run.engine
    assert sparse.step_count == run.step == steps >= 4
    assert list(sparse.masks) == list(engine.masks)
    assert all(torch.equal(sparse.masks[name], mask) for name, mask in engine.masks.items())
    ours, theirs = model.state_dict(), engine.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for one, other in zip(model.parameters(), engine.model.parameters(), strict=True):
        assert torch.equal(optimizer.state[one]["momentum_buffer"], engine.optimizer.state[other]["momentum_buffer"])


# ---- whatever the layers, the rule and the optimizer ----------------------------------------------------------------


class Unruly(Optimizer):
    """An optimizer that nobody knows: it moves every weight, connected or not, and remembers things of its own."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.01})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["seen"] = torch.ones_like(parameter) + state.get("seen", 0)
                state["rows"] = torch.ones(len(parameter))
                parameter.sub_(group["lr"] * state["seen"])


OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "maximize": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, maximize=True, foreach=True),
    "fused sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "fused adam": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "capturable": lambda p: torch.optim.Adam(p, lr=0.01, fused=True, capturable=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True, foreach=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, initial_accumulator_value=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "unruly": Unruly,
}
SIZES = st.integers(1, 3)


@st.composite
def layers(draw: st.DrawFn) -> nn.Module:
    kind = draw(st.sampled_from(["linear", "convolution", "transposed", "attention", "recurrent", "embedding", ""]))
    n, m, groups = (draw(SIZES) for _ in range(3))
    match kind:
        case "linear":
            return nn.Linear(2 * n, 2 * m, bias=draw(st.booleans()))
        case "convolution" | "transposed":
            dims = draw(st.integers(1, 3))
            name = f"{'Conv' if kind == 'convolution' else 'ConvTranspose'}{dims}d"
            depthwise = draw(st.booleans())
            return getattr(nn, name)(groups * (1 if depthwise else n), groups * m, draw(SIZES), groups=groups)
        case "attention":
            return nn.MultiheadAttention(4, 2, kdim=draw(st.sampled_from([None, 3])))
        case "recurrent":
            return draw(st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]))(n, m)
        case "embedding":
            return nn.Embedding(3 * n, m)
    return draw(st.sampled_from([nn.BatchNorm2d(4), nn.LayerNorm((2, 3)), nn.Bilinear(2, 3, 4), nn.GroupNorm(2, 4)]))


@st.composite
def trainings(draw: st.DrawFn) -> tuple[nn.Module, Optimizer, SparseTraining]:
    model = nn.ModuleList([nn.Linear(4, 5), *draw(st.lists(layers(), max_size=3))])
    model.to(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])))
    grow = draw(st.sampled_from([rule for rule in GROWTH if rule in CHOICES["grow"]] + ["random>gradient"]))
    optimizer = OPTIMIZERS[draw(st.sampled_from(list(OPTIMIZERS)))](model.parameters())
    words = {"density": {"*": draw(st.floats(0.05, 1))}, "embeddings": draw(st.booleans()), "grow": grow,
             "prune": draw(st.sampled_from(list(PRUNING))), "prune_rate": draw(st.floats(0, 1)),
             "regrow_pruned": draw(st.booleans()), "update_interval": draw(st.integers(1, 4)),
             "update_order": draw(st.sampled_from(["after_step", "instead_of_step"])), "seed": draw(st.integers(0, 9))}
    return model, optimizer, sparsify(model, optimizer, total_steps=8, **words)


@settings(max_examples=60, deadline=None)
@given(trainings(), st.integers(0, 2**20), st.floats(0, 0.3))
def test_counts_stay_absent_weights_are_zero_and_grown_ones_begin_at_zero(
        training: tuple[nn.Module, Optimizer, SparseTraining], seed: int, without: float) -> None:
    """Gradients are invented, and now and then a parameter has none."""
    model, optimizer, sparse = training
    if optimizer.defaults.get("fused") and "dampening" in optimizer.defaults:
        without = 0  # PyTorch's fused SGD takes no parameter that had no gradient at first
    chance = torch.Generator().manual_seed(seed)
    counts, weights = sparse.counts, dict(sparse._topology.weights)
    assert all(n == max(1, round(sparse.settings.density["*"] * weights[name].numel()))  # type: ignore[index,call-overload]
               for name, n in counts.items())
    for t in range(1, 11):
        for parameter in model.parameters():
            given = torch.randn(parameter.shape, generator=chance).to(parameter.dtype)
            parameter.grad = None if torch.rand((), generator=chance) < without else given
        changes = sparse.step()
        assert (changes is not None) == (t % sparse.settings.update_interval == 0 and t <= 8)
        assert sparse.counts == counts and sparse.step_count == t
        for name, mask in sparse.masks.items():
            assert not weights[name][~mask].any()
        for name, change in (changes or {}).items():
            assert torch.equal(change.mask, sparse.masks[name]) and not weights[name][change.grown].any()
            for state in optimizer_state(optimizer, weights)[name].values():
                assert not state[change.grown].any()
    sparse.remove()


def small(*sizes: int) -> nn.Sequential:
    torch.manual_seed(0)
    return models.mlp(sizes or (6, 8, 4))


def begun(model: nn.Module | None = None, kind: str = "momentum", **words: Any) -> tuple[nn.Module, Optimizer,
                                                                                         SparseTraining]:
    model = small() if model is None else model
    optimizer = OPTIMIZERS[kind](model.parameters())
    usual = {"sparsity": 0.5, "grow": "gradient", "update_interval": 2, "total_steps": 20}
    if isinstance(words.get("density"), float | dict):
        usual.pop("sparsity")
    return model, optimizer, sparsify(model, optimizer, **usual | words)


def batch(seed: int = 0, features: int = 6, classes: int = 4) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(16, features, generator=chance), torch.randint(classes, (16,), generator=chance)


def passed(model: nn.Module, seed: int = 0) -> None:
    """Forward and backward pass of a batch."""
    x, labels = batch(seed)
    model.zero_grad()
    cross_entropy(model(x), labels).backward()


def is_sparse(sparse: SparseTraining) -> bool:
    weights = sparse._topology.weights
    return all(not weights[name][~mask].any() and bool(weights[name][mask].any()) for name, mask in
               sparse.masks.items())


# ---- which weights --------------------------------------------------------------------------------------------------


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.conv = nn.Conv1d(8, 8, 3, padding=1, groups=4)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up = nn.ConvTranspose1d(8, 6, 2, groups=2)
        self.out = nn.Linear(8, 20, bias=False)
        self.out.weight = self.words.weight  # tied
        self.head = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.conv(self.words(x).mT).mT
        h = self.norm(h + self.attention(h, h, h)[0])
        return self.head(self.up(h.mT).mean(2)), self.out(h)


def learns(model: nn.Module, sparse: SparseTraining, steps: int = 6) -> float:
    """Training as somebody would write it; the last loss over the first."""
    x = torch.randint(20, (8, 5), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(steps):
        model.zero_grad()
        classes, words = model(x)
        loss = cross_entropy(classes, x[:, 0] % 3) + cross_entropy(words.flatten(0, 1), x.flatten())
        loss.backward()
        sparse.step()
        losses.append(loss.item())
    return losses[-1] / losses[0]


def test_weights_between_units_are_sparse_and_embeddings_with_what_is_tied_to_them_if_asked() -> None:
    between = ["conv", "attention.in_proj_weight", "attention.out_proj", "up", "head.0", "head.2"]
    model, _optimizer, sparse = begun(Everything(), "adamw")
    assert list(sparse.masks) == between and sparse.left_dense == ("words",)
    assert learns(model, sparse, 20) < 0.9 and is_sparse(sparse) and bool(model.words.weight.all())  # type: ignore[union-attr]
    with_words = begun(Everything(), "adamw", embeddings=True)[2]
    assert list(with_words.masks) == ["words", *between] and with_words.left_dense == ()


@pytest.mark.parametrize("dense", ["head", "head.*", ["head.0", "head.2.weight"]])
def test_what_stays_dense_is_named_by_layers_modules_or_patterns(dense: Any) -> None:
    sparse = begun(Everything(), dense=dense)[2]
    assert "up" in sparse.masks and {"head.0", "head.2"} <= set(sparse.left_dense)
    assert sparse.density == pytest.approx(0.5, abs=0.002)  # of what is sparse


def test_naming_as_dense_what_is_never_sparse_is_no_mistake() -> None:
    assert "up" in begun(Everything(), dense=["norm", "words", "head.0.bias"])[2].masks


def test_density_is_one_number_or_one_for_each_name_or_pattern() -> None:
    sparse = begun(Everything(), density={"*": 0.5, "head.*": 0.1, "up": 0.25}, dense="attention")[2]
    rows = sparse.table().set_index("layer")
    assert rows["density"].to_dict() == {"conv": 0.5, "up": 0.25, "head.0": 0.5, "head.2": 0.5}
    ordered = begun(Everything(), density={"head.*": 0.25, "*": 0.5})[2].table().set_index("layer")
    assert ordered.loc["head.2", ["shape", "density", "connections"]].tolist() == [(3, 4), 0.25, 3]
    assert begun(density=0.25)[2].counts == begun(sparsity=0.75)[2].counts


def test_degrees_and_l3_see_the_groups_of_a_convolution() -> None:
    """Each group is a network of its own: the score of one must not depend on another's connections."""
    model = nn.Sequential(nn.Conv2d(4, 6, 2, groups=2))
    _, _optimizer, sparse = begun(model, grow="l3", density=0.4)
    watch = regrow.observe(model, masks=sparse.masks)
    mask = sparse.masks["0"]
    assert watch.out_degree["0"][0].tolist() == [*mask[:3].sum((0, 2, 3)).tolist(), *mask[3:].sum((0, 2, 3)).tolist()]
    scored: list[Tensor] = []
    rule = GROWTH["l3"]

    def spy(layer: Any) -> Tensor:
        scored.append(rule.score(layer))
        alone = replace(layer, mask=layer.mask[:3], weight=layer.weight[:3], groups=1)
        assert torch.equal(scored[-1][:3], rule.score(alone))
        return scored[-1]

    with mock.patch.dict(GROWTH, {"l3": type(rule)(spy, rule.needs)}):
        for _ in range(2):
            model.zero_grad()
            model(torch.ones(1, 4, 5, 5)).sum().backward()
            sparse.step()
    assert scored


def quantised(model: nn.Module) -> nn.Module:
    model.fc1.weight = nn.Parameter(torch.ones(8, 6, dtype=torch.int8), requires_grad=False)  # type: ignore[union-attr]
    return model


class FullyShardedDataParallel(nn.Module):
    """Named as torch's, which needs a process group."""


class DTensor(nn.Parameter):
    """The same."""


def with_weight(weight: Any) -> nn.Module:
    model = small()
    model.fc1._parameters["weight"] = weight  # type: ignore[index,union-attr]
    return model


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2)), "0 has no shape yet.*send one batch"),
    "meta": (lambda: nn.Sequential(nn.Linear(3, 2, device="meta")), "0 lies on the meta device"),
    "frozen": (lambda: small().requires_grad_(False), "fc1 is frozen.*unfreeze"),
    "int8": (lambda: quantised(small()), "fc1 holds torch.int8.*before it is quantised"),
    "spectral": (lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 2))),
                 "0 is computed from other parameters.*remove_parametrizations"),
    "pruned": (lambda: nn.Sequential(prune.identity(nn.Linear(3, 2), "weight")), "prune.remove"),
    "sharded": (lambda: nn.Sequential(FullyShardedDataParallel(), nn.Linear(3, 2)), "0 is sharded"),
    "DTensor": (lambda: with_weight(DTensor(torch.ones(8, 6))), "fc1 is spread over several processes"),
    "stored sparsely": (lambda: with_weight(nn.Parameter(torch.eye(8, 6).to_sparse())), "fc1 is stored as a sparse"),
    "quantised": (lambda: torch.ao.quantization.quantize_dynamic(small(), {nn.Linear}), "fc1 is quantised"),
    "nothing": (lambda: nn.Sequential(nn.BatchNorm1d(3)), "nothing to make sparse"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_weight_that_cannot_be_trained_sparsely_is_named_with_the_remedy(name: str) -> None:
    made, sentence = REFUSED[name]
    model = made()
    with pytest.raises(ConfigError, match=sentence) as caught:
        sparsify(model, torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1), sparsity=0.5, update_interval=1,
                 total_steps=9)
    assert str(caught.value).count(". ") == 0


def test_what_is_refused_may_stay_dense() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 8)), nn.Linear(8, 4), nn.Linear(4, 4))
    model[2].requires_grad_(False)
    _, _optimizer, sparse = begun(model, dense=["0", "2"])
    passed(model)
    sparse.step()
    assert list(sparse.masks) == ["1"] and set(sparse.left_dense) == {"0", "2"}


def test_an_embedding_with_sparse_gradients_is_refused() -> None:
    with pytest.raises(ConfigError, match="sparse=False"):
        begun(nn.Sequential(nn.Embedding(5, 4, sparse=True), nn.Linear(4, 2)), embeddings=True)


# ---- what it is told ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "sentence"), [
    ({"sparsty": 0.9}, "did you mean 'sparsity'"), ({"zeta": 0.3}, "write prune_rate"), ({"lr": 1}, "no 'lr'"),
    ({"sparsity": 90}, "90 % is 0.9"), ({"sparsity": None}, "Say how sparse"), ({"density": 0.5}, "Say how sparse"),
    ({"sparsity": True}, "below 1, not True"), ({"sparsity": 0.0}, "nothing to prune"),
    ({"grow": "gradent"}, "did you mean 'gradient'"), ({"grow": "rigl"}, "grow=gradient, or preset=rigl"),
    ({"prune": "none"}, "change the number of connections"), ({"prune_rate": 2.0}, "between 0 and 1"),
    ({"update_interval": 21}, "never comes in total_steps=20"), ({"update_interval": 0}, "at least 1"),
    ({"total_steps": 0.5}, "epochs . len"), ({"dense": "fc9"}, "fits no layer .did you mean .fc[12]."),
    ({"dense": 3}, "must list names"), ({"embeddings": 1}, "true or false"), ({"preset": "rgl"}, "did you mean 'rigl'"),
    ({"sparsity": None, "density": {"fc1": 0.5}}, "says nothing of fc2"),
    ({"sparsity": None, "density": {"fc*": 0.5, "words": 0.1}}, "'words', which fits no layer"),
    ({"sparsity": None, "density": {"fc1": 1.5}}, "above 0 and at most 1"),
    ({"sparsity": 0.999}, "without a connection"),
    ({"dense": ["*"]}, "nothing to make sparse"), ({"preset": "dense"}, "no preset 'dense' here"),
], ids=lambda value: short(value) if isinstance(value, dict) else "")
def test_a_word_that_cannot_be_is_refused_with_the_nearest_right_one(words: dict[str, Any], sentence: str) -> None:
    model = small()
    usual: dict[str, Any] = {"sparsity": 0.5, "grow": "gradient", "update_interval": 2, "total_steps": 20}
    with pytest.raises(ConfigError, match=sentence):
        sparsify(model, torch.optim.SGD(model.parameters(), lr=0.1), **usual | words)
    assert all(bool(weight.all()) for weight in model.parameters())  # untouched


def test_steps_must_be_told_and_numbers_of_numpy_are_numbers() -> None:
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="needs update_interval and total_steps"):
        sparsify(model, optimizer, sparsity=0.5)
    sparse = sparsify(model, optimizer, sparsity=np.float64(0.5), update_interval=np.int64(2), total_steps=9)
    assert sparse.density == 0.5


def test_words_that_a_run_has_too_have_its_defaults() -> None:
    runs = {field.name: field.default for field in fields(RunConfig)}
    ours = {field.name: field.default for field in fields(Settings) if field.name in runs}
    assert {name for name in ours if ours[name] != runs[name]} == {"sparsity", "grow", "update_interval"}
    assert ours.keys() == Strategy.__annotations__.keys()


def test_a_preset_means_what_it_means_for_a_run_and_words_go_before_it() -> None:
    for name in ("paper", "set", "rigl", "snfs", "static"):
        run = RunConfig(**preset(name))
        ours = from_words(name, {"sparsity": 0.5, "update_interval": 2, "total_steps": 9})
        skipped = {"sparsity", "update_interval"}
        assert all(getattr(ours, word) == getattr(run, word) for word in Strategy.__annotations__.keys() - skipped)
    assert begun(preset="rigl", grow="random")[2].settings.grow == "random"
    assert begun(preset="rigl", grow="random")[2].settings.update_order == "instead_of_step"


@pytest.mark.parametrize(("first", "second", "sentence"), [
    ("model", None, "needs the model itself"), (None, "optimizer", "needs the optimizer")])
def test_model_and_optimizer_must_be_themselves(first: Any, second: Any, sentence: str) -> None:
    model = small()
    with pytest.raises(ConfigError, match=sentence):
        sparsify(model.parameters() if first else model,  # type: ignore[arg-type]
                 model if second else torch.optim.SGD(model.parameters(), lr=0.1),  # type: ignore[arg-type]
                 sparsity=0.5, update_interval=1, total_steps=5)


# ---- steps of all kinds ---------------------------------------------------------------------------------------------


def trained(model: nn.Module, sparse: SparseTraining, steps: int = 6) -> dict[str, Tensor]:
    for t in range(steps):
        passed(model, t)
        sparse.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_nothing_is_copied_into_the_model() -> None:
    model, _optimizer, sparse = begun()
    assert same(trained(model, sparse), trained(model, sparse, 0)) and list(model.state_dict()) == list(
        small().state_dict())
    assert all(type(weight) is nn.Parameter and not weight._backward_hooks for weight in model.parameters())


def test_a_closure_an_attached_optimizer_and_a_plain_step_do_the_same() -> None:
    for options in ({"grow": "momentum"}, {"preset": "rigl"}):
        plain = begun(**options)
        expected = trained(plain[0], plain[2])
        for way in ("closure", "attached", "attached closure"):
            model, optimizer, sparse = begun(**options)
            if "attached" in way:
                sparse.attach()
            for t in range(6):
                closure: Any = partial(passed, model, t)
                match way:
                    case "closure":
                        sparse.step(closure=closure)
                    case "attached":
                        closure()
                        optimizer.step()
                    case _:
                        optimizer.step(closure)
            assert same(model.state_dict(), expected) and sparse.step_count == 6


def test_gradients_stay_with_the_parameters_when_an_update_stands_for_the_step() -> None:
    model, optimizer, sparse = begun(preset="rigl", update_interval=1)
    passed(model)
    gradients = [parameter.grad for parameter in model.parameters()]
    biases = [parameter.detach().clone() for parameter in model.parameters() if parameter.ndim == 1]
    assert sparse.step() is not None
    assert all(parameter.grad is gradient for parameter, gradient in zip(model.parameters(), gradients, strict=True))
    assert all(map(torch.equal, biases, [parameter for parameter in model.parameters() if parameter.ndim == 1]))
    assert not optimizer.state


@pytest.mark.parametrize("kind", ["momentum", "fused sgd", "adam"])
def test_a_step_that_the_scaler_skips_does_not_count(kind: str) -> None:
    model, optimizer, sparse = begun(kind=kind, grow="momentum", update_interval=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, labels = batch()
    for t in range(3):
        optimizer.zero_grad()
        scaler.scale(cross_entropy(model(x), labels)).backward()
        if t == 0:
            next(model.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
        if t == 2:
            scaler.unscale_(optimizer)  # as a loop does that clips
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        changes = sparse.step(scaler)
        scaler.update()
        assert sparse.step_count == t and (changes is None) == (t == 0)
        assert all(bool(average.isfinite().all()) for average in sparse._topology.averages.values())
        if t == 0:
            assert same(model.state_dict(), before)
    assert is_sparse(sparse) and not same(model.state_dict(), before)


def test_scaled_gradients_are_unscaled_before_they_are_averaged() -> None:
    plain, scaled = begun(grow="momentum"), begun(grow="momentum")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    x, labels = batch()
    for _ in range(4):
        passed(plain[0])
        plain[2].step()
        scaled[1].zero_grad()
        scaler.scale(cross_entropy(scaled[0](x), labels)).backward()
        scaled[2].step(scaler)
        scaler.update()
    for name, average in plain[2]._topology.averages.items():
        torch.testing.assert_close(scaled[2]._topology.averages[name], average)
        assert bool(average[~plain[2].masks[name]].any())
    fused = begun(kind="fused sgd")
    fused[2].attach()
    scaler.scale(cross_entropy(fused[0](x), labels)).backward()
    with pytest.raises(RegrowError, match="still scaled: call scaler.unscale_"):
        scaler.step(fused[1])


def test_a_scaler_takes_no_closure_and_a_closure_is_no_scaler() -> None:
    _, _optimizer, sparse = begun()
    with pytest.raises(ConfigError, match="step.closure="):
        sparse.step(lambda: None)
    with pytest.raises(ConfigError, match="takes no closure"):
        sparse.step(torch.amp.GradScaler("cpu"), lambda: None)


def test_accumulated_clipped_and_scheduled_training_in_several_groups_with_an_average_of_the_weights() -> None:
    model = small()
    optimizer = torch.optim.AdamW([{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
                                   {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0}])
    sparse = sparsify(model, optimizer, sparsity=0.5, grow="gradient", update_interval=2, total_steps=8)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8)
    ema = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    for step in range(1, 9):
        optimizer.zero_grad()
        for micro in range(2):
            x, labels = batch(2 * step + micro)
            (cross_entropy(model(x), labels) / 2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        sparse.step()
        scheduler.step()
        ema.update_parameters(model)
        assert sparse.step_count == step and is_sparse(sparse)
    remembered = dict(ema.module.named_parameters())
    assert any(bool(remembered[f"{name}.weight"][~mask].any()) for name, mask in sparse.masks.items())
    sparse.apply_to(ema)
    assert not any(bool(remembered[f"{name}.weight"][~mask].any()) for name, mask in sparse.masks.items())
    with pytest.raises(ConfigError, match="no layer fc2"):
        sparse.apply_to(small(6, 8))


def test_a_compiled_model_trains_as_the_model_itself() -> None:
    plain = begun()
    expected = trained(plain[0], plain[2])
    compiled: Any = torch.compile(small(), backend="eager")
    model, _optimizer, sparse = begun(compiled)
    assert list(sparse.masks) == ["fc1", "fc2"]
    assert all(map(torch.equal, trained(model, sparse).values(), expected.values()))


def test_half_precision_weights_keep_their_kind() -> None:
    model, _optimizer, sparse = begun(small().to(torch.bfloat16), "adamw", grow="momentum")
    x, labels = batch()
    for _ in range(6):
        model.zero_grad()
        cross_entropy(model(x.bfloat16()), labels).backward()
        sparse.step()
    assert is_sparse(sparse) and {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_a_layer_that_took_no_part_in_an_update_step_is_left_alone() -> None:
    """Ranking a gradient of nothing but zeros would grow the first rows."""
    model, _optimizer, sparse = begun(kind="adam")
    before = dict(sparse.masks)
    for _ in range(2):
        model.zero_grad()
        model.fc1(batch()[0]).square().sum().backward()  # type: ignore[operator,union-attr]
        changes = sparse.step()
    assert changes is not None and list(changes) == ["fc1"] and sparse.masks["fc2"] is before["fc2"]


@pytest.mark.parametrize("grow", ["random", "momentum"])
def test_a_layer_that_is_frozen_later_keeps_its_connections(grow: str) -> None:
    """Half of them would be exchanged for zeros that never learn."""
    model, _optimizer, sparse = begun(grow=grow)
    trained(model, sparse, steps=1)
    weight = model.get_parameter("fc1.weight").requires_grad_(False)
    before = weight.clone()
    trained(model, sparse, steps=5)
    assert torch.equal(weight, before) and is_sparse(sparse)
    weight.requires_grad_(True)
    passed(model)
    sparse.step()
    trained(model, sparse, steps=2)
    assert not torch.equal(weight != 0, before != 0)  # it goes on


def test_momentum_growth_may_rank_the_optimizers_own_momentum() -> None:
    for kind in ("momentum", "adamw"):
        model, _optimizer, sparse = begun(kind=kind, preset="snfs", grow="momentum")
        trained(model, sparse)
        assert is_sparse(sparse)
    model, _optimizer, sparse = begun(kind="adagrad", preset="snfs", grow="momentum")
    passed(model)
    with pytest.raises(ConfigError, match="this Adagrad keeps none"):
        sparse.step()


def test_own_rules_work_as_in_a_run() -> None:
    with mock.patch.dict(CHOICES["grow"]), mock.patch.dict(GROWTH):
        @regrow.growth("from-the-end", needs="gradient")
        def from_the_end(layer: Any) -> Tensor:
            """The last empty places."""
            assert layer.gradient.shape == layer.mask.shape
            return torch.arange(layer.mask.numel()).reshape(layer.mask.shape)

        model, _optimizer, sparse = begun(grow="from-the-end", regrow_pruned=False)
        last = {name: int((~mask).flatten().nonzero().max()) for name, mask in sparse.masks.items()}
        trained(model, sparse, 2)
        assert all(bool(sparse.masks[name].flatten()[place]) for name, place in last.items())


class Shell(Optimizer):
    """As Accelerate's: a wrapper without hooks of its own that decides whether the one inside steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.steps = optimizer, True  # on purpose without super().__init__()

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.optimizer.state

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if self.steps:
            self.optimizer.step(closure)


class Lookahead(Optimizer):
    """Slow weights behind those of another optimizer: they remember connections that have been pruned."""

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer.param_groups, {})
        self.optimizer = optimizer
        self.slow = [parameter.detach().clone() for group in self.param_groups for parameter in group["params"]]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.optimizer.step(closure)
        fast = [parameter for group in self.param_groups for parameter in group["params"]]
        with torch.no_grad():
            torch._foreach_lerp_(self.slow, fast, 0.5)
            torch._foreach_copy_(fast, self.slow)


def test_an_optimizer_around_another_one_steps_and_what_it_does_after_that_is_masked_too() -> None:
    words: dict[str, Any] = {"sparsity": 0.5, "grow": "gradient", "update_interval": 2, "total_steps": 20}
    plain = begun()
    expected = trained(plain[0], plain[2])
    model = small()
    shell = Shell(OPTIMIZERS["momentum"](model.parameters()))
    sparse = sparsify(model, shell, **words)
    shell.steps = False
    passed(model)
    assert sparse.step() is None and sparse.step_count == 0
    shell.steps = True
    assert same(trained(model, sparse), expected)

    slow = small()
    around = Lookahead(OPTIMIZERS["momentum"](slow.parameters()))
    behind = sparsify(slow, around, **words)
    trained(slow, behind, 10)
    assert behind.step_count == 10 and is_sparse(behind)


# ---- resume ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["before", "after", "at once"])
@pytest.mark.parametrize("options", [{"grow": "momentum"}, {"grow": "random>gradient"}, {"preset": "rigl"}], ids=short)
def test_a_resumed_training_is_the_undisturbed_one_bit_for_bit(options: dict[str, Any], order: str) -> None:
    whole = begun(kind="adamw", **options)
    for t in range(12):
        passed(whole[0], t)
        whole[2].step()
        if t == 4:
            file = io.BytesIO()
            torch.save({"model": whole[0].state_dict(), "optimizer": whole[1].state_dict(),
                        "sparse": whole[2].state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    if order == "at once":  # model and optimizer have all of theirs already, as in frameworks
        model = small()
        model.load_state_dict(saved["model"])
        model, optimizer, sparse = begun(model, kind="adamw", state=saved["sparse"], **options)
        optimizer.load_state_dict(saved["optimizer"])
    else:
        model, optimizer, sparse = begun(kind="adamw", **options)
        parts = [(sparse, "sparse"), (model, "model"), (optimizer, "optimizer")]
        for part, name in parts if order == "before" else parts[::-1]:
            part.load_state_dict(saved[name])
    for t in range(5, 12):
        passed(model, t)
        sparse.step()
    assert same(model.state_dict(), whole[0].state_dict()) and sparse.step_count == 12
    assert all(torch.equal(sparse.masks[name], mask) for name, mask in whole[2].masks.items())


def test_a_state_that_is_kept_in_memory_does_not_change() -> None:
    model, _optimizer, sparse = begun(grow="momentum")
    trained(model, sparse, 3)
    state = sparse.state_dict()
    kept = copy.deepcopy(state)
    sparse.load_state_dict(state)
    trained(model, sparse, 5)
    assert state["step_count"] == 3 and same(state["topology"], kept["topology"])


def test_a_state_of_another_training_is_refused() -> None:
    state = begun()[2].state_dict()
    with pytest.raises(ConfigError, match="seed=0, and this training has seed=1"):
        begun(seed=1)[2].load_state_dict(state)
    with pytest.raises(ConfigError, match="of another model, as the layer fc1 does not fit"):
        begun(small(6, 9, 4))[2].load_state_dict(state)
    with pytest.raises(ConfigError, match="no state of a sparse training"):
        begun()[2].load_state_dict({"masks": 1})
    begun(total_steps=40)[2].load_state_dict(state)


# ---- mistakes of loops ----------------------------------------------------------------------------------------------


def test_a_loop_that_forgets_the_line_gets_a_sentence_and_no_dense_network() -> None:
    model, optimizer, sparse = begun()
    trained(model, sparse, 1)
    before = trained(model, sparse, 0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for step in (optimizer.step, partial(scaler.step, optimizer)):
        passed(model)
        with pytest.raises(RegrowError, match=r"optimizer\.step\(\) was called.*call step\(\)"):
            step()
    assert same(model.state_dict(), before)
    sparse.step()


def test_an_optimizer_that_replaces_ours_is_noticed_whichever_of_both_steps() -> None:
    model, optimizer, sparse = begun()
    other = torch.optim.Adam(model.parameters())
    passed(model)
    with pytest.raises(RegrowError, match="This Adam steps a model that sparsify was given with another optimizer"):
        other.step()
    torch.optim.Adam(small().parameters()).step()  # somebody else's model
    del optimizer
    with pytest.raises(RegrowError, match="optimizer that sparsify was given is gone"):
        sparse.step()
    state = sparse.state_dict()
    sparse.remove()
    again = sparsify(model, other, sparsity=0.5, grow="gradient", update_interval=2, total_steps=20)
    again.load_state_dict(state)
    passed(model)
    again.step()


def test_a_second_call_is_refused_until_the_first_has_ended() -> None:
    model, optimizer, sparse = begun()
    with pytest.raises(ConfigError, match="sparse already"):
        sparsify(model, torch.optim.SGD(model.parameters()), sparsity=0.5, update_interval=2, total_steps=20)
    both = small()
    optimizer.add_param_group({"params": list(both.parameters())})
    with pytest.raises(ConfigError, match="steps another model"):
        sparsify(both, optimizer, sparsity=0.5, update_interval=2, total_steps=20)
    sparse.remove()
    passed(model)
    optimizer.step()
    assert not is_sparse(sparse)
    with pytest.raises(RegrowError, match="ended with remove"):
        sparse.step()
    begun(model)


def test_a_copy_of_the_model_is_free() -> None:
    model, _optimizer, sparse = begun()
    twin, _its, other = begun(copy.deepcopy(model))
    assert same(trained(model, sparse), trained(twin, other))


def test_a_model_that_was_moved_or_changed_is_noticed() -> None:
    model, _optimizer, sparse = begun()
    model.fc1 = nn.Linear(6, 8)  # type: ignore[assignment]
    passed(model)
    with pytest.raises(RegrowError, match="fc1 has been replaced"):
        sparse.step()
    moved = begun()
    with mock.patch.dict(moved[2]._topology.masks, {"fc1": torch.ones(8, 6, device="meta")}):
        passed(moved[0])
        with pytest.raises(RegrowError, match="has been moved to cpu"):
            moved[2].step()


def test_a_model_of_another_precision_is_noticed() -> None:
    model, _optimizer, sparse = begun(kind="sgd", grow="momentum")
    model.double()
    cross_entropy(model(batch()[0].double()), batch()[1]).backward()
    with pytest.raises(RegrowError, match="fc1 has become torch.float64 .* call sparsify after"):
        sparse.step()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_sparse_training_is_no_part_of_a_copy(copied: Callable[[Any], Any]) -> None:
    """As when it is an attribute of the model that an average of weights copies."""
    model, _optimizer, sparse = begun()
    with pytest.raises(RegrowError, match="keep it outside of the model"):
        copied(sparse)
    with pytest.raises(ConfigError, match="not a OrderedDict"):
        sparse.apply_to(model.state_dict())  # type: ignore[arg-type]


def test_an_optimizer_that_cannot_step_the_model_sparsely_is_refused() -> None:
    model = small()
    words: dict[str, Any] = {"sparsity": 0.5, "update_interval": 2, "total_steps": 20}
    with pytest.raises(ConfigError, match="LBFGS keeps one history"):
        sparsify(model, torch.optim.LBFGS(model.parameters()), **words)
    with pytest.raises(ConfigError, match="does not have the weight of fc2"):
        sparsify(model, torch.optim.SGD([model.fc1.weight]), **words)  # type: ignore[union-attr,list-item]
    optimizer = torch.optim.Adam(model.parameters())
    passed(model)
    optimizer.step()
    optimizer.state[model.fc1.weight]["exp_avg"] = torch.ones(8, 6, device="meta")  # type: ignore[index,union-attr]
    with pytest.raises(ConfigError, match="fc1 is on cpu, and what the optimizer remembers of it on meta"):
        sparsify(model, optimizer, **words)


# ---- several processes ----------------------------------------------------------------------------------------------

RANKS = '''
import sys, torch, torch.distributed as dist, regrow
from torch import nn
from torch.nn.functional import cross_entropy
rank, file = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
for kind in ("together", "apart", "alone", "seeds"):
    torch.manual_seed(rank if kind == "together" else 0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    net = nn.parallel.DistributedDataParallel(model) if kind == "together" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    chance = torch.Generator().manual_seed(rank)
    try:
        sparse = regrow.sparsify(net, optimizer, sparsity=0.5, grow="momentum", update_interval=2, total_steps=20,
                                 seed=rank if kind == "seeds" else 0, same_on_ranks=kind != "alone")
        for _ in range(20):
            optimizer.zero_grad()
            cross_entropy(net(torch.randn(8, 6, generator=chance)), torch.arange(8) % 4).backward()
            sparse.step()
        print(sparse.counts, [mask.int().tolist() for mask in sparse.masks.values()])
    except regrow.RegrowError as error:
        print(error)
'''


@pytest.mark.slow
def test_two_processes_have_the_same_masks_or_an_error(tmp_path: Path) -> None:
    """Other images on each rank: averaged gradients give both the same masks, others are noticed at an update."""
    both = [subprocess.Popen([sys.executable, "-c", RANKS, str(rank), str(tmp_path / "meeting")], text=True,
                             stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}) for rank in (0, 1)]
    first, second = (process.communicate(timeout=300)[0].splitlines() for process in both)
    together, apart, alone, seeds = zip(first, second, strict=True)
    assert together[0] == together[1] and together[0].startswith("{'0': ")
    assert all("different masks after step 2:" in said for said in apart)
    assert alone[0] != alone[1] and all(said.startswith("{'0': ") for said in alone)
    assert all("different models, settings or seeds:" in said for said in seeds)


def test_the_public_name_is_the_function() -> None:
    assert regrow.sparsify is sparsification.sparsify and "sparsify" in regrow.__all__
