"""A run in progress as named arrays, and back. Random numbers need no state here: every generator is made afresh from
its purpose, the seed and a counter (epoch, step), so a resumed run draws what an undisturbed one would have drawn."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow import arrayfile
from regrow.errors import StoreError
from regrow.train import Run

FORMAT = "regrow checkpoint 1"


def save(run: Run, path: Path) -> None:
    """Write everything that the rest of the run depends on, atomically."""
    arrays = {f"tensor/{name}": _to_numpy(tensor) for name, tensor in _tensors(run).items()}
    arrays |= {f"recorder/{name}": array for name, array in run.recorder.arrays().items()}
    head: dict[str, Any] = {"format": FORMAT, "key": run.config.key, "step": run.step, "seconds": run.seconds,
                            "torch": torch.__version__, "machine": platform.machine()}
    arrayfile.write(path, arrays, head, compress=False)


def restore(run: Run, path: Path) -> None:
    """Put a freshly started run where the checkpoint stands. Raises StoreError if the file is not fit for it."""
    arrays, head = arrayfile.read(path)
    if head.get("format") != FORMAT or head.get("key") != run.config.key:
        raise StoreError(f"{path} is not a checkpoint of this run.")
    tensors = {name.removeprefix("tensor/"): torch.from_numpy(array)
               for name, array in arrays.items() if name.startswith("tensor/")}
    momenta = _under("momentum", tensors)
    try:
        run.model.load_state_dict(_under("model", tensors))
        for name, parameter in run.model.named_parameters():
            if name in momenta:
                run.optimizer.state[parameter]["momentum_buffer"] = momenta[name].to(parameter.device)
        run.topology.load_state(tensors)
        run.epoch_loss.copy_(tensors["epoch_loss"])
    except (KeyError, RuntimeError) as error:
        raise StoreError(f"{path} does not fit the network of this run.") from error
    run.recorder.load_arrays({name.removeprefix("recorder/"): array
                              for name, array in arrays.items() if name.startswith("recorder/")})
    run.step, run.seconds = head["step"], head["seconds"]


def _tensors(run: Run) -> dict[str, Tensor]:
    momenta = {f"momentum/{name}": run.optimizer.state[parameter]["momentum_buffer"]
               for name, parameter in run.model.named_parameters()
               if run.optimizer.state[parameter].get("momentum_buffer") is not None}
    model = {f"model/{name}": tensor for name, tensor in run.model.state_dict().items()}
    return model | momenta | run.topology.state() | {"epoch_loss": run.epoch_loss}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items()
            if name.startswith(f"{prefix}/")}


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
