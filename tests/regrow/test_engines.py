"""The sparse engine does what the dense one does, and carries all of itself through a checkpoint."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from builders import interrupted_everywhere

from regrow import data, provenance, rbm, train
from regrow.config import CHOICES, FINGERPRINTS, RunConfig
from regrow.data import Dataset
from regrow.engines import chosen_engine, kernels, sparse
from regrow.engines.dense import DenseEngine
from regrow.engines.sparse import BLOCK, LIMIT, GradientAverage, SparseLinear, window
from regrow.errors import RegrowError
from regrow.rules import GROWTH, PRUNING, PRUNING_NEEDS, growth, pruning

SMALL = RunConfig(hidden=(100, 50), train_limit=2000, epochs=7, update_interval=33)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return data.load(SMALL.dataset, image_format=SMALL.image_format, train_limit=SMALL.train_limit)


def finished(config: RunConfig, dataset: Dataset, engine: str) -> tuple[train.Run, dict[str, torch.Tensor]]:
    run = train.start(config, dataset, engine=engine)
    train.finish(run, dataset)
    if engine == "sparse":
        layers = run.engine.layers.items()  # type: ignore[attr-defined]
        return run, {name: layer.dense(layer.weight) for name, layer in layers}
    return run, {name: w.detach() for name, w in run.engine.topology.weights.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [
    {"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"grow": "random>momentum"},
    {"grow": "gradient", "prune": "set", "regrow_pruned": False}, {"grow": "momentum", "regrown_weight": "keep"},
    {"grow": "gradient", "update_order": "instead_of_step", "nesterov": False, "momentum": 0.0},
    {"grow": "random", "prune": "random", "prune_schedule": "linear"}, {"prune": "none", "grow": "none"},
    {"grow": "gradient", "batch_size": 100, "sparsity": 0.5},
    {"grow": "gradient", "grown_buffer": "keep", "momentum": 0.3}, {"grow": "gradient", "grown_buffer": "keep",
                                                                    "momentum": 0.3, "regrown_weight": "keep"},
], ids=str)
def test_agrees_with_dense_in_double_precision(options: dict, dataset: Dataset) -> None:
    """More than 100 steps and 3 updates: the same masks, the same weights to 1e-9."""
    config = SMALL.but(dtype="float64", **options)
    dense_run, dense = finished(config, dataset, "dense")
    sparse_run, weights = finished(config, dataset, "sparse")
    for name, weight in dense.items():
        assert torch.equal(dense_run.engine.masks[name], sparse_run.engine.masks[name])
        assert torch.equal(dense_run.engine.explored[name], sparse_run.engine.explored[name])
        torch.testing.assert_close(weights[name], weight, atol=1e-9, rtol=0)
    ours, theirs = sparse_run.recorder.arrays(), dense_run.recorder.arrays()
    for name in ("train_loss", "val_accuracy", "test_accuracy", "in_degree/fc1", "packed_masks/fc2"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-9)


@pytest.mark.parametrize("engine", ["dense", "sparse"])
@pytest.mark.parametrize("grow", ["random", "gradient", "momentum"])
def test_resumes_bit_for_bit_at_any_step(engine: str, grow: str, dataset: Dataset, tmp_path: Path) -> None:
    config = SMALL.but(grow=grow)
    assert len(interrupted_everywhere(config, dataset, engine, (5, 33, 40, 96, 111), tmp_path)) == 1


def test_channels_last_changes_nothing_but_the_layout(tmp_path: Path) -> None:
    """Convolutions get their images so, through updates and a checkpoint."""
    config = RunConfig(model="convnet", train_limit=32, batch_size=16, epochs=2, update_interval=2, grow="momentum",
                       dtype="float64")
    images = data.load(config.dataset, image_format=config.image_format, train_limit=config.train_limit)
    few = dataclasses.replace(images, validation=images.train, test=images.train)

    def begun(channels_last: bool) -> train.Run:
        engine = DenseEngine(config, few, 4, torch.device("cpu"), channels_last=channels_last)
        return train.begin(train.Run(config, engine, config.key, 2))

    plain, last = begun(False), begun(True)
    train.finish(plain, few)
    train.advance(last, few, save=lambda run: train.save_checkpoint(run, tmp_path / f"{run.step}.npz", "dense"))
    resumed = begun(True)
    train.restore_checkpoint(resumed, tmp_path / "3.npz", "dense")
    train.advance(resumed, few)
    for run in (last, resumed):
        assert isinstance(run.engine, DenseEngine) and isinstance(plain.engine, DenseEngine)
        for name, mask in plain.engine.masks.items():
            assert torch.equal(run.engine.masks[name], mask)
        for ours, weight in zip(run.engine.model.parameters(), plain.engine.model.parameters(), strict=True):
            torch.testing.assert_close(ours, weight, atol=1e-9, rtol=0)
            assert ours.dim() < 4 or ours.is_contiguous(memory_format=torch.channels_last)


def test_mixed_precision_trains_and_differs_by_rounding(dataset: Dataset) -> None:
    exact, mixed = (train.finish(train.start(SMALL.but(amp=amp, epochs=2), dataset), dataset) for amp in (False, True))
    assert not np.array_equal(mixed.train_loss, exact.train_loss)
    np.testing.assert_allclose(mixed.train_loss, exact.train_loss, rtol=0.02)


@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="torch.compile needs a C++ compiler")
def test_compiled_agrees_with_dense(dataset: Dataset) -> None:
    config = SMALL.but(dtype="float64", epochs=3, grow="gradient", batch_size=100)  # all batches alike: one compilation
    plain, compiled = (train.start(config, dataset, engine=name) for name in ("dense", "compiled"))
    for run in (plain, compiled):
        train.advance(run, dataset)
    for name, mask in plain.engine.masks.items():
        assert torch.equal(compiled.engine.masks[name], mask)
        ours, theirs = (run.engine.topology.weights[name] for run in (compiled, plain))  # type: ignore[attr-defined]
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


def test_single_precision_stays_single(dataset: Dataset) -> None:
    run = train.start(SMALL.but(epochs=1), dataset, engine="sparse")
    train.finish(run, dataset)
    for name, tensor in run.engine.state().items():
        assert tensor.dtype != torch.float64 or name == "loss", name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [10, 64])
@pytest.mark.parametrize("answered", [1.0, 0.4, 0.02, 0.0])
def test_average_is_equation_10(answered: float, images: int, dtype: type) -> None:
    """Against the recursion itself, with more steps than a block, partial batches, and what is silent for longer.

    All numbers as in a Boltzmann machine, so that matrices are multiplied, or a part of them as after a ReLU.
    """
    rng = np.random.default_rng(0)
    memory = GradientAverage(5, 205, (2, images), 0.9, torch.from_numpy(np.zeros(1, dtype)).dtype)
    v = np.zeros((5, 205))
    for step in range(2 * BLOCK + 3):
        tiles = 1 if step % 5 == 0 else 2
        dy, x = (rng.normal(size=(tiles, n, images)).astype(dtype) for n in (5, 205))
        dy *= rng.random(dy.shape) < answered
        dy[:, 3], x[:, 7:120] = 0, 0
        if step < BLOCK:  # and later are not
            dy[:, 1], x[:, 200] = 0, 0
        memory.add(dy, x)
        v = 0.9 * v + 0.1 * np.einsum("tib,tjb->ij", dy.astype(float), x.astype(float))
    average = memory.flush().numpy()
    assert average.dtype == dtype and not average[3].any() and not average[:, 7:120].any()
    np.testing.assert_allclose(average, v, atol=1e-12 if dtype is np.float64 else 1e-5)
    memory.reset()
    assert not memory.flush().any()


@pytest.mark.parametrize("steps", [1, BLOCK, BLOCK + 5])
def test_average_goes_on_from_its_state_bit_for_bit(steps: int) -> None:
    rng = np.random.default_rng(0)
    whole, resumed = (GradientAverage(30, 205, (2, 64), 0.9, torch.float32) for _ in range(2))

    def go_on(*averages: GradientAverage) -> None:
        for step in range(steps):
            dy, x = (rng.normal(size=(1 + step % 2, n, 64)).astype(np.float32) for n in (30, 205))
            dy *= rng.random(dy.shape) < 0.3
            for average in averages:
                average.add(dy, x)

    go_on(whole)
    resumed.load_state({name: part.clone() for name, part in whole.state().items()})
    go_on(whole, resumed)
    assert torch.equal(resumed.flush(), whole.flush()) and bool(whole.value.all())


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_window_is_the_first_step_that_no_longer_counts(beta: float) -> None:
    assert beta ** window(beta) < LIMIT and (window(beta) == 1 or beta ** (window(beta) - 1) >= LIMIT)
    assert window(0.9) == 132


@pytest.mark.parametrize("images", [1, 63, 64, 65, 128])
@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_kernels_against_matrices(images: int, density: float) -> None:
    rng = np.random.default_rng(images)
    mask = rng.random((13, 37)) < density
    weight = rng.normal(size=mask.shape) * mask
    bias, x = rng.normal(size=13), rng.normal(size=(images, 37))
    layer = SparseLinear(torch.from_numpy(weight), torch.from_numpy(bias), torch.from_numpy(mask))
    tiles = -(-images // 64)
    inputs, outputs = kernels.aligned((tiles, 37, 64), float), kernels.aligned((tiles, 13, 64), float)
    inputs[:] = np.nan  # what lies past the last image must not matter
    fill(inputs, x)
    layer.forward(inputs, outputs)
    np.testing.assert_allclose(untiled(outputs, images), x @ weight.T + bias, atol=1e-12)
    dy, back = rng.normal(size=(images, 13)), kernels.aligned((tiles, 37, 64), float)
    fill(outputs, dy)
    layer.backward(inputs, outputs, back)
    np.testing.assert_allclose(untiled(back, images), dy @ weight, atol=1e-12)
    np.testing.assert_allclose(layer.gradient, (dy.T @ x)[mask], atol=1e-10)
    np.testing.assert_allclose(layer.bias_gradient, dy.sum(0), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_every_length_have_their_gradient_and_silent_ones_have_none(dtype: type) -> None:
    rng = np.random.default_rng(0)
    mask = np.arange(40) < np.arange(23)[:, None]  # rows of 0 to 22 connections
    layer = SparseLinear(torch.zeros(mask.shape, dtype=torch.from_numpy(np.zeros(1, dtype)).dtype),
                         torch.zeros(23), torch.from_numpy(mask))
    x, dy = kernels.aligned((2, 40, 64), dtype), kernels.aligned((2, 23, 64), dtype)
    x[:], dy[:] = rng.normal(size=x.shape), rng.normal(size=dy.shape)
    dy[0, 5], dy[:, 9] = 0, 0
    layer.gradient[:] = np.nan
    layer.backward(x, dy, None)
    exact = np.einsum("tib,tjb->ij", dy.astype(float), x.astype(float))[mask]
    np.testing.assert_allclose(layer.gradient, exact, atol=1e-12 if dtype is np.float64 else 2e-4)
    assert not layer.gradient[layer.indptr[9]:layer.indptr[10]].any() and layer.gradient[-1] != 0


def fill(tiles: np.ndarray, rows: np.ndarray) -> None:
    """Rows [images, features] into tiles, zeros past the last image."""
    tiles[:] = 0
    for n, row in enumerate(rows):
        tiles[n // 64, :, n % 64] = row


@pytest.mark.parametrize("name, image_format", [("fashion_mnist_small", "native"), ("fashion_mnist_small", "rgb32")])
@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip", "mirror_crop_flip"])
def test_tiles_hold_the_same_batches_as_the_dense_engine_sees(name: str, image_format: str, augment: str) -> None:
    config = RunConfig(hidden=(20,), image_format=image_format, augment=augment, train_limit=200, dtype="float64")
    dataset = data.load(name, image_format=image_format, train_limit=200)
    tiled = train.start(config, dataset, engine="sparse").engine
    plain = train.start(config, dataset, engine="dense").engine
    for start in (0, 1):
        ours = [(x.numpy().copy(), y) for x, y in tiled.batches(3, start)]
        for (tiles, labels), (images, expected) in zip(ours, plain.batches(3, start), strict=True):
            assert torch.equal(labels, expected)
            np.testing.assert_allclose(untiled(tiles, len(labels)), images.flatten(1).numpy(), atol=1e-12)
            assert not untiled(tiles, tiles.shape[0] * 64)[len(labels):].any()


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {"augment": "crop_flip", "crop_pad": 7, "normalise": "cifar10", "evaluation": "as_training"},
    {"augment": "mirror_crop_flip", "crop_pad": 2, "normalise": "half", "evaluation": "as_training"},
    {"augment": "flip", "evaluation": "as_training", "image_format": "native"},
    {"augment": "crop_flip", "normalise": "cifar10"},
])
def test_every_engine_sees_the_same_training_and_evaluation_images(changes: dict[str, Any]) -> None:
    """Constants, border and treatment of the evaluation images in all three engines, to the accuracy of rounding."""
    usual: dict[str, Any] = dict(image_format="rgb32", hidden=(60, 40), epochs=4, train_limit=1500, update_interval=9,
                                 dtype="float64", sparsity=0.5, grow="random")
    configs = [RunConfig(**usual | changes | {"seed": seed}) for seed in (0, 1)]
    images = data.load_for(configs[0])
    by_sparse, by_dense = ([train.finish(train.start(config, images, engine=engine), images) for config in configs]
                           for engine in ("sparse", "dense"))
    by_batched = train.finish_together(train.start_together(configs, images, "cpu"), images)
    for records in zip(by_sparse, by_dense, by_batched, strict=True):
        for other in records[1:]:
            np.testing.assert_allclose(other.train_loss, records[0].train_loss, rtol=1e-9)
            np.testing.assert_array_equal(other.val_accuracy, records[0].val_accuracy)
            np.testing.assert_array_equal(other.test_accuracy, records[0].test_accuracy)
    plain = train.finish(train.start(configs[0].but(evaluation="plain"), images, engine="sparse"), images)
    assert np.array_equal(plain.train_loss, by_sparse[0].train_loss)
    same = np.array_equal(plain.test_accuracy, by_sparse[0].test_accuracy)
    assert same == (configs[0].evaluation == "plain") and max(plain.test_accuracy) > 20


@pytest.mark.parametrize("width", [5, 16, 19, 32, 40])
@pytest.mark.parametrize("mirrored", [False, True])
def test_images_of_any_width_are_cropped_and_flipped_into_tiles(width: int, mirrored: bool) -> None:
    rng, batch = np.random.default_rng(width), 70
    images = rng.integers(0, 256, (90, 2, 7, width), dtype=np.uint8)
    chosen, offsets = rng.permutation(90)[:batch], rng.integers(0, 2 * data.PAD + 1, (batch, 2))
    flips = rng.random(batch) < 0.5
    tiles = kernels.aligned((2, images[0].size, 64), np.float32)
    tiles[:] = np.nan
    one, nothing = np.ones(2, np.float32), np.zeros(2, np.float32)
    kernels.load_tiles(images, chosen, offsets, flips, data.PAD, mirrored, one, nothing,
                           kernels.stage(images, data.PAD), tiles)
    expected = data.pad_crop_flip(*map(torch.from_numpy, (images[chosen], offsets, flips)), mirrored=mirrored)
    np.testing.assert_array_equal(untiled(tiles, batch), expected.flatten(1).numpy())
    assert not untiled(tiles, 128)[batch:].any()


def untiled(tiles: np.ndarray, images: int) -> np.ndarray:
    return tiles.transpose(0, 2, 1).reshape(-1, tiles.shape[1])[:images]


def test_auto_picks_the_engine_that_fits() -> None:
    assert chosen_engine(RunConfig(), "cpu") == "sparse"
    assert chosen_engine(RunConfig(sparsity=0.0, prune="none", grow="none"), "cpu") == "dense"
    assert chosen_engine(RunConfig(model="resnet50"), "cpu") == "dense"
    assert chosen_engine(RunConfig(grown_buffer="keep", update_interval=100), "cpu") == "dense"
    assert chosen_engine(RunConfig(grown_buffer="keep"), "cpu") == "sparse"  # .9^400 is nothing
    assert chosen_engine(RunConfig(grow="momentum", growth_momentum="sgd_buffer"), "cpu") == "dense"
    assert chosen_engine(RunConfig(amp=True), "cpu") == "dense"
    assert chosen_engine(RunConfig(), "cuda") == "batched"
    assert chosen_engine(RunConfig(model="vgg16"), "cuda") == "dense"
    with pytest.raises(RegrowError, match="dense"):
        chosen_engine(RunConfig(), "cpu", "dens")


def test_refuses_what_it_cannot_do(dataset: Dataset) -> None:
    assert not sparse.supports(RunConfig(model="resnet50"))
    with pytest.raises(RegrowError, match="--engine dense"):
        train.start(SMALL.but(grown_buffer="keep"), dataset, engine="sparse")


# ---- rules of users ----


def trained_by(engine: str, config: RunConfig, dataset: Dataset) -> dict[str, torch.Tensor]:
    if engine == "batched":
        run = train.start_together([config], dataset)
        train.finish_together(run, dataset)
        return run.engine.masks[0]
    return dict(finished(config, dataset, engine)[0].engine.masks)


@pytest.fixture
def registries() -> Iterator[None]:
    with (mock.patch.dict(GROWTH), mock.patch.dict(PRUNING), mock.patch.dict(PRUNING_NEEDS),
          mock.patch.dict(CHOICES["grow"]), mock.patch.dict(CHOICES["prune"]), mock.patch.dict(FINGERPRINTS)):
        yield


OWN = SMALL.but(dtype="float64", epochs=3, update_interval=11)


@pytest.mark.usefixtures("registries")
def test_rules_of_users_get_the_same_from_every_engine(dataset: Dataset) -> None:
    """What each asked for; also where the other rule asked for something else."""
    pruning("flat", needs="gradient")(lambda layer, rate: layer.mask & (
        layer.gradient.abs() < layer.gradient.abs()[layer.mask].quantile(rate)))
    growth("far", needs="average")(lambda layer: layer.average.abs() + layer.weight.abs().sum(0))
    config = OWN.but(prune="flat", grow="far")
    masks = [trained_by(engine, config, dataset) for engine in ("dense", "sparse", "batched")]
    for name, mask in masks[0].items():
        assert all(torch.equal(mask, other[name]) for other in masks[1:])


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("engine", ["dense", "sparse", "batched"])
@pytest.mark.parametrize("words", [{"grow": "curious"}, {"grow": "gradient", "prune": "curious"},
                                   {"grow": "random>curious"}], ids=str)
def test_what_a_rule_did_not_ask_for_it_does_not_get(engine: str, words: dict[str, str], dataset: Dataset) -> None:
    """Neither a gradient that another rule asked for, nor momentum that happens to be there."""
    growth("curious", needs="average")(lambda layer: layer.gradient.abs())
    pruning("curious")(lambda layer, rate: layer.mask & (layer.gradient > 0))
    with pytest.raises(RegrowError, match="'curious' reads layer.gradient in layer 'fc1'.*needs=\"gradient\""):
        trained_by(engine, OWN.but(**words), dataset)


# ---- what GPUs would have made of it ----


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of what torch.compile compiles, by a compiler that changes nothing."""
    compiled, found = torch.compile, list[str]()

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        found.append("graph")
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda model, **options: compiled(model, backend=backend, **options))
    return found


def test_every_run_of_a_process_is_compiled(compilations: list[str], dataset: Dataset) -> None:
    """Also the ninth kind of network, after which PyTorch would leave all others uncompiled and only write a line."""
    for depth in range(1, 12):
        before = len(compilations)
        engine = train.start(SMALL.but(hidden=(6,) * depth), dataset, engine="compiled").engine
        engine.backward(*next(engine.batches(0, start=0)), 1)
        assert len(compilations) > before


@pytest.mark.parametrize("fault", ["limit", "backend"])
def test_a_network_that_cannot_be_compiled_is_refused(fault: str, dataset: Dataset, request: pytest.FixtureRequest,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "limit":
        request.getfixturevalue("compilations")
    else:
        def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
            raise RuntimeError("Cannot find a working triton installation")

        compiled = torch.compile
        monkeypatch.setattr(torch, "compile", lambda model, **options: compiled(model, backend=backend, **options))
    engine = train.start(SMALL, dataset, engine="compiled").engine
    images, labels = next(engine.batches(0, start=0))
    said = r"torch.compile cannot compile this network here \(.+\): use --engine dense"
    with torch._dynamo.config.patch(recompile_limit=1), pytest.raises(RegrowError, match=said):
        for count in (100, 90, 80):
            engine.backward(images[:count].double() if count == 80 else images[:count], labels[:count], 1)


def test_a_switched_off_compiler_is_said(dataset: Dataset) -> None:
    engine = train.start(SMALL, dataset, engine="compiled").engine
    with torch.compiler.set_stance("force_eager"), pytest.raises(RegrowError, match="switched off here: unset TORCH_"):
        engine.backward(*next(engine.batches(0, start=0)), 1)


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("model", ["convnet", "mlp", "together", "rbm-small"])
def test_passes_on_a_gpu_have_the_precision_of_their_run(model: str, tf32: bool,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Not PyTorch's own, which is TF32 for convolutions alone."""
    config = RunConfig(train_limit=20, batch_size=10, epochs=2, update_interval=2, tf32=tf32,
                       **{"hidden": (5,)} if model in ("mlp", "together") else {"model": model})
    images = data.load_for(config)
    run = train.start_together([config], images) if model == "together" else train.start(config, images)
    flags = []

    def seen(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            flags.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return function(*args, **options)
        return call

    monkeypatch.setattr(torch.Tensor, "backward", seen(torch.Tensor.backward))
    monkeypatch.setattr(torch, "sigmoid", seen(torch.sigmoid))
    batch = next(run.engine.batches(0, start=0))
    monkeypatch.setattr(run.engine, "device", torch.device("cuda"))
    monkeypatch.setattr(rbm, "gibbs_noise", lambda config, step, count, device: torch.rand(count, 250))
    run.engine.backward(*batch, 1)
    assert set(flags) == {(tf32, tf32)}
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (False, True)


def test_tf32_is_for_gpus_and_single_precision() -> None:
    with pytest.raises(RegrowError, match=r"tf32=true is a precision of GPUs: leave it out, or add --device cuda\."):
        train.check_trainable(RunConfig(tf32=True), "cpu")
    with pytest.raises(RegrowError, match="leave dtype=float64 out"):
        RunConfig(tf32=True, dtype="float64")
    assert RunConfig(tf32=True).key != RunConfig().key == RunConfig(tf32=False).key


def test_convolutions_get_their_images_channels_last(dataset: Dataset) -> None:
    """On the CPU, too, where a step of the ConvNet and of the ResNets takes three quarters of the time so."""
    images = data.load("fashion_mnist_small", train_limit=40)
    for model, last in (("convnet", True), ("mlp", False)):
        engine = train.start(RunConfig(model=model, train_limit=40), images, engine="dense").engine
        batch, _ = next(engine.batches(0, start=0))
        assert batch.is_contiguous(memory_format=torch.channels_last) == last
        weight = next(iter(engine.topology.weights.values()))  # type: ignore[attr-defined]
        assert not last or weight.is_contiguous(memory_format=torch.channels_last)


def test_a_record_says_what_a_gpu_computed_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Precision, and whether the passes were a graph; of the processor nothing is said."""
    config = RunConfig(hidden=(5,), train_limit=20, batch_size=10, epochs=1, update_interval=1, tf32=True)
    images = data.load_for(config)
    monkeypatch.setattr(train, "_dataset", lambda config, device, root: images)
    monkeypatch.setattr(train, "started", lambda configs, dataset, device, engine: train.start(configs[0], dataset))
    monkeypatch.setattr(provenance, "hardware", lambda device: "NVIDIA H200")

    def made(device: str) -> dict[str, Any]:
        (record,) = train.trained([config], device=device, engine="dense", data_root=None, checkpoint_seconds=60,
                                  checkpoint_path=tmp_path / "c.npz", damaged=lambda path, error: None)
        return record.provenance

    on_gpu = made("cuda")
    assert (on_gpu["tf32"], on_gpu["cuda_graph"]) == (True, False) and "driver" in on_gpu["versions"]
    assert not {"tf32", "cuda_graph", "driver"} & {*made("cpu"), *made("cpu")["versions"]}
