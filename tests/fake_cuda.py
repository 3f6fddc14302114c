"""A GPU of the imagination: tensors that claim to be on cuda:0 and hold processor data, so that tests without a GPU
meet what a GPU refuses.

Inside `fake_cuda()` there is one CUDA device. What is made there, or brought there with `to`, is a `CudaTensor`. As on
a real device, an operation whose tensors are on two devices raises, a generator of the other device raises, and
`numpy()` raises without `cpu()`. `set_sync_debug_mode("error")` refuses what makes the processor wait. Numbers are the
processor's to the bit; a copy is a copy. Kernels, streams and graphs are not imitated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda", 0)
CPU = torch.device("cpu")


class CudaTensor(Tensor):
    """Says cuda:0 wherever it is asked; results of operations on such tensors are such tensors."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA

    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def get_device(self) -> int:
        return 0


class Generator(torch.Generator):
    """A generator that remembers where it claims to be."""

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        made = super().__new__(cls, "cpu")
        made.claimed = _claimed(device)
        return made

    def __init__(self, device: torch.device | str = "cpu") -> None: ...

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.claimed

    def manual_seed(self, seed: int) -> Generator:
        super().manual_seed(seed)
        return self


def _claimed(device: torch.device | str | int) -> torch.device:
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if device.type != "cuda":
        return device
    if device.index in (None, 0):
        return CUDA
    raise RuntimeError(f"CUDA error: invalid device ordinal ({device})")


def _all(values: Any) -> Iterator[Any]:
    """Everything in arguments, in lists and mappings too."""
    for value in values.values() if isinstance(values, Mapping) else values:
        if isinstance(value, list | tuple | Mapping):
            yield from _all(value)
        else:
            yield value


def real(value: Tensor) -> Tensor:
    """The processor tensor under a claim: the same memory."""
    with torch._C.DisableTorchFunctionSubclass():
        return value.as_subclass(Tensor)


def there(value: Any) -> Any:
    """What an operation of the device gives is on the device."""
    if isinstance(value, Tensor) and not isinstance(value, CudaTensor):
        with torch._C.DisableTorchFunctionSubclass():
            return value.as_subclass(CudaTensor)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(there, value))
    return value


# Operations that may read one device and write the other.
CROSSING = {Tensor.copy_, Tensor.set_, Tensor.data.__set__, Tensor.grad.__set__,  # type: ignore[attr-defined]
            torch._has_compatible_shallow_copy_type}  # type: ignore[attr-defined]
STRICT = {torch.cat, torch.stack, torch.mm, torch.matmul, Tensor.matmul, torch.bmm, Tensor.index_select}
WAITING = {"item", "tolist", "nonzero", "masked_select", "unique", "__bool__", "__int__", "__float__", "__index__",
           "numpy", "repeat_interleave"}


class _Mode(TorchFunctionMode):
    """Sees every operation from Python, on plain tensors too."""

    sync_debug_mode: int | str = "default"

    def __torch_function__(self, func: Any, types: Sequence[type], args: Sequence[Any] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if self.sync_debug_mode == "error" and self._waits(func, name, args, kwargs):
            raise RuntimeError(f"called a synchronizing CUDA operation ({name})")
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda, torch.asarray):
            return self._moved(func, args, kwargs)
        if name in ("numpy", "__array__") and isinstance(args[0], CudaTensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                            "host memory first.")
        if func is Tensor.pin_memory:
            return args[0]
        if func is Tensor.grad.__get__:  # type: ignore[attr-defined]
            found = func(*args)
            return there(found) if isinstance(args[0], CudaTensor) and found is not None else found
        asked = kwargs.get("device")
        place = None if asked is None else _claimed(asked)
        if place == CUDA:
            kwargs["device"] = CPU
        where = self._place(func, name, args, kwargs) if place is None else place
        _check_generators(where or CPU, (*_all(args), *_all(kwargs)))
        kwargs.pop("pin_memory", None)  # which needs a real device
        found = func(*args, **kwargs)
        if place == CPU:
            return real(found) if isinstance(found, Tensor) else found
        return there(found) if where == CUDA and "__set__" not in name else found

    @staticmethod
    def _waits(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether the processor would wait for the GPU: for a number, a size, or a copy from one to the other."""
        tensors = [value for value in (*_all(args), *_all(kwargs)) if isinstance(value, Tensor)]
        on_gpu = [value for value in tensors if isinstance(value, CudaTensor)]
        to_gpu = [value for value in (*args[1:], kwargs.get("device")) if isinstance(value, str | torch.device)
                  and torch.device(value).type == "cuda"]
        if name in ("to", "cpu", "cuda", "copy_"):
            crosses = len(on_gpu) == 1 if name == "copy_" else bool(to_gpu) != bool(on_gpu)
            dtype_alone = name == "to" and not to_gpu and not any(
                isinstance(value, str | torch.device) for value in (*args[1:], kwargs.get("device")))
            return crosses and not dtype_alone and not kwargs.get("non_blocking", False)
        if name in ("tensor", "as_tensor", "asarray"):
            return bool(to_gpu)
        if name in ("__getitem__", "__setitem__") and on_gpu:
            return any(value.dtype == torch.bool for value in _all([args[1]]) if isinstance(value, Tensor))
        return name in WAITING and bool(on_gpu)

    @staticmethod
    def _place(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.device | None:
        """Where an operation takes place; raises if its tensors are on two devices. None: it has no tensors."""
        tensors = [value for value in (*_all(args), *_all(kwargs)) if isinstance(value, Tensor)]
        if not tensors:
            return None
        first, on_gpu = tensors[0], any(isinstance(value, CudaTensor) for value in tensors)
        if not on_gpu:
            return CPU
        if func in CROSSING:
            return first.device
        if name in ("__getitem__", "__setitem__", "index_put_") and isinstance(first, CudaTensor):
            if name == "__getitem__" or not any(isinstance(value, Tensor) for value in _all([args[1]])):
                return CUDA  # indices may lie on the processor, and slices are copied to
            tensors = [value for value in (first, *_all(args[2:])) if isinstance(value, Tensor)]
        written = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
        for place, value in enumerate(tensors):
            scalar = value.dim() == 0 and func not in STRICT and not (written and place == 0)
            if not isinstance(value, CudaTensor) and not scalar:
                raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices, "
                                   f"cuda:0 and cpu! ({name})")
        return CUDA

    @staticmethod
    def _moved(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """`to`, `cpu` and `cuda`: a copy, if the device changes."""
        tensor, rest = args[0], list(args[1:])
        target = tensor.device if isinstance(tensor, Tensor) else CPU
        if func in (Tensor.cpu, Tensor.cuda):
            target = CPU if func is Tensor.cpu else CUDA
            rest = []
            kwargs.pop("device", None)
        elif kwargs.get("device") is not None:
            target = _claimed(kwargs.pop("device"))
        elif rest and isinstance(rest[0], str | int | torch.device):
            target = _claimed(rest.pop(0))
        elif rest and isinstance(rest[0], Tensor):
            target, rest[0] = rest[0].device, rest[0].dtype
        elif rest and rest[0] is None:  # Module.to passes (device, dtype, non_blocking)
            rest.pop(0)
        rest = [value for value in rest if not isinstance(value, bool)]  # non_blocking
        kwargs.pop("non_blocking", None)
        copied = kwargs.pop("copy", False)
        if func is torch.asarray:
            found = func(real(tensor) if isinstance(tensor, Tensor) else tensor, *rest, **kwargs)
            return there(found) if target == CUDA else found
        if not [value for value in rest if value is not None] and not kwargs and tensor.device == target and \
                not copied:
            return tensor
        plain = real(tensor)
        moved = plain.to(*[value for value in rest if value is not None], **kwargs) if rest or kwargs else plain
        if (copied or tensor.device != target) and moved.data_ptr() == plain.data_ptr():
            moved = moved.clone()
        return there(moved) if target == CUDA else moved


def _check_generators(place: torch.device, values: Sequence[Any]) -> None:
    for value in values:
        if isinstance(value, torch.Generator) and torch.device(value.device).type != place.type:
            raise RuntimeError(f"Expected a '{place.type}' device type for generator but found '{value.device.type}'")


@contextmanager
def fake_cuda() -> Iterator[None]:
    """There is one CUDA device meanwhile."""
    overwrites, mode, autocast = torch.__future__.get_overwrite_module_params_on_conversion(), _Mode(), torch.autocast
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # else Module.to keeps its processor tensors
    about = SimpleNamespace(name="a GPU of the imagination", total_memory=2**33, major=9, minor=0,
                            multi_processor_count=100)
    answers: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "synchronize": lambda device=None: None,
        "current_device": lambda: 0, "get_device_name": lambda device=None: about.name,
        "get_device_properties": lambda device=None: about, "is_bf16_supported": lambda including_emulation=True: True,
        "is_current_stream_capturing": lambda: False, "empty_cache": lambda: None, "_lazy_init": lambda: None,
        "reset_peak_memory_stats": lambda device=None: None, "memory_reserved": lambda device=None: 0,
        "max_memory_reserved": lambda device=None: 2**20, "max_memory_allocated": lambda device=None: 2**20,
        "get_sync_debug_mode": lambda: mode.sync_debug_mode,
        "set_sync_debug_mode": lambda said: setattr(mode, "sync_debug_mode", said)}

    def on_the_processor(device: str, *args: Any, **kwargs: Any) -> Any:
        return autocast("cpu", *args, **kwargs)

    without_graphs = mock.patch.dict(os.environ, REGROW_CUDA_GRAPH="off")
    with without_graphs, mock.patch.multiple(torch.cuda, **answers), mock.patch.object(torch, "Generator", Generator), \
            mock.patch.object(torch, "autocast", on_the_processor), mode:
        try:
            yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
