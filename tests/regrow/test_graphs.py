"""Passes as a CUDA graph, with a graph that is played again by calling the function: which steps are, and with what."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regrow import data, train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines import Engine, graphs
from regrow.engines.batched import BatchedEngine
from regrow.engines.dense import DenseEngine
from regrow.engines.graphs import WARM_UP

CPU = torch.device("cpu")
# 5 batches an epoch, the last one smaller; the learning rate drops twice, and there are updates.
MLP = RunConfig(hidden=(20, 10), train_limit=300, batch_size=64, epochs=4, update_interval=3, grow="momentum")
NETWORKS = {
    "momentum": MLP, "gradient in place of a step": MLP.but(grow="gradient", update_order="instead_of_step"),
    "mixed": MLP.but(amp=True), "buffer": MLP.but(growth_momentum="sgd_buffer"),
    "normalised": RunConfig(model="resnet56", train_limit=10, batch_size=3, epochs=2, update_interval=3,
                            grow="momentum"),
}


@dataclass
class Fake:
    """Stands in for CUDA: what is captured is computed only when it is replayed, into the same tensors every time."""

    engine: Any = None
    captures: int = 0
    replays: int = 0
    warmed: int = 0

    def captured(self, function: Callable[[], list[Tensor]],
                 device: torch.device) -> tuple[Callable[[], None], list[Tensor]]:
        before = {name: tensor.clone() for name, tensor in self.engine.state().items()}
        gradients = [gradient.clone() for gradient in function()]
        self.engine.load_state(before)
        self.captures += 1
        parameters = self.engine.optimizer.param_groups[0]["params"]

        def replay() -> None:
            self.replays += 1
            held = [parameter.grad for parameter in parameters]  # a graph knows nothing of Python's objects
            for ours, new in zip(gradients, function(), strict=True):
                ours.copy_(new)
            for parameter, gradient in zip(parameters, held, strict=True):
                parameter.grad = gradient

        return replay, gradients

    def beside(self, function: Callable[[], list[Tensor]], device: torch.device) -> list[Tensor]:
        self.warmed += 1
        return function()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(graphs, "captured", made.captured)
    monkeypatch.setattr(graphs, "beside", made.beside)
    return made


def dataset_of(config: RunConfig) -> Dataset:
    images = data.load_for(config)
    few = data.ImageSet(images.validation.images[:8], images.validation.labels[:8])
    return replace(images, validation=few, test=few)


def run_of(config: RunConfig, images: Dataset, engine: Engine) -> train.Run:
    per_epoch = data.steps_per_epoch(len(images.train), config.batch_size)
    return train.begin(train.Run(config, engine, config.key, per_epoch))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_replayed_run_is_the_same_run(name: str, fake: Fake) -> None:
    """Bit for bit, through updates, learning rates, evaluations and smaller batches, with one graph."""
    config = NETWORKS[name]
    images = dataset_of(config)
    per_epoch = data.steps_per_epoch(len(images.train), config.batch_size)
    plain, ours = (DenseEngine(config, images, config.epochs * per_epoch, CPU, capture=capture)
                   for capture in (False, True))
    assert (plain.captures, ours.captures) == (False, True)
    fake.engine = ours
    records = [train.finish(run_of(config, images, engine), images) for engine in (plain, ours)]
    assert (fake.captures, fake.warmed) == (1, WARM_UP)
    assert fake.replays == config.epochs * (per_epoch - 1) - WARM_UP  # the last batch of an epoch is smaller
    assert records[0].train_loss.tolist() == records[1].train_loss.tolist()
    assert records[0].test_accuracy.tolist() == records[1].test_accuracy.tolist()
    there = ours.state()
    assert all(torch.equal(tensor, there[key]) for key, tensor in plain.state().items())


def test_replayed_runs_of_a_batch_are_the_same_runs(fake: Fake) -> None:
    configs = [MLP.but(grow=grow, seed=seed) for grow in ("random", "momentum", "gradient") for seed in (0, 5)]
    images = dataset_of(MLP)
    plain, ours = (BatchedEngine(configs, images, 20, CPU, capture=capture) for capture in (False, True))
    fake.engine = ours
    for engine in (plain, ours):
        run = train.Run(engine.common, engine, "", 5, train.Recorders(len(configs)))
        train.finish_together(train.begin(run), images)
    assert (fake.captures, fake.warmed, fake.replays) == (1, WARM_UP, 4 * 4 - WARM_UP)
    there = ours.state()
    assert all(torch.equal(tensor, there[key]) for key, tensor in plain.state().items())


def test_a_resumed_run_captures_anew_and_ends_the_same(fake: Fake, tmp_path: Path) -> None:
    """From the last step of an epoch on, whose small batch is not what is captured."""
    images = dataset_of(MLP)

    def begun(capture: bool) -> train.Run:
        return run_of(MLP, images, DenseEngine(MLP, images, 20, CPU, capture=capture))

    whole, resumed = begun(False), begun(True)
    train.advance(whole, images, save=lambda run: train.save_checkpoint(run, tmp_path / f"{run.step}.npz", "dense"))
    train.restore_checkpoint(resumed, tmp_path / "4.npz", "dense")
    fake.engine = resumed.engine
    train.advance(resumed, images)
    assert fake.captures == 1 and fake.replays == 3 * 4 - WARM_UP
    there = resumed.engine.state()
    assert all(torch.equal(tensor, there[key]) for key, tensor in whole.engine.state().items())


def test_what_is_replayed_can_be_turned_off(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    images = dataset_of(MLP)
    engine = fake.engine = DenseEngine(MLP, images, 20, CPU, capture=True)
    engine.passes.capture = False
    train.advance(run_of(MLP, images, engine), images)
    assert (fake.captures, fake.warmed) == (0, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not graphs.wanted(CPU) and graphs.wanted(torch.device("cuda:1"))
    monkeypatch.setenv("REGROW_CUDA_GRAPH", "off")
    assert not graphs.wanted(torch.device("cuda"))


def test_an_engine_ends_with_its_run(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory on the GPU is free at once, not whenever Python collects circles."""
    monkeypatch.setattr(graphs, "captured", lambda function, device: (int, function()))  # holds nothing of the engine
    images = dataset_of(MLP)
    for number in range(2):  # PyTorch keeps what is first in a process
        gc.collect()
        gc.disable()
        try:
            engine = DenseEngine(MLP, images, 20, CPU, capture=True)
            train.advance(run_of(MLP, images, engine), images)
            seen = weakref.ref(engine)
            del engine
            assert number == 0 or seen() is None
        finally:
            gc.enable()


def test_cuda_is_asked_in_the_right_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The side stream waits for what went before and is waited for; the capture is on it; errors name the way out."""
    said: list[str] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: Stream) -> None:
            said.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self) -> None:
            said.append("replay")

    @contextmanager
    def capture(graph: Graph, stream: Stream) -> Iterator[None]:
        said.append(f"capture on {stream.name}")
        yield

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        said.append(f"on {stream.name}")
        yield
        said.append("back")

    side = Stream("side")
    for name, stand_in in {"current_stream": lambda device: Stream("main"), "Stream": lambda device: side, "stream": on,
                           "CUDAGraph": Graph, "graph": capture, "device": lambda device: nullcontext()}.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    graphs.side_stream.cache_clear()
    gpu = torch.device("cuda:1")

    def passes(images: Tensor, labels: Tensor) -> list[Tensor]:
        said.append(f"passes {images.tolist()}")
        return [images]

    played = graphs.Passes(gpu, 2, capture=True)
    labels = torch.zeros(2, dtype=torch.int64)
    for value in range(WARM_UP + 2):
        played(passes, torch.tensor([value]), labels)
    played(passes, torch.tensor([9]), labels[:1])
    warm = [line for value in range(WARM_UP)
            for line in ("side waits for main", "on side", f"passes [{value}]", "back", "main waits for side")]
    assert said == [*warm, "capture on side", f"passes [{WARM_UP}]", "replay", "replay", "passes [9]"]
    assert played.inputs is not None and played.inputs[0].tolist() == [WARM_UP + 1]

    def fails() -> list[Tensor]:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted") as caught:
        graphs.captured(fails, gpu)
    assert caught.value.__notes__ == ["The step could not be captured in a CUDA graph: set REGROW_CUDA_GRAPH=off to "
                                      "train without one."]
    graphs.side_stream.cache_clear()
