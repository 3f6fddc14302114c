"""The training loop against a second implementation written out by hand, and what it must never change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from regrow import train
from regrow.config import PRESETS, RunConfig
from regrow.data import Dataset, ImageSet, batches, load, normalise
from regrow.determinism import generator
from regrow.engines import dense as dense_engine
from regrow.errors import StoreError
from regrow.models import maskable
from regrow.record import Record

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)
STATIC = {"prune": "none", "grow": "none"}
# 20 steps in double precision with updates after steps 3, 6, ..., 18, and both drops of the learning rate.
CHECK = TINY.but(epochs=5, update_interval=3, dtype="float64", sparsity=0.8)


def images(limit: int = 256, evaluation: int | None = None, image_format: str = "native") -> Dataset:
    """The embedded data set; `evaluation` cuts validation and test down, as networks with many layers are slow."""
    dataset = load("fashion_mnist_small", image_format=image_format, train_limit=limit)
    if evaluation is None:
        return dataset
    return replace(dataset, **{part: ImageSet(getattr(dataset, part).images[:evaluation],
                                              getattr(dataset, part).labels[:evaluation])
                               for part in ("validation", "test")})


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return images()


def trained(config: RunConfig, dataset: Dataset, **options: Any) -> tuple[train.Run, Record]:
    run = train.start(config, dataset)
    return run, train.finish(run, dataset, **options)


# ---- a second implementation ----


@dataclass
class Reference:
    """What the plain loop below ends with."""

    weights: dict[str, torch.Tensor]
    masks: dict[str, np.ndarray]
    losses: list[float] = field(default_factory=list)  # of every step
    history: list[dict[str, np.ndarray]] = field(default_factory=list)  # masks after every update
    test_accuracy: float = math.nan


def rows_chosen(scores: np.ndarray, among: np.ndarray, n: int, *, highest: bool) -> np.ndarray:
    """A boolean array of n places: a full sort, equal scores by position."""
    places = np.flatnonzero(among)
    values = scores.ravel()[places]
    order = np.argsort(-values if highest else values, kind="stable")
    chosen = np.zeros(among.size, bool)
    chosen[places[order[:n]]] = True
    return chosen.reshape(among.shape)


def plain_loop(config: RunConfig, dataset: Dataset) -> Reference:
    """Masked SGD with prune-and-regrow updates, with nothing shared but batches, initial values and random numbers."""
    start = train.start(config, dataset)
    names = list(maskable(start.engine.model))
    weights = {name: p.detach().clone() for name, p in start.engine.model.named_parameters()}
    masks = {name.removesuffix(".weight"): start.engine.topology.masks[name.removesuffix(".weight")].numpy().copy()
             for name in weights if name.endswith(".weight")}
    buffers = {name: torch.zeros_like(w) for name, w in weights.items()}
    averages = {name: np.zeros(masks[name].shape) for name in names}
    result = Reference(weights, masks)
    per_epoch = math.ceil(config.train_limit / config.batch_size)
    total = per_epoch * config.epochs
    last_update = config.update_until * total
    step = 0

    def forward(x: torch.Tensor, effective: dict[str, torch.Tensor]) -> torch.Tensor:
        x = x.reshape(len(x), -1)
        for depth, name in enumerate(names, start=1):
            x = x @ effective[name].T + weights[f"{name}.bias"]
            if depth < len(names):
                x = torch.clamp(x, min=0)
        return x

    for epoch in range(config.epochs):
        lr = config.lr * (1 if epoch < 0.5 * config.epochs else 0.1 if epoch < 0.75 * config.epochs else 0.01)
        for x, labels in batches(dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                                 dtype=torch.float64):
            step += 1
            effective = {n: (weights[f"{n}.weight"] * torch.from_numpy(masks[n])).requires_grad_() for n in names}
            for name in names:
                weights[f"{name}.bias"].requires_grad_()
            logits = forward(x, effective)
            loss = (torch.logsumexp(logits, 1) - logits[torch.arange(len(x)), labels]).mean()
            leaves = [*effective.values(), *(weights[f"{n}.bias"] for n in names)]
            gradients = dict(zip([*(f"{n}.weight" for n in names), *(f"{n}.bias" for n in names)],
                                 torch.autograd.grad(loss, leaves), strict=True))
            result.losses.append(loss.item())
            dense = {name: gradients[f"{name}.weight"].numpy().copy() for name in names}
            for name in names:
                averages[name] = config.growth_beta * averages[name] + (1 - config.growth_beta) * dense[name]
            updating = config.prune != "none" and step % config.update_interval == 0 and step <= last_update + 1e-9
            with torch.no_grad():
                if not (updating and config.update_order == "instead_of_step"):
                    for name, w in weights.items():
                        mask = torch.from_numpy(masks[name.removesuffix(".weight")]) if "weight" in name else 1
                        g = gradients[name] * (1 if config.growth_momentum == "sgd_buffer" else mask)
                        g = g + config.weight_decay * w.detach() * mask
                        buffers[name] = config.momentum * buffers[name] + g
                        weights[name] = w.detach() - lr * (g + config.momentum * buffers[name])
                if updating:
                    rate = config.prune_rate * (1 + math.cos(math.pi * step / last_update)) / 2
                    for index, name in enumerate(names):
                        update_layer(config, rate, name, step * 1000 + index, weights, buffers, masks,
                                     dense[name], averages[name])
                    result.history.append({name: mask.copy() for name, mask in masks.items()})
    with torch.no_grad():
        logits = forward(normalise(dataset.test.images, dataset, torch.float64),
                         {n: weights[f"{n}.weight"] * torch.from_numpy(masks[n]) for n in names})
    result.test_accuracy = 100 * np.mean(logits.numpy().argmax(1) == dataset.test.labels.numpy())
    return result


def update_layer(config: RunConfig, rate: float, name: str, counter: int, weights: dict[str, torch.Tensor],
                 buffers: dict[str, torch.Tensor], masks: dict[str, np.ndarray], dense: np.ndarray,
                 average: np.ndarray) -> None:
    """Prune by magnitude and grow, in numpy, in place."""
    weight, buffer, mask = weights[f"{name}.weight"].numpy(), buffers[f"{name}.weight"].numpy(), masks[name]
    if mask.all():
        return
    n = round(rate * mask.sum())
    if not config.regrow_pruned:
        n = min(n, int((~mask).sum()))
    pruned = rows_chosen(np.abs(weight), mask, n, highest=False)
    free = ~mask | pruned if config.regrow_pruned else ~mask
    if config.grow == "random":
        scores = torch.rand(mask.shape, generator=generator("growth", config.seed, counter)).numpy()
    elif config.grow == "gradient":
        scores = np.abs(dense)
    else:
        scores = np.abs(buffer if config.growth_momentum == "sgd_buffer" else average)
    grown = rows_chosen(scores, free, n, highest=True)
    weight[~mask] = 0
    weight[(pruned & ~grown) | (grown if config.regrown_weight == "zero" else grown & ~pruned)] = 0
    if config.grown_buffer == "zero":
        buffer[grown] = 0
    mask[...] = (mask & ~pruned) | grown
    if config.grown_buffer == "zero" and config.growth_momentum == "ema":
        buffer[~mask] = 0


OPTIONS: dict[str, dict[str, Any]] = {
    "static": STATIC,
    "random": {"grow": "random"},
    "gradient": {"grow": "gradient"},
    "momentum": {"grow": "momentum"},
    "dense last layers": {"grow": "gradient", "sparsity": 0.5},
    "beta": {"grow": "momentum", "growth_beta": 0.5},
    "rigl": PRESETS["rigl"],
    "instead of step": {"grow": "gradient", "update_order": "instead_of_step"},
    "instead of step, momentum": {"grow": "momentum", "update_order": "instead_of_step"},
    "sgd buffer": {"grow": "momentum", "growth_momentum": "sgd_buffer"},
    "keep regrown weights": {"grow": "gradient", "regrown_weight": "keep"},
    "keep buffers": {"grow": "random", "grown_buffer": "keep"},
    "no regrowth": {"grow": "random", "regrow_pruned": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_twenty_steps_equal_a_plain_loop(options, dataset):
    config = CHECK.but(**options)
    run, record = trained(config, dataset)
    expected = plain_loop(config, dataset)
    assert run.step == 20 and len(expected.history) == len(record.steps) - 1
    assert len(record.steps) == (1 if config.prune == "none" else 1 + (15 if config.update_until < 1 else 20) // 3)
    for name, parameter in run.engine.model.named_parameters():
        mask = torch.from_numpy(expected.masks[name.removesuffix(".weight")]) if name.endswith(".weight") else 1
        torch.testing.assert_close(parameter.detach(), expected.weights[name].detach() * mask, rtol=1e-9, atol=1e-9)
    for row, masks in enumerate(expected.history, start=1):
        for name, mask in masks.items():
            assert np.array_equal(record.in_degree[name][row], mask.sum(1))
            assert np.array_equal(record.out_degree[name][row], mask.sum(0))
    for name, mask in expected.masks.items():
        assert np.array_equal(run.engine.topology.masks[name].numpy(), mask)
        ever = np.logical_or.reduce([record.masks(0)[name], *(m[name] for m in expected.history)])
        assert record.explored[name][-1] == ever.sum()
    np.testing.assert_allclose(record.train_loss, np.reshape(expected.losses, (5, 4)).mean(1), rtol=1e-6)
    assert record.test_accuracy[-1] == pytest.approx(expected.test_accuracy, abs=1e-9)
    np.testing.assert_allclose(record.learning_rate, [0.1, 0.1, 0.1, 0.01, 0.001], rtol=1e-12)


def test_the_plain_loop_tells_the_options_apart(dataset):
    """Otherwise agreement with it would mean nothing."""
    ends = {}
    for name, options in OPTIONS.items():
        reference = plain_loop(CHECK.but(**options), dataset)
        ends[name] = b"".join(reference.weights[f"{n}.weight"].detach().mul(torch.from_numpy(m)).numpy().tobytes()
                              for n, m in reference.masks.items())
    assert len(set(ends.values())) == len(OPTIONS)


def test_loss_of_a_double_precision_run_is_double_precision(dataset):
    _, record = trained(CHECK, dataset)
    np.testing.assert_allclose(record.train_loss, np.reshape(plain_loop(CHECK, dataset).losses, (5, 4)).mean(1),
                               rtol=1e-12)


# ---- counts ----


@pytest.mark.parametrize("prune", ["magnitude", "set", "set_legacy", "random"])
@pytest.mark.parametrize("grow", ["random", "gradient", "momentum", "random>gradient"])
def test_connections_never_change(prune, grow, dataset):
    config = TINY.but(prune=prune, grow=grow)
    run, record = trained(config, dataset)
    assert record.steps.tolist() == [0, 2, 4, 6, 8]
    size = sum(math.prod(shape) for shape in record.shapes.values())
    assert sum(record.connections.values()) == round(0.05 * size)
    for name, count in record.connections.items():
        assert (record.in_degree[name].sum(1) == count).all() and (record.out_degree[name].sum(1) == count).all()
        assert all(record.masks(i)[name].sum() == count for i in range(6))
        assert record.explored[name][0] == count and (np.diff(record.explored[name]) >= 0).all()
        last = record.masks(5)[name]
        assert np.array_equal(last.sum(1), record.in_degree[name][-1])
        assert np.array_equal(last.sum(0), record.out_degree[name][-1])
        weight = run.engine.topology.weights[name].detach().numpy()
        assert not weight[~last].any(), "weights without a connection are 0"


def test_prune_rate_is_recorded_and_ends_at_zero(dataset):
    _, record = trained(TINY, dataset)
    assert math.isnan(record.prune_rates[0])
    np.testing.assert_allclose(record.prune_rates[1:], [0.25 * (1 + math.cos(math.pi * t / 8)) for t in (2, 4, 6, 8)],
                               atol=1e-15)
    assert all(np.array_equal(record.in_degree[n][-1], record.in_degree[n][-2]) for n in record.layers), "p = 0"


@pytest.mark.parametrize("kind", [{}, STATIC, PRESETS["dense"]], ids=["dynamic", "static", "dense"])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_every_run_has_six_moments_from_start_to_end(kind, steps, dataset):
    config = TINY.but(**kind) if steps == 8 else TINY.but(**kind, epochs=1, batch_size=256 // steps)
    _, record = trained(config, dataset)
    assert len(record.moments) == 6 and all(len(packed) == 6 for packed in record.packed_masks.values())
    assert record.moments[0].step == 0 and record.moments[5].step == steps
    assert (np.diff(record.moment_steps) >= 0).all()


def test_static_never_changes_and_dense_has_everything(dataset):
    run, static = trained(TINY.but(**STATIC), dataset)
    assert static.steps.tolist() == [0]
    for name, mask in static.masks(0).items():
        assert np.array_equal(run.engine.topology.masks[name].numpy(), mask)
        assert np.array_equal(static.in_degree[name][-1], mask.sum(1))
        assert not run.engine.topology.weights[name].detach().numpy()[~mask].any()
    dense_run, dense = trained(TINY.but(**PRESETS["dense"]), dataset)
    assert all(mask.all() for i in (0, -1) for mask in dense.masks(i).values())
    assert dense.connections == {"fc1": 784 * 20, "fc2": 200, "fc3": 100}
    assert dense.total_weights == 784 * 20 + 200 + 100
    assert all(bool((w != 0).any()) for w in dense_run.engine.topology.weights.values())


def test_loss_that_is_not_a_number_gives_a_record(dataset):
    for grow in ("random", "gradient", "momentum"):
        _, record = trained(TINY.but(lr=1e6, grow=grow), dataset)
        assert record.diverged and record.collapsed
        assert len(record.train_loss) == 2 and len(record.steps) == 5
        for name, count in record.connections.items():
            assert (record.in_degree[name].sum(1) == count).all()


# ---- chance ----


@pytest.mark.parametrize("kind", [{"grow": "random"}, {"grow": "momentum"}, {"prune": "random"}, STATIC])
def test_same_config_same_bits_other_seed_other_bits(kind, dataset):
    config = TINY.but(**kind)
    first = trained(config, dataset)[1]
    torch.rand(7)  # the global state of chance does not matter
    assert trained(config, dataset)[1].result_sha256 == first.result_sha256
    assert trained(config.but(seed=1), dataset)[1].result_sha256 != first.result_sha256


def test_strategies_of_one_seed_share_wiring_weights_and_data_order(dataset, monkeypatch):
    seen: list[torch.Tensor] = []

    def spy(*args: Any, **options: Any):
        for x, labels in batches(*args, **options):
            seen.append(x.flatten(1).sum(1))
            yield x, labels

    monkeypatch.setattr(dense_engine, "batches", spy)
    masks, weights, orders = [], [], []
    for kind in ({"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"prune": "set", "grow": "random"},
                 STATIC):
        run = train.start(TINY.but(**kind), dataset)
        weights.append(torch.cat([p.detach().flatten() for p in run.engine.model.parameters()]))
        masks.append(train.finish(run, dataset).masks(0))
        orders.append(torch.cat(seen))
        seen.clear()
    assert all(torch.equal(orders[0], other) for other in orders[1:]) and len(orders[0]) == 512
    assert all(torch.equal(weights[0], other) for other in weights[1:])
    assert all(np.array_equal(masks[0][n], other[n]) for other in masks[1:] for n in other)
    assert not torch.equal(orders[0][:256], orders[0][256:]), "every epoch has an order of its own"


# ---- update steps ----


def states(config: RunConfig, dataset: Dataset) -> tuple[list[dict[str, torch.Tensor]], train.Run]:
    """Copies of weights, buffers and masks after every step, index = step (0 is before training)."""
    run = train.start(config, dataset)
    kept: list[dict[str, torch.Tensor]] = []

    def keep(run: train.Run) -> None:
        kept.append({f"weight/{n}": p.detach().clone() for n, p in run.engine.model.named_parameters()}
                    | {f"mask/{n}": m.clone() for n, m in run.engine.topology.masks.items()}
                    | {f"buffer/{n}": run.engine.optimizer.state[p]["momentum_buffer"].clone()
                       for n, p in run.engine.model.named_parameters() if run.engine.optimizer.state[p]})

    keep(run)
    train.finish(run, dataset, save=keep)
    return kept, run


def test_instead_of_step_skips_the_optimizer(dataset):
    kept, _ = states(TINY.but(update_order="instead_of_step", update_interval=4), dataset)
    before, after, later = kept[3], kept[4], kept[5]
    for name in ("fc1", "fc2", "fc3"):
        assert torch.equal(before[f"weight/{name}.bias"], after[f"weight/{name}.bias"])
        stayed = before[f"mask/{name}"] & after[f"mask/{name}"] & (after[f"weight/{name}.weight"] != 0)
        assert stayed.any()
        for what in ("weight", "buffer"):
            old, new = before[f"{what}/{name}.weight"], after[f"{what}/{name}.weight"]
            assert torch.equal(old[stayed], new[stayed])
        assert not torch.equal(after[f"weight/{name}.bias"], later[f"weight/{name}.bias"])


def test_growth_sees_the_gradient_of_the_batch_before_its_step(dataset):
    """The weights of step 3 on batch 4 decide where step 4 grows; the optimizer must not touch that gradient."""
    config = TINY.but(update_interval=4, regrow_pruned=False, dtype="float64")
    kept, _ = states(config, dataset)
    x, labels = list(batches(dataset, batch_size=64, seed=0, epoch=0, dtype=torch.float64))[3]
    model = train.start(config, dataset).engine.model
    model.load_state_dict({n.removeprefix("weight/"): t for n, t in kept[3].items() if n.startswith("weight/")})
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    for name, weight in maskable(model).items():
        old, new = kept[3][f"mask/{name}"], kept[4][f"mask/{name}"]
        grown, empty = new & ~old, ~new & ~old
        assert grown.any()
        score = weight.grad.abs()
        assert score[grown].min() >= score[empty].max()
        assert not kept[4][f"weight/{name}.weight"][grown].any(), "grown connections start at 0"
        assert not kept[4][f"buffer/{name}.weight"][grown].any(), "and without momentum"


def test_grown_connections_learn_from_the_next_step_on(dataset):
    kept, _ = states(TINY.but(update_interval=4), dataset)
    grown = kept[4]["mask/fc1"] & ~kept[3]["mask/fc1"]
    assert (kept[5]["weight/fc1.weight"][grown] != 0).float().mean() > 0.5


def test_sgd_buffer_ranks_a_dense_buffer_and_ema_keeps_a_sparse_one(dataset):
    for kind, dense in (("sgd_buffer", True), ("ema", False)):
        kept, run = states(TINY.but(grow="momentum", growth_momentum=kind, update_interval=4), dataset)
        empty = ~kept[3]["mask/fc1"]
        assert bool(kept[3]["buffer/fc1.weight"][empty].any()) is dense
        assert bool(run.engine.topology.averages) is not dense
        assert not any(state["weight/fc1.weight"][~state["mask/fc1"]].any() for state in kept)


def test_sgd_buffer_before_the_first_optimizer_step(dataset):
    """The update at step 1 replaces the step, so there is no buffer yet to rank."""
    config = TINY.but(grow="momentum", growth_momentum="sgd_buffer", update_order="instead_of_step", update_interval=1)
    _, record = trained(config, dataset)
    assert all((record.in_degree[n].sum(1) == count).all() for n, count in record.connections.items())


def test_keep_options_keep(dataset):
    kept, _ = states(TINY.but(grow="random", grown_buffer="keep", update_interval=4, sparsity=0.5), dataset)
    zeroed, _ = states(TINY.but(grow="random", update_interval=4, sparsity=0.5), dataset)
    regrown = kept[3]["mask/fc1"] & kept[4]["mask/fc1"] & (kept[4]["weight/fc1.weight"] == 0)
    assert regrown.any() and torch.equal(kept[4]["mask/fc1"], zeroed[4]["mask/fc1"])
    assert kept[4]["buffer/fc1.weight"][regrown].any() and not zeroed[4]["buffer/fc1.weight"][regrown].any()
    weights, _ = states(TINY.but(grow="random", regrown_weight="keep", update_interval=4, sparsity=0.5), dataset)
    assert torch.equal(weights[4]["mask/fc1"], zeroed[4]["mask/fc1"])
    assert weights[4]["weight/fc1.weight"][regrown].any(), "regrown at once: the old value"
    new = kept[4]["mask/fc1"] & ~kept[3]["mask/fc1"]
    assert new.any() and not weights[4]["weight/fc1.weight"][new].any(), "new ones start at 0 all the same"


@pytest.mark.parametrize("options", [{}, {"growth_momentum": "sgd_buffer"}], ids=["ema", "sgd_buffer"])
@pytest.mark.parametrize(("first", "second"), [("random", "gradient"), ("gradient", "momentum"),
                                               ("momentum", "random")])
def test_switch_is_the_first_strategy_until_then(first, second, options, dataset):
    config = TINY.but(epochs=4, grow=f"{first}>{second}", **options)  # 16 steps, updates after 2, 4, ..., 16
    switched, alone = trained(config, dataset)[1], trained(config.but(grow=first), dataset)[1]
    same = [all(np.array_equal(switched.in_degree[n][row], alone.in_degree[n][row])
                and np.array_equal(switched.out_degree[n][row], alone.out_degree[n][row]) for n in switched.layers)
            for row in range(len(switched.steps))]
    assert switched.steps[5] == 10 and same[:5] == [True] * 5 and not same[5]


def test_nothing_is_rewired_after_update_until(dataset):
    _, record = trained(TINY.but(epochs=4, update_until=0.5), dataset)
    assert record.steps.tolist() == [0, 2, 4, 6, 8]
    assert all(np.array_equal(record.masks(3)[n], record.masks(5)[n]) for n in record.layers)
    assert record.prune_rates[-1] == pytest.approx(0)


def test_last_batch_may_be_smaller_and_loss_is_the_mean_of_batches(dataset):
    _, record = trained(TINY.but(batch_size=100), dataset)
    assert record.steps_per_epoch == 3 and record.steps.tolist() == [0, 2, 4, 6]
    assert record.epochs_at.tolist() == pytest.approx([0, 2 / 3, 4 / 3, 2])


def test_progress_and_save_are_called_after_every_step(dataset):
    steps: list[int] = []
    saved: list[int] = []
    trained(TINY, dataset, progress=steps.append, save=lambda run: saved.append(run.step))
    assert steps == saved == list(range(1, 9))


def test_a_short_run_learns(dataset):
    """Well above the 10 % of chance: the parts fit together."""
    config = TINY.but(hidden=(100, 50), train_limit=1024, epochs=8, update_interval=16, lr=0.05)
    record = trained(config, images(1024))[1]
    assert record.test_accuracy[-1] > 50 and record.train_loss[-1] < record.train_loss[0]
    assert not record.diverged and not record.collapsed


# ---- the paper's networks ----

NETWORKS = [  # model, stem, maskable weights with 10 classes (facts of Table 5 and Section 5.1), images, batch
    ("mlp", "imagenet", 3_675_136, 64, 32),
    ("convnet", "imagenet", 94_304, 64, 32),
    ("resnet56", "imagenet", 851_504, 32, 16),
    ("resnet50-cifar", "imagenet", 754_736, 32, 16),
    ("vgg16", "imagenet", 14_715_584, 16, 8),
    ("resnet50", "imagenet", 25_502_912 - 990 * 2048, 8, 4),
    ("resnet50", "cifar", 25_502_912 - 990 * 2048 - 64 * 3 * (49 - 9), 4, 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "stem", "size", "limit", "batch"), NETWORKS,
                         ids=[f"{network[0]}/{network[1]}" for network in NETWORKS])
def test_every_network_of_the_paper_trains_with_exact_counts(model, stem, size, limit, batch):
    config = RunConfig(model=model, stem=stem, train_limit=limit, batch_size=batch, epochs=1, update_interval=1,
                       grow="gradient")
    small = images(limit, evaluation=4, image_format="rgb32")
    run, record = trained(config, small)
    assert record.steps.tolist() == [0, 1, 2] and np.isfinite(record.train_loss).all()
    assert sum(math.prod(shape) for shape in record.shapes.values()) == size
    assert sum(record.connections.values()) == round(0.05 * size)
    for name, count in record.connections.items():
        for degrees in (record.in_degree[name], record.out_degree[name]):
            assert (degrees.sum(1, dtype=np.int64) == count).all() and (degrees >= 0).all()
        mask = run.engine.topology.masks[name]
        assert mask.sum() == count and not bool(run.engine.topology.weights[name].detach()[~mask].any())
    moved = [not np.array_equal(record.masks(0)[name], record.masks(5)[name]) for name in record.layers]
    assert any(moved), "the topology was rewired"
    if model == "mlp":
        assert record.connections == {"fc1": 129_918, "fc2": 48_719, "fc3": 5_120}


# ---- what is measured on which images ----


def unlabelled(part: ImageSet) -> ImageSet:
    """The same images with labels of no class: every answer is wrong."""
    return ImageSet(part.images, torch.full_like(part.labels, -1))


@pytest.mark.parametrize("engine", ["dense", "sparse", "batched"])
@pytest.mark.parametrize("part", ["validation", "test"])
def test_accuracies_are_measured_on_the_images_they_are_named_after(engine, part, dataset):
    wrong = replace(dataset, **{part: unlabelled(getattr(dataset, part))})
    if engine == "batched":
        record, _ = train.finish_together(train.start_together([TINY, TINY.but(seed=1)], wrong), wrong)
    else:
        record = train.finish(train.start(TINY, wrong, engine=engine), wrong)
    found = {"validation": record.val_accuracy, "test": record.test_accuracy}
    assert (found.pop(part) == 0).all() and (*found.values(),)[0].min() > 0


@pytest.mark.parametrize("model", ["resnet56", "vgg16"])
def test_looking_at_images_teaches_a_network_nothing(model):
    """With batch normalisation: an answer does not depend on its neighbours, and nothing stays behind."""
    few = images(4, evaluation=6, image_format="rgb32")
    engine = train.start(RunConfig(model=model, train_limit=4, batch_size=4, epochs=1), few).engine
    engine.backward(*next(engine.batches(0, start=0)), step=1)
    with torch.no_grad():  # answers that depend on the image, as an untrained network's hardly do
        logits = engine.model.eval()(normalise(few.test.images, few))
        engine.model.train()
    asked = ImageSet(few.test.images, logits.argmax(1))
    before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    assert engine.accuracy(asked) == 100
    engine.model.train()
    assert [engine.accuracy(ImageSet(asked.images[i:i + 1], asked.labels[i:i + 1])) for i in range(6)] == [100] * 6
    assert all(torch.equal(tensor, before[name]) for name, tensor in engine.model.state_dict().items())


def test_a_resumed_run_has_taken_the_seconds_of_both_parts(dataset, tmp_path):
    path = tmp_path / "checkpoint.npz"
    first = train.start(TINY, dataset)
    first.seconds = 1000.0
    train.save_checkpoint(first, path, "dense")
    again = train.start(TINY, dataset)
    train.restore_checkpoint(again, path, "dense")
    assert 1000 < train.finish(again, dataset).provenance["seconds"] < 1100


def test_a_checkpoint_names_the_engine_it_is_of(dataset, tmp_path):
    """Also where the networks are laid out alike."""
    path = tmp_path / "checkpoint.npz"
    train.save_checkpoint(train.start(TINY, dataset), path, "dense")
    with pytest.raises(StoreError, match="not a checkpoint of this run with the compiled engine"):
        train.restore_checkpoint(train.start(TINY, dataset), path, "compiled")
    with pytest.raises(StoreError, match="not a checkpoint of this run"):
        train.restore_checkpoint(train.start(TINY.but(seed=1), dataset), path, "dense")
