"""What is installed: driver, CUDA, cuDNN, torch, Triton and its compiler, and what the device can do."""

from __future__ import annotations

import os
import platform
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from regrow import provenance
from regrow_companion.selftest.report import Check, Found, Skipped, Where

MPS = "nvidia-cuda-mps-control"


def checks(where: Where) -> list[Check]:
    """Versions, and whether the device computes at all."""
    return [Check("environment: versions", partial(_versions, where), 30),
            Check("environment: device", partial(_device, where), 60),
            Check("environment: compiler", partial(_compiler, where), 30),
            Check("environment: bfloat16", partial(_bfloat16, where), 30),
            Check("environment: sharing", partial(_sharing, where), 30)]


def versions() -> dict[str, str | None]:
    """Of everything that a result on a GPU may depend on; None for what is not there."""
    return {"python": platform.python_version(),
            **{name: provenance.version(name) for name in ("regrow", "torch", "torchvision", "numpy", "triton")},
            **provenance.of_cuda()}


def flags(where: Where) -> dict[str, Any]:
    """What changes results or times: precision of products, memory, and how the GPU is shared."""
    found: dict[str, Any] = {"tf32_products": torch.backends.cuda.matmul.allow_tf32,
                             "tf32_convolutions": torch.backends.cudnn.allow_tf32,
                             "cudnn_benchmark": torch.backends.cudnn.benchmark, "threads": torch.get_num_threads(),
                             "mps": _mps_runs()}
    if where.on_gpu:
        about = torch.cuda.get_device_properties(where.device)
        found |= {"devices": torch.cuda.device_count(), "memory_gib": round(about.total_memory / 2**30, 1),
                  "capability": f"{about.major}.{about.minor}", "processors": about.multi_processor_count,
                  "bfloat16": torch.cuda.is_bf16_supported()}
    return found


def _versions(where: Where) -> Found:
    there = versions()
    told = ", ".join(f"{name} {there[name]}" for name in ("torch", "cuda", "cudnn", "driver", "triton") if there[name])
    return Found(told, ok=not where.on_gpu or there["cuda"] is not None,
                 remedy="install a build of torch with CUDA (see pytorch.org)")


def _device(where: Where) -> Found:
    if not where.on_gpu:
        return Found(f"{provenance.hardware('cpu')}, {psutil.cpu_count()} cores")
    total = (torch.ones(1000, device=where.device) * 2).sum().item()
    about = torch.cuda.get_device_properties(where.device)
    return Found(f"{torch.cuda.get_device_name(where.device)}, {about.total_memory / 2**30:.0f} GiB, capability "
                 f"{about.major}.{about.minor}, {torch.cuda.device_count()} in all", ok=total == 2000)


def _compiler(where: Where) -> Found:
    if not where.on_gpu:
        raise Skipped("the compiled engine is tested on a GPU")
    compiler = next((name for name in ("cc", "gcc", "clang", "c++", "g++") if shutil.which(name)), None)
    triton = provenance.version("triton")
    lacking = [name for name, there in (("Triton", triton), ("a C compiler", compiler)) if not there]
    if lacking:
        raise Skipped(f"{' and '.join(lacking)} missing: --engine compiled cannot be used")
    return Found(f"triton {triton}, {compiler}")


def compiles(where: Where) -> bool:
    """Whether the compiled engine can be tested."""
    try:
        return bool(_compiler(where))
    except Skipped:
        return False


def _bfloat16(where: Where) -> Found:
    if not where.on_gpu:
        raise Skipped("needs a GPU")
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        raise Skipped("this GPU only emulates it: leave amp=true out")
    return Found("in hardware: amp=true is worth a try")


def _sharing(where: Where) -> Found:
    if not where.on_gpu:
        raise Skipped("needs a GPU")
    if _mps_runs():
        return Found("MPS runs: --jobs 3 shares a GPU well")
    return Found(f"MPS does not run; processes take turns on a GPU ({MPS} starts it)")


def _mps_runs() -> bool:
    pipe = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")) / "control"
    return pipe.exists() or any(MPS[:15] in (process.info["name"] or "") for process in psutil.process_iter(["name"]))
