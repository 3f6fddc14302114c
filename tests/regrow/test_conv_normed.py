"""Networks with batch normalisation on the sparse engine: kernels against plain numpy, whole runs against dense."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import interrupted_everywhere, noise
from torch import nn

from regrow import models, train
from regrow.config import RunConfig
from regrow.engines import chosen_engine
from regrow.engines.conv import head, rows
from regrow.engines.conv.gradients import Wanted
from regrow.engines.conv.layer import SparseConv
from regrow.engines.conv.normed import SparseNormed
from regrow.engines.conv.rows import (
    ADDED,
    CUT,
    FIRST,
    JOINED,
    KEPT,
    NORMALISED,
    POOLED,
    READY,
    UNPOOLED,
    Sizes,
    Source,
    Target,
)
from regrow.engines.conv.vectors import WIDE
from regrow.engines.kernels import aligned
from regrow.errors import RegrowError

SMALL = RunConfig(model="resnet56", dtype="float64", train_limit=45, batch_size=11, epochs=3, update_interval=4,
                  sparsity=0.9, lr=0.05)
COUNT, TILES = WIDE + 5, 2  # images of a batch, the last tile with five


# ---- kernels ----


def tiled(images: np.ndarray, border: int = 0, count: int = TILES) -> np.ndarray:
    """Images [B, C, H, W] as maps [tiles, H, C, W, WIDE] with a border."""
    _, c, h, w = images.shape
    maps = aligned((count, h + 2 * border, c, max(w, 4) + 2 * border if border else w, WIDE), float)
    for n, image in enumerate(images[:WIDE * count]):
        maps[n // WIDE, border:border + h, :, border:border + w, n % WIDE] = image.transpose(1, 0, 2)
    return maps


def untiled(maps: np.ndarray) -> np.ndarray:
    return maps.transpose(0, 4, 2, 1, 3).reshape(-1, maps.shape[2], maps.shape[1], maps.shape[3])[:COUNT]


def convolved(x: np.ndarray, weight: np.ndarray, step: int) -> np.ndarray:
    """A convolution that keeps the size but for its stride, by loops over the kernel and the places."""
    edge, (n_out, _, size, _) = weight.shape[2] // 2, weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    y = np.zeros((len(x), n_out, x.shape[2] // step, x.shape[3] // step))
    for h, w in np.ndindex(*y.shape[2:]):
        seen = padded[:, :, h * step:h * step + size, w * step:w * step + size]
        y[:, :, h, w] = np.einsum("bcij,ocij->bo", seen, weight)
    return y


def convolved_back(x: np.ndarray, weight: np.ndarray, step: int, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of weight and inputs."""
    edge, size = weight.shape[2] // 2, weight.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    gradient, dx = np.zeros_like(weight), np.zeros_like(padded)
    for h, w in np.ndindex(*dy.shape[2:]):
        here = np.s_[:, :, h * step:h * step + size, w * step:w * step + size]
        gradient += np.einsum("bcij,bo->ocij", padded[here], dy[:, :, h, w])
        dx[here] += np.einsum("bo,ocij->bcij", dy[:, :, h, w], weight)
    return gradient, dx[:, :, edge:edge + x.shape[2], edge:edge + x.shape[3]]


def windows(z: np.ndarray) -> np.ndarray:
    """[B, C, H, W] -> [B, C, H / 2, W / 2, 4]."""
    b, c, h, w = z.shape
    return z.reshape(b, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(b, c, h // 2, w // 2, 4)


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("size, kernel, step, how, what", [
    (8, 3, 1, READY, FIRST), (8, 3, 1, NORMALISED, CUT), (4, 3, 1, JOINED, ADDED), (8, 3, 2, JOINED, ADDED),
    (8, 1, 2, READY, KEPT), (2, 3, 1, NORMALISED, CUT), (4, 3, 1, POOLED, UNPOOLED), (2, 3, 1, POOLED, UNPOOLED),
    (8, 3, 1, JOINED, CUT),
])
def test_a_unit_and_its_gradients_against_numpy(size: int, kernel: int, step: int, how: int, what: int,
                                                density: float) -> None:
    """Inputs of every making, strides, densities 0 to 1; a last tile that is not full."""
    rng = np.random.default_rng(size + 10 * kernel)
    n_in, n_out, edge = 16, 5, kernel // 2
    before = 2 * size if how == POOLED else size
    y0 = rng.normal(size=(COUNT, n_in, before, before))
    other = rng.normal(size=(COUNT, n_in, before, before))
    scale, shift, factor = rng.normal(size=(3, n_in))
    z = y0 * scale[:, None, None] + shift[:, None, None]
    if how == JOINED:
        z = z + other * factor[:, None, None]
    x = np.maximum(windows(z).max(-1) if how == POOLED else z, 0)
    if how == READY:
        x = np.maximum(y0, 0)
    lanes = [np.repeat(part[:, None], WIDE, 1) for part in (scale, shift, factor)]
    kept = how in (READY, JOINED, POOLED)
    maps = tiled(x, 1) if how == READY else tiled(np.zeros_like(x), 1, TILES if kept else 1)
    source = Source(how, maps, 1, tiled(y0), lanes[0], lanes[1], tiled(other), 0, lanes[2])
    mask = rng.random((n_out, n_in, kernel, kernel)) < density
    weight = rng.normal(size=mask.shape) * mask
    out = size // step
    dy = aligned((size + 2 * edge + 2, n_out, max(size, 4) + 2 * edge, WIDE), float)
    layer = SparseConv(torch.from_numpy(weight), torch.zeros(0, dtype=torch.float64), torch.from_numpy(mask),
                       maps.shape[3], dy.shape[2], WIDE, 4)
    sizes, held, totals = Sizes(out, out, step, 1 - edge, kernel - 1 - edge), layer.begin(), np.full((2, n_out), np.nan)
    y = aligned((TILES, out, n_out, out, WIDE), float)
    rows.forward(held.forward, source, sizes, y, COUNT, totals)
    expected = convolved(x, weight, step)
    np.testing.assert_allclose(untiled(y), expected, atol=1e-12)
    np.testing.assert_allclose(totals, [(expected**p).sum((0, 2, 3)) for p in (1, 2)], atol=1e-11)

    dz, (a, b, g) = rng.normal(size=expected.shape), rng.normal(size=(3, n_out))
    delta = a[:, None, None] * dz + b[:, None, None] * expected + g[:, None, None]
    affine = np.repeat(np.stack([a, b, g])[None, :, :, None], 2, 0).repeat(WIDE, 3)
    affine[1, :, :, COUNT - WIDE:] = 0
    gradient, dx = convolved_back(x, weight, step, delta)
    target = Target(what, tiled(np.zeros_like(y0)), tiled(other), np.zeros((2, n_in)))
    places, dx_map = WIDE * out * out, aligned((size, n_in, max(size, 4), WIDE), float)
    wanted = Wanted(True, (np.zeros((n_out, kernel, kernel, n_in)),), np.empty(maps[0].size), np.empty(places),
                    np.empty(places, np.uint32))
    rows.backward(held, source, sizes, y, tiled(dz), affine, dy, dx_map, target, COUNT, wanted, 0)
    layer.finish()
    np.testing.assert_allclose(layer.gradient, gradient[mask], atol=1e-10)
    np.testing.assert_allclose(wanted.totals[0].transpose(0, 3, 1, 2), gradient, atol=1e-10)
    if what == FIRST:
        return
    if what == UNPOOLED:
        seen = windows(z)
        first = seen.argmax(-1)[..., None] == np.arange(4)
        spread = (first & (seen.max(-1, keepdims=True) > 0)) * dx[..., None]
        np.testing.assert_allclose(windows(untiled(target.dz)), spread, atol=1e-12)
        back = untiled(target.dz)
    else:
        back = dx if what == KEPT else (dx + (other if what == ADDED else 0)) * (x > 0)
        np.testing.assert_allclose(untiled(target.dz), back, atol=1e-12)
    if what != KEPT:
        np.testing.assert_allclose(target.totals, [back.sum((0, 2, 3)), (back * y0).sum((0, 2, 3))], atol=1e-10)
        doubled = np.zeros((2, n_in))
        rows.add_products(target.dz, source.y, COUNT, doubled)
        np.testing.assert_allclose(doubled, target.totals, atol=1e-12)


def test_connections_come_in_groups_by_the_channels_they_are_from() -> None:
    """All are in one group where there would be too few in each. The test above has a layer of every kind."""
    def groups(n_in: int, density: float) -> list[set[int]]:
        shape = (4, n_in, 3, 3)
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density
        wiring = SparseConv(torch.zeros(shape), torch.zeros(0), mask, 10, 10, WIDE, 16).ready()
        channels, ends = wiring.offsets // 10 % n_in, wiring.starts[::4]
        return [set(channels[start:end].tolist()) for start, end in pairwise(ends)]

    assert groups(40, 1.0) == [set(range(14)), set(range(14, 27)), set(range(27, 40))]
    assert len(groups(40, 0.05)) == 1


def test_the_end_of_a_network_against_numpy() -> None:
    rng = np.random.default_rng(0)
    y0, labels, (scale, shift) = rng.normal(size=(COUNT, 16, 4, 4)), rng.integers(0, 5, COUNT), rng.normal(size=(2, 16))
    weight, bias, mask = rng.normal(size=(5, 16)), rng.normal(size=5), rng.random((5, 16)) < 0.5
    weight *= mask
    lanes = [np.repeat(part[:, None], WIDE, 1) for part in (scale, shift)]
    maps = tiled(np.zeros((1, 16, 4, 4)), 1, 1)
    source = Source(NORMALISED, maps, 1, tiled(y0), lanes[0], lanes[1], maps, 1, lanes[0])
    layer = SparseConv(*map(torch.from_numpy, (weight, bias, mask)), 1, 1, WIDE)
    end = head.Head(layer.begin(), *(aligned((1, n, 1, WIDE), float) for n in (16, 5, 5, 16)))
    target = Target(CUT, tiled(np.zeros_like(y0)), tiled(y0), np.zeros((2, 16)))
    wanted = Wanted(True, (np.zeros((5, 1, 1, 16)),), np.empty(WIDE * 96), np.empty(WIDE), np.empty(WIDE, np.uint32))
    loss = head.turn(source, end, labels, aligned((4, 16, 4, WIDE), float), target, wanted, 0)
    layer.finish()
    x = np.maximum(y0 * scale[:, None, None] + shift[:, None, None], 0)
    logits = torch.from_numpy(x.mean((2, 3)) @ weight.T + bias).requires_grad_()
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
    assert logits.grad is not None
    d = logits.grad.numpy()
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(layer.gradient, (d.T @ x.mean((2, 3)))[mask], atol=1e-12)
    np.testing.assert_allclose(wanted.totals[0][:, 0, 0], d.T @ x.mean((2, 3)), atol=1e-12)
    np.testing.assert_allclose(layer.bias_gradient, d.sum(0), atol=1e-12)
    back = (d @ weight)[:, :, None, None] / 16 * (x > 0)
    np.testing.assert_allclose(untiled(target.dz), back, atol=1e-12)
    np.testing.assert_allclose(target.totals, [back.sum((0, 2, 3)), (back * y0).sum((0, 2, 3))], atol=1e-12)
    found = head.classified(source, end, COUNT).transpose(0, 2, 1).reshape(-1, 5)[:COUNT]
    np.testing.assert_allclose(found, logits.detach().numpy(), atol=1e-12)


# ---- networks ----


def short_vgg(channels: int, classes: int) -> nn.Sequential:
    """VGG-16's plan with fewer convolutions and channels: its pools, and maps down to 2 x 2."""
    net, widths = nn.Sequential(), (channels, 16, 16, 32, 16, 32, 16)
    for (n_in, n_out), name in zip(pairwise(widths), ("1_1", "1_2", "2_1", "3_1", "4_1", "5_1"), strict=True):
        net.add_module(f"conv{name}", models.convolution(n_in, n_out, 3))
        net.add_module(f"bn{name}", nn.BatchNorm2d(n_out))
        net.add_module(f"relu{name}", nn.ReLU())
        if name[0] < "5" and name != "1_1":
            net.add_module(f"pool{name[0]}", nn.MaxPool2d(2))
    return models.with_head(net, n_out, classes)


SHORT: dict[str, Callable[[int, int], nn.Module]] = {
    "resnet56": lambda channels, classes: models.cifar_resnet(2, channels, classes), "vgg16": short_vgg}


@pytest.fixture(autouse=True)
def short_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_network", lambda config, classes, shape: SHORT[config.model](shape[0], classes))


def finished(config: RunConfig, engine: str) -> train.Run:
    dataset = noise(count=45)
    run = train.start(config, dataset, engine=engine)
    train.finish(run, dataset)
    return run


@pytest.mark.parametrize("options", [
    {"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"grow": "random>momentum", "prune": "set"},
    {"grow": "gradient", "update_order": "instead_of_step", "nesterov": False, "momentum": 0.0},
    {"grow": "gradient", "model": "vgg16"}, {"grow": "momentum", "model": "vgg16", "regrown_weight": "keep"},
    {"prune": "none", "grow": "none", "model": "vgg16", "augment": "crop_flip"}, {"grow": "l3"},
    {"grow": "random", "prune": "random", "model": "vgg16", "batch_size": 8}, {"grow": "gradient", "sparsity": 0.3},
], ids=str)
def test_agrees_with_dense_in_double_precision(options: dict) -> None:
    """15 steps and 3 updates: masks, weights, normalisation and accuracies."""
    config = SMALL.but(**options)
    ours, theirs = finished(config, "sparse"), finished(config, "dense")
    assert isinstance(ours.engine, SparseNormed)
    model = theirs.engine.model  # type: ignore[attr-defined]
    there = model.state_dict()
    for name, layer in ours.engine.layers.items():
        assert torch.equal(ours.engine.masks[name], theirs.engine.masks[name])
        torch.testing.assert_close(layer.dense(layer.weight), there[f"{name}.weight"], atol=1e-9, rtol=0)
    for name, unit in ours.engine.units.items():
        for mine, part in (("gamma", "weight"), ("beta", "bias"), ("running_mean", "running_mean"),
                           ("running_var", "running_var")):
            expected = there[f"{name.replace('conv', 'bn')}.{part}"].numpy()
            np.testing.assert_allclose(getattr(unit.norm, mine), expected, atol=1e-9)
    for name in ("train_loss", "val_accuracy", "test_accuracy"):
        np.testing.assert_allclose(ours.recorder.arrays()[name], theirs.recorder.arrays()[name], atol=1e-8)


@pytest.mark.parametrize("options", [{"grow": "momentum"}, {"grow": "gradient", "model": "vgg16"}], ids=str)
def test_resumes_bit_for_bit_at_any_step(options: dict, tmp_path: Path) -> None:
    config = SMALL.but(dtype="float32", **options)
    assert len(interrupted_everywhere(config, noise(count=45), "sparse", (1, 4, 5, 9, 14), tmp_path)) == 1


def test_which_runs_it_takes() -> None:
    for model in ("vgg16", "resnet56", "resnet50-cifar"):
        assert chosen_engine(RunConfig(model=model), "cpu") == "sparse"
        assert chosen_engine(RunConfig(model=model, sparsity=0.0, prune="none", grow="none"), "cpu") == "dense"
        assert chosen_engine(RunConfig(model=model, image_format="native"), "cpu") == "dense"
    with pytest.raises(RegrowError, match="small ResNets on 32 x 32 images, .* use --engine dense"):
        chosen_engine(RunConfig(model="resnet50"), "cpu", "sparse")
