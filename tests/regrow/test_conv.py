"""The sparse engine for convolutions: every kernel against plain loops, whole runs against the dense engine."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import interrupted_everywhere, noise

from regrow import data, train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines import chosen_engine
from regrow.engines.conv.gradients import RunningAverage, Wanted, add_dense_gradient
from regrow.engines.conv.kernels import (
    add_gradients,
    add_gradients_of_pooled,
    convolve,
    convolve_and_pool,
)
from regrow.engines.conv.layer import SparseConv
from regrow.engines.conv.means import average, spread
from regrow.engines.conv.network import Plan, SparseConvNet
from regrow.engines.conv.passes import cross_entropy
from regrow.engines.conv.vectors import LANES
from regrow.engines.kernels import aligned

SMALL = RunConfig(model="convnet", dtype="float64", train_limit=64, batch_size=11, epochs=4, update_interval=7,
                  sparsity=0.9, lr=0.05)


# ---- kernels ----


def drawn(seed: int) -> tuple[np.random.Generator, Plan, SparseConv, np.ndarray, np.ndarray]:
    """A layer of a random shape and density, its inputs [8, C, H, W] and the map that holds them."""
    rng = np.random.default_rng(seed)
    kernel = int(rng.choice([1, 3]))
    border = int(rng.integers(0, 2)) if kernel == 3 else 0
    height, width = (int(rng.integers(kernel, 12)) for _ in range(2))
    plan = Plan(int(rng.integers(1, 5)), int(rng.integers(1, 6)), height, width, height + 2 * border - kernel + 1,
                width + 2 * border - kernel + 1, kernel, border)
    mask = rng.random((plan.outputs, plan.channels, kernel, kernel)) < rng.choice([0.0, 0.1, 0.5, 1.0])
    weight = rng.normal(size=mask.shape)
    layer = SparseConv(*map(torch.from_numpy, (weight, rng.normal(size=plan.outputs), mask)), plan.inputs()[2],
                       plan.deltas()[2])
    x, place = rng.normal(size=(LANES, plan.channels, height, width)), aligned(plan.inputs(), float)
    place[border:border + height, :, border:border + width] = x.transpose(2, 1, 3, 0)
    return rng, plan, layer, x, place


def by_loops(layer: SparseConv, x: np.ndarray, plan: Plan) -> np.ndarray:
    """Outputs [8, outputs, H, W], connection by connection."""
    y = np.tile(layer.bias[:, None, None], (LANES, 1, plan.out_height, plan.out_width))
    for position, weight in zip(layer.positions, layer.weight, strict=True):
        o, c, i, j = np.unravel_index(position, layer.kernel)
        for h, w in product(range(plan.out_height), range(plan.out_width)):
            at, left = h + i - plan.border, w + j - plan.border
            if 0 <= at < plan.height and 0 <= left < plan.width:
                y[:, o, h, w] += weight * x[:, c, at, left]
    return y


def gradients_by_loops(layer: SparseConv, x: np.ndarray, dy: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of every weight, connected or not, and that of the inputs."""
    dense, dx = layer.dense(layer.weight).numpy(), np.zeros_like(x)
    gradient = np.zeros(layer.kernel)
    for o, c, i, j in np.ndindex(*layer.kernel):
        for h, w in product(range(plan.out_height), range(plan.out_width)):
            at, left = h + i - plan.border, w + j - plan.border
            if 0 <= at < plan.height and 0 <= left < plan.width:
                gradient[o, c, i, j] += (dy[:, o, h, w] * x[:, c, at, left]).sum()
                dx[:, c, at, left] += dense[o, c, i, j] * dy[:, o, h, w]
    return gradient, dx


def images_first(part: np.ndarray) -> np.ndarray:
    return part.transpose(3, 1, 0, 2)


@pytest.mark.parametrize("seed", range(30))
def test_convolution_and_its_gradients_against_loops(seed: int) -> None:
    """Random shapes, with and without a border, densities 0 to 1, sizes that blocks do not divide."""
    rng, plan, layer, x, place = drawn(seed)
    held = layer.begin()
    y = aligned(plan.whole(plan.out_height, plan.out_width, plan.outputs), float)
    convolve(held.forward, held.bias, place, plan.out_height, plan.out_width, y, 0)
    np.testing.assert_allclose(images_first(y[:plan.out_height, :, :plan.out_width]), by_loops(layer, x, plan),
                               atol=1e-12)
    dy = rng.normal(size=(LANES, plan.outputs, plan.out_height, plan.out_width))
    border, deltas = plan.delta_border, aligned(plan.deltas(), float)
    deltas[border:border + plan.out_height, :, border:border + plan.out_width] = dy.transpose(2, 1, 3, 0)
    gradient, dx = gradients_by_loops(layer, x, dy, plan)
    add_gradients(held.summed, held.sums, held.bias_sums, place, deltas, border, plan.out_height, plan.out_width)
    layer.finish()
    np.testing.assert_allclose(layer.gradient, gradient.reshape(-1)[layer.positions], atol=1e-12)
    np.testing.assert_allclose(layer.bias_gradient, dy.sum((0, 2, 3)), atol=1e-12)
    back = aligned(plan.whole(plan.height, plan.width, plan.channels), float)
    convolve(held.backward, held.nothing, deltas, plan.height, plan.width, back, 0)
    np.testing.assert_allclose(images_first(back[:plan.height, :, :plan.width]), dx, atol=1e-12)


def pooled(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ReLU and 2 x 2 max-pooling of [8, C, H, W] by loops, and for a pooled gradient of 1 where it goes."""
    top, where = np.zeros((*y.shape[:2], y.shape[2] // 2, y.shape[3] // 2)), np.zeros_like(y)
    for b, c, h, w in np.ndindex(*top.shape):
        window = y[b, c, 2 * h:2 * h + 2, 2 * w:2 * w + 2]
        i, j = divmod(int(window.argmax()), 2)  # the first of equal ones
        if window[i, j] > 0:
            top[b, c, h, w], where[b, c, 2 * h + i, 2 * w + j] = window[i, j], 1
    return top, where


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("keep", [False, True])
def test_pooled_convolution_and_its_gradients_against_loops(seed: int, keep: bool) -> None:
    rng, plan, layer, x, place = drawn(seed)
    if min(plan.out_height, plan.out_width) < 2:
        plan = dataclasses.replace(plan, out_height=0, out_width=0)
    plan = dataclasses.replace(plan, out_height=plan.out_height // 2 * 2, out_width=plan.out_width // 2 * 2)
    if seed % 3 == 0:
        layer.weight[:] = np.round(layer.weight)  # equal outputs, and zeros
        place[:], x[:] = np.round(place), np.round(x)
    held, blocks = layer.begin(), -(-plan.out_width // 4)
    border = seed % 2
    y = aligned((plan.out_height // 2 + 2 * border + 1, plan.outputs, 2 * blocks + 2 * border, LANES), float)
    codes = np.zeros((plan.out_height // 2, plan.outputs, blocks, 8), np.uint8)
    convolve_and_pool(held.forward, held.bias, place, plan.out_height, plan.out_width, y, border, codes)
    top, where = pooled(by_loops(layer, x, plan))
    inside = slice(border, border + plan.out_height // 2), slice(None), slice(border, border + plan.out_width // 2)
    np.testing.assert_allclose(images_first(y[inside]), top, atol=1e-12)
    y[inside] = 0
    assert not y.any()  # the border stays empty
    dp = rng.normal(size=top.shape)
    gradients = aligned((plan.out_height // 2 + 1, plan.outputs, 2 * blocks + 1, LANES), float)
    gradients[:plan.out_height // 2, :, :plan.out_width // 2] = dp.transpose(2, 1, 3, 0)
    gradients[:, :, plan.out_width // 2:] = np.nan  # what lies past the last one must not matter
    dy = where * dp.repeat(2, 2).repeat(2, 3)
    deltas, edge = aligned(plan.deltas(), float), plan.delta_border
    add_gradients_of_pooled(held.summed, held.sums, held.bias_sums, place, gradients, codes, plan.out_height,
                            plan.out_width, keep, deltas, edge)
    layer.finish()
    gradient, _ = gradients_by_loops(layer, x, dy, plan)
    np.testing.assert_allclose(layer.gradient, gradient.reshape(-1)[layer.positions], atol=1e-12)
    np.testing.assert_allclose(layer.bias_gradient, dy.sum((0, 2, 3)), atol=1e-12)
    kept = deltas[edge:edge + plan.out_height, :, edge:edge + plan.out_width]
    np.testing.assert_array_equal(images_first(kept), dy if keep else 0 * dy)
    kept[:] = 0
    assert not deltas.any()


@pytest.mark.parametrize("kernel, channels", [(3, 16), (3, 32), (1, 16), (1, 48)])
@pytest.mark.parametrize("answered", [0.0, 0.2, 1.0])
def test_dense_gradient_against_loops(kernel: int, channels: int, answered: float) -> None:
    rng, border = np.random.default_rng(0), kernel // 2
    plan = Plan(channels, 3, 4, 5, 4, 5, kernel, border)
    x, dy = rng.normal(size=(LANES, channels, 4, 5)), rng.normal(size=(LANES, 3, 4, 5))
    dy *= rng.random(dy.shape) < answered
    place, deltas = aligned(plan.inputs(), float), aligned(plan.deltas(), float)
    place[border:border + 4, :, border:border + 5] = x.transpose(2, 1, 3, 0)
    edge = plan.delta_border
    deltas[edge:edge + 4, :, edge:edge + 5] = dy.transpose(2, 1, 3, 0)
    total = np.zeros((3, kernel, kernel, channels))
    wanted = Wanted(True, (total,), np.empty(place.size), np.empty(8 * 20), np.empty(8 * 20, np.uint32))
    mask = torch.ones(3, channels, kernel, kernel, dtype=torch.bool)
    layer = SparseConv(torch.zeros(mask.shape, dtype=torch.float64), torch.zeros(3), mask, 8, 8)
    for _ in range(2):  # it adds
        add_dense_gradient(wanted, 0, place, deltas, edge, 4, 5)
    expected, _ = gradients_by_loops(layer, x, dy, plan)
    np.testing.assert_allclose(total.transpose(0, 3, 1, 2), 2 * expected, atol=1e-12)


def test_mean_after_relu_and_back() -> None:
    rng = np.random.default_rng(0)
    y, mean, dy = (aligned(shape, float) for shape in ((4, 5, 4, 8), (2, 5, 4, 8), (7, 5, 7, 8)))
    y[:] = rng.normal(size=y.shape)
    average(y, 3, 3, mean)
    np.testing.assert_allclose(mean[0, :, 0], np.maximum(y[:3, :, :3], 0).mean((0, 2)), atol=1e-12)
    gradient = mean.copy()
    spread(y, 3, 3, gradient, dy, 2)
    np.testing.assert_allclose(dy[2:5, :, 2:5], (y[:3, :, :3] > 0) * mean[0, :, :1] / 9, atol=1e-12)
    dy[2:5, :, 2:5] = 0
    assert not dy.any()


@pytest.mark.parametrize("images", [1, 5, 8])
def test_loss_of_the_images_that_are_there(images: int) -> None:
    rng = np.random.default_rng(0)
    logits, delta = aligned((2, 7, 4, 8), float), aligned((2, 7, 4, 8), float)
    logits[:], delta[0, :, 0] = rng.normal(size=logits.shape), np.nan
    labels = torch.from_numpy(rng.integers(0, 7, images))
    own = torch.from_numpy(logits[0, :, 0, :images].T.copy()).requires_grad_()
    loss = torch.nn.functional.cross_entropy(own, labels, reduction="sum")
    loss.backward()
    assert cross_entropy(logits, labels.numpy(), 0.25, delta) == pytest.approx(loss.item(), abs=1e-12)
    assert own.grad is not None
    np.testing.assert_allclose(delta[0, :, 0, :images].T, own.grad.numpy() / 4, atol=1e-12)
    assert not delta[0, :, 0, images:].any()


def test_what_is_no_number_is_not_hidden() -> None:
    """Diverged weights are nan in the loss, as with the dense engine."""
    engine = SparseConvNet(SMALL, noise(), 4)
    next(iter(engine.layers.values())).weight[:] = np.nan
    engine.backward(*next(engine.batches(0, 0)), 1)
    assert np.isnan(engine.take_loss())


# ---- the network ----


def finished(config: RunConfig, dataset: Dataset, engine: str) -> train.Run:
    run = train.start(config, dataset, engine=engine)
    train.finish(run, dataset)
    return run


@pytest.mark.parametrize("options", [
    {"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"grow": "random>momentum"},
    {"grow": "gradient", "prune": "set", "regrow_pruned": False}, {"grow": "momentum", "regrown_weight": "keep"},
    {"grow": "gradient", "update_order": "instead_of_step", "nesterov": False, "momentum": 0.0},
    {"grow": "random", "prune": "random", "prune_schedule": "linear"}, {"prune": "none", "grow": "none"},
    {"grow": "gradient", "grown_buffer": "keep", "momentum": 0.03}, {"grow": "l3"}, {"grow": "gradient", "init": "er"},
    {"grow": "momentum", "padding": "same", "growth_beta": 0.01}, {"grow": "gradient", "sparsity": 0.3},
    {"grow": "gradient", "padding": "same", "batch_size": 17, "augment": "crop_flip"},
], ids=str)
def test_agrees_with_dense_in_double_precision(options: dict) -> None:
    """24 steps and 3 updates, the last batch of an epoch smaller: the same masks, the same weights to 1e-9."""
    config, dataset = SMALL.but(**options), noise()
    ours, theirs = (finished(config, dataset, engine) for engine in ("sparse", "dense"))
    weights = theirs.engine.topology.weights  # type: ignore[attr-defined]
    assert isinstance(ours.engine, SparseConvNet)
    for name, layer in ours.engine.layers.items():
        assert torch.equal(ours.engine.masks[name], theirs.engine.masks[name])
        assert torch.equal(ours.engine.explored[name], theirs.engine.explored[name])
        torch.testing.assert_close(layer.dense(layer.weight), weights[name].detach(), atol=1e-9, rtol=0)
    for name in ("train_loss", "val_accuracy", "test_accuracy", "in_degree/conv2", "packed_masks/conv3"):
        np.testing.assert_allclose(ours.recorder.arrays()[name], theirs.recorder.arrays()[name], atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 32, 32)])
@pytest.mark.parametrize("padding", ["none", "same"])
def test_agrees_with_dense_on_images_of_other_sizes(shape: tuple[int, int, int], padding: str) -> None:
    config, dataset = SMALL.but(padding=padding, grow="gradient", epochs=2, update_interval=4), noise(shape)
    ours, theirs = (finished(config, dataset, engine) for engine in ("sparse", "dense"))
    assert isinstance(ours.engine, SparseConvNet)
    for name, weight in theirs.engine.topology.weights.items():  # type: ignore[attr-defined]
        layer = ours.engine.layers[name]
        torch.testing.assert_close(layer.dense(layer.weight), weight.detach(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("grow", ["random", "gradient", "momentum"])
def test_resumes_bit_for_bit_at_any_step(grow: str, tmp_path: Path) -> None:
    config = SMALL.but(grow=grow, dtype="float32")
    assert len(interrupted_everywhere(config, noise(), "sparse", (1, 6, 7, 8, 13, 20), tmp_path)) == 1


def test_dense_gradients_leave_the_others_as_they_are_bit_for_bit() -> None:
    """The first layer's are then picked out of those of all places."""
    engine = SparseConvNet(SMALL.but(grow="gradient", dtype="float32"), noise(), 24)
    batch = next(engine.batches(0, 0))
    engine.backward(*batch, 1)
    plain = {name: layer.gradient.copy() for name, layer in engine.layers.items()}
    assert not engine.gradients
    engine.backward(*batch, 7)
    for name, layer in engine.layers.items():
        assert np.array_equal(layer.gradient, plain[name])
        if name in engine.rewired:
            dense = engine.gradients[name].reshape(-1).numpy()[layer.positions]
            np.testing.assert_allclose(dense, plain[name], atol=1e-6)


@pytest.mark.parametrize("image_format", ["native", "rgb32"])
@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip", "mirror_crop_flip"])
def test_maps_hold_the_same_batches_as_the_dense_engine_sees(image_format: str, augment: str) -> None:
    config = SMALL.but(image_format=image_format, augment=augment, train_limit=150, batch_size=70, padding="same",
                       normalise="cifar10" if image_format == "rgb32" else "own")
    dataset = data.load_for(config)
    sparse, plain = (train.start(config, dataset, engine=engine).engine for engine in ("sparse", "dense"))
    for start in (0, 1):
        ours = [(x.numpy().copy(), y) for x, y in sparse.batches(3, start)]
        for (tiles, labels), (images, expected) in zip(ours, plain.batches(3, start), strict=True):
            assert torch.equal(labels, expected)
            found = tiles[:, 1:-1, :, 1:images.shape[3] + 1].transpose(0, 4, 2, 1, 3).reshape(-1, *images.shape[1:])
            np.testing.assert_allclose(found[:len(labels)], images.numpy(), atol=1e-12)
            assert not found[len(labels):].any() and not tiles[:, [0, -1]].any() and not tiles[:, :, :, 0].any()


def test_single_precision_stays_single() -> None:
    config = SMALL.but(dtype="float32", grow="momentum", epochs=1)
    engine = finished(config, noise(), "sparse").engine
    assert all(tensor.dtype != torch.float64 or name == "loss" for name, tensor in engine.state().items())


def test_average_is_equation_10_and_goes_on_from_its_state() -> None:
    rng, v = np.random.default_rng(0), 0.0
    steps = torch.from_numpy(rng.normal(size=(5, 3, 2, 2, 4))).permute(0, 1, 4, 2, 3)
    ours = RunningAverage(steps[0], 0.9)
    for gradient in steps:
        v = 0.9 * v + 0.1 * gradient.numpy()
        ours.add(gradient)
    np.testing.assert_allclose(ours.flush(), v, atol=1e-12)
    resumed = RunningAverage(steps[0], 0.9)
    resumed.load_state({name: part.clone() for name, part in ours.state().items()})
    for one in (ours, resumed):
        one.add(steps[0])
    assert torch.equal(ours.flush(), resumed.flush())
    ours.reset()
    assert not ours.flush().any()


def test_auto_takes_it_for_sparse_networks_in_full_precision() -> None:
    convnet = RunConfig(model="convnet")
    assert chosen_engine(convnet, "cpu") == "sparse"
    assert chosen_engine(convnet, "cuda") == "dense"
    for words in ({"sparsity": 0.0, "prune": "none", "grow": "none"}, {"amp": True},
                  {"grow": "momentum", "growth_momentum": "sgd_buffer"},
                  {"grown_buffer": "keep", "update_interval": 100}):
        assert chosen_engine(convnet.but(**words), "cpu") == "dense"
