"""Whole runs on tensors that claim to be on cuda:0: nothing mixes devices, and the numbers are the processor's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import CudaTensor, fake_cuda

from regrow import data, train
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, scale_and_shift
from regrow.engines.batched import BatchedEngine
from regrow.record import Record

MLP = RunConfig(hidden=(16, 8), train_limit=96, batch_size=32, epochs=2, update_interval=2)  # 6 steps, 3 updates
STATIC = {"prune": "none", "grow": "none"}
RULES: list[dict[str, Any]] = [
    {"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"grow": "l3"},
    {"grow": "random>momentum", "prune": "random"}, {"grow": "gradient", "prune": "set", "regrow_pruned": False},
    {"grow": "momentum", "prune": "set_legacy", "regrown_weight": "keep"}, STATIC, STATIC | {"sparsity": 0.0}]
# Images are laid out otherwise there, so that sums differ by rounding.
CONVOLUTIONS: dict[str, Any] = {"hidden": RunConfig.hidden, "image_format": "rgb32", "dtype": "float64"}
OTHER: list[dict[str, Any]] = [
    CONVOLUTIONS | {"model": "convnet", "grow": "momentum"},
    {"augment": "mirror_crop_flip", "evaluation": "as_training"}, {"amp": True},
    {"grow": "momentum", "growth_momentum": "sgd_buffer", "grown_buffer": "keep"},
    *({"model": "rbm-small", "hidden": RunConfig.hidden, "lr": 0.01, "grow": rule}
      for rule in ("random", "gradient", "momentum"))]


@pytest.fixture
def gpu() -> Iterator[None]:
    with fake_cuda():
        yield
    scale_and_shift.cache_clear()  # it keeps tensors of every device


@pytest.mark.parametrize("mistake", [
    lambda here, there: there + here, lambda here, there: here.index_select(0, there.long()),
    lambda here, there: torch.stack([there, here]), lambda here, there: here.add_(there.sum()),
    lambda here, there: here[there.long()], lambda here, there: torch._foreach_mul_([there], [here]),
    lambda here, there: torch.where(there > 0, here, 0.0),
])
def test_two_devices_in_one_operation_are_refused(gpu: None, mistake: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="two devices"):
        mistake(torch.ones(3), torch.ones(3, device="cuda"))


def test_generators_of_the_other_device_are_refused(gpu: None) -> None:
    for ours, theirs in (("cpu", "cuda"), ("cuda", "cpu")):
        with pytest.raises(RuntimeError, match="for generator"):
            torch.rand(3, generator=torch.Generator(ours), device=theirs)
        with pytest.raises(RuntimeError, match="for generator"):
            torch.bernoulli(torch.rand(3, device=theirs), generator=torch.Generator(ours))
        assert torch.rand(3, generator=torch.Generator(ours), device=ours).device.type == ours


def test_numpy_has_nothing_to_do_with_a_gpu(gpu: None) -> None:
    there = torch.ones(3, device="cuda", requires_grad=True)
    for mistake in (lambda: there.detach().numpy(), lambda: np.asarray(there.detach()),
                    lambda: (there * 2).detach().flatten().numpy()):
        with pytest.raises(TypeError, match="to host memory first"):
            mistake()
    assert there.detach().cpu().numpy().sum() == 3


@pytest.mark.parametrize("waits", [
    lambda there: there.sum().item(), lambda there: there.nonzero(), lambda there: there.cpu(),
    lambda there: bool(there[0]), lambda there: there[there > 0], lambda there: torch.tensor(1.0, device="cuda"),
    lambda there: torch.ones(3).to("cuda"), lambda there: there.copy_(torch.ones(3)), lambda there: there.tolist(),
    lambda there: there.to("cpu", copy=True),
])
def test_waiting_for_the_device_is_noticed(gpu: None, waits: Callable[..., Any]) -> None:
    there = torch.ones(3, device="cuda")
    waits(there)
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match="synchronizing"):
        waits(there)
    assert (there.to(torch.float64) + torch.ones(3).pin_memory().to("cuda", non_blocking=True)).device == there.device


def test_a_copy_is_a_copy_and_gradients_stay_where_they_are(gpu: None) -> None:
    here = torch.ones(3)
    there = here.to("cuda")
    back = there.cpu()
    there += 1
    assert here.tolist() == back.tolist() == [1, 1, 1] and there.tolist() == [2, 2, 2]
    network = torch.nn.Linear(3, 2).to("cuda")
    network(there[None]).sum().backward()
    assert network.weight.grad is not None and network.weight.grad.device == torch.device("cuda", 0)
    assert torch.ones(3).device.type == "cpu" and not isinstance(here * 2, CudaTensor)


def few(config: RunConfig, device: str) -> Dataset:
    """The images of a run, few of them to be evaluated."""
    images = data.normalised_as(data.load(config.dataset, image_format=config.image_format, device=device,
                                          train_limit=config.train_limit), config.normalise)
    held = ImageSet(images.test.images[:40].clone(), images.test.labels[:40].clone())
    return replace(images, validation=held, test=held)


def whole(configs: list[RunConfig], device: str, engine: str, folder: Path) -> list[Record]:
    """Runs that are saved at every step, and go on from a checkpoint in their middle."""
    images = few(configs[0], device)

    def begun() -> train.Run:
        return (train.start_together(configs, images, device) if engine == "batched"
                else train.start(configs[0], images, device, engine))

    train.advance(begun(), images, save=lambda run: train.save_checkpoint(run, folder / f"{device}{run.step}.npz",
                                                                          engine))
    run = begun()
    train.restore_checkpoint(run, folder / f"{device}{1 if configs[0].epochs == 1 else 3}.npz", engine)
    if device == "cuda":
        tensors = run.engine.state()
        assert all(isinstance(tensor, CudaTensor) for tensor in tensors.values()), "all of a run is on its device"
    if engine == "batched":
        return train.finish_together(run, images)
    return [train.finish(run, images)]


def on_both(configs: list[RunConfig], engine: str, folder: Path) -> tuple[list[Record], list[Record]]:
    expected = whole(configs, "cpu", engine, folder)
    with fake_cuda():
        found = whole(configs, "cuda", engine, folder)
    scale_and_shift.cache_clear()
    return expected, found


RESNET = CONVOLUTIONS | {"model": "resnet50-cifar", "train_limit": 16, "batch_size": 8, "epochs": 1}


@pytest.mark.parametrize("options", [*RULES, *OTHER, pytest.param(RESNET, marks=pytest.mark.slow)], ids=str)
def test_the_dense_engine_on_a_gpu(options: dict[str, Any], tmp_path: Path) -> None:
    (expected,), (found,) = on_both([MLP.but(**options)], "dense", tmp_path)
    assert list(found.arrays()) == list(expected.arrays())
    if "dtype" not in options:
        assert found.result_sha256 == expected.result_sha256
    for name, array in expected.arrays().items():
        np.testing.assert_allclose(found.arrays()[name], array, rtol=1e-9, err_msg=name)


def test_the_batched_engine_on_a_gpu(tmp_path: Path) -> None:
    configs = [MLP.but(seed=number % 2, **options) for number, options in enumerate(RULES[:7])]
    for expected, found in zip(*on_both(configs, "batched", tmp_path), strict=True):
        assert found.result_sha256 == expected.result_sha256


@pytest.mark.parametrize("options", [STATIC, STATIC | {"sparsity": 0.0},
                                     {"augment": "crop_flip", "evaluation": "as_training"}], ids=str)
def test_other_batches_on_a_gpu(options: dict[str, Any], tmp_path: Path) -> None:
    configs = [MLP.but(seed=seed, **options) for seed in range(2)]
    for expected, found in zip(*on_both(configs, "batched", tmp_path), strict=True):
        assert found.result_sha256 == expected.result_sha256


def test_an_engine_that_forgets_a_device_is_caught(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above would say of a batched engine that left its seeds' places on the processor."""
    images = few(MLP, "cuda")
    run = train.start_together([MLP, MLP.but(seed=1)], images, "cuda")
    assert isinstance(run.engine, BatchedEngine)
    monkeypatch.setattr(run.engine, "loss", run.engine.loss.cpu())
    with pytest.raises(RuntimeError, match="two devices"):
        train.advance(run, images)
