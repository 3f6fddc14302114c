"""What an engine is, which ones there are, and which one a run gets. Engines change speed only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from regrow.config import ENGINES, RunConfig, nearest
from regrow.data import Dataset, ImageSet
from regrow.errors import ConfigError, RegrowError

# Sparse is faster below; measured by `python -m bench engines` and `conv`. With a Boltzmann machine's 10 images a step,
# most places in a tile of the sparse engine are empty.
BREAK_EVEN_DENSITY = {"mlp": 0.5, "convnet": 0.7, "resnet56": 0.5, "resnet50-cifar": 0.5, "vgg16": 0.3, "rbm-big": 0.2,
                      "rbm-small": 0.2}


class Engine(Protocol):
    """A network in training, or several. `state` and `load_state` carry all of it through a checkpoint.

    `masks` and `explored` are a mapping from layer to bool tensor, `take_loss` and `accuracy` give a number; an engine
    of several networks gives one of each per network, which is what its recorder takes. `captures` says whether its
    passes become a CUDA graph.
    """

    captures: bool

    @property
    def masks(self) -> Any: ...
    @property
    def explored(self) -> Any: ...
    def set_learning_rate(self, lr: float) -> None: ...
    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]: ...
    def backward(self, images: Tensor, labels: Tensor, step: int) -> None: ...
    def step(self) -> None: ...
    def update(self, step: int) -> None: ...
    def take_loss(self) -> Any: ...
    def accuracy(self, images: ImageSet) -> Any: ...
    def state(self) -> dict[str, Tensor]: ...
    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


@runtime_checkable
class Measured(Protocol):
    """What an engine of a Boltzmann machine can do besides: there, the accuracies are nan.

    `measures` go into the record every epoch, `final` once at the end.
    """

    def measures(self) -> Mapping[str, float]: ...
    def final(self) -> Mapping[str, Tensor]: ...


def check_engine(name: str) -> None:
    """Raise ConfigError, naming the nearest one, for an engine that does not exist."""
    if name not in ENGINES:
        raise ConfigError(f"There is no engine {name!r}{nearest(name, ENGINES)}.")


def chosen_engine(config: RunConfig, device: str, engine: str = "auto") -> str:
    """'auto' resolved: sparse where it can train the run and is faster, batched for MLPs on a GPU, else dense.

    Raises ConfigError for an unknown engine and RegrowError for one that cannot train this run on this device.
    """
    from regrow import jit  # Numba, and these two compile at their import; whoever asks may train nothing
    from regrow.engines import batched, sparse

    check_engine(engine)
    if engine == "sparse" and not jit.compiles():
        raise RegrowError("NUMBA_DISABLE_JIT is set, and the sparse engine is machine code: unset it, or use --engine "
                          "dense.")
    fits_sparse = device == "cpu" and jit.compiles() and sparse.supports(config)
    if engine == "auto":
        if fits_sparse and 1 - config.sparsity <= BREAK_EVEN_DENSITY[config.model]:
            return "sparse"
        return "batched" if device != "cpu" and batched.supports(config) else "dense"
    if engine == "sparse" and not fits_sparse:
        raise RegrowError("The sparse engine trains MLPs, the ConvNet, VGG-16 and the small ResNets on 32 x 32 images, "
                          "and RBMs with up to 64 images a step, on the CPU, in full precision and with optimizer "
                          "state on connections only; use --engine dense for this run.")
    if engine == "batched" and not batched.supports(config):
        raise RegrowError("The batched engine trains MLPs whose optimizer state is on connections only; use --engine "
                          "dense for this run.")
    if engine == "compiled" and config.is_rbm:
        raise RegrowError("RBMs have no passes to compile; use --engine dense for this run.")
    return engine


def new_engine(config: RunConfig, dataset: Dataset, total_steps: int, device: torch.device, name: str) -> Engine:
    """The engine of a run that trains alone, so that "batched" means dense. Raises as `chosen_engine`.

    `train.start_together` is for several.
    """
    name = chosen_engine(config, device.type, name)
    if name == "sparse":
        return _sparse(config)(config, dataset, total_steps)
    if config.is_rbm:
        from regrow.engines.rbm import RbmEngine  # each engine is imported when a run needs it: see above

        return RbmEngine(config, dataset, total_steps, device)
    from regrow.engines.dense import DenseEngine  # the same

    return DenseEngine(config, dataset, total_steps, device, compiled=name == "compiled")


def _sparse(config: RunConfig) -> Callable[[RunConfig, Dataset, int], Engine]:
    """The sparse engine of a kind of network."""
    if config.model == "mlp":
        from regrow.engines.sparse import SparseEngine  # the same

        return SparseEngine
    if config.is_rbm:
        from regrow.engines.rbm import SparseRbmEngine  # the same

        return SparseRbmEngine
    if config.model == "convnet":
        from regrow.engines.conv.network import SparseConvNet  # the same

        return SparseConvNet
    from regrow.engines.conv.normed import SparseNormed  # the same

    return SparseNormed
