"""How far a step's gradient is from that of the processor in double precision: reported more than judged."""

from __future__ import annotations

from functools import cache, partial

from torch import Tensor

from regrow import train
from regrow.config import RunConfig
from regrow.engines.batched import BatchedEngine
from regrow.engines.dense import MaskedEngine
from regrow_companion.selftest import environment
from regrow_companion.selftest.following import CNN, MLP, images_of
from regrow_companion.selftest.report import Check, Found, Skipped, Where

SINGLE = 1e-3  # in single precision; what rounding does in a dozen layers stays far below
ROUGH = 0.5  # TF32 and bfloat16, which have 10 and 7 bits


def checks(where: Where) -> list[Check]:
    """Single precision, TF32, bfloat16 and compiled, of an MLP and a ConvNet."""
    found = []
    for config in (MLP, CNN):
        config = config.but(dtype="float32", hidden=(512, 256) if config.model == "mlp" else RunConfig.hidden)
        found += [Check(f"precision: {config.model} {kind}", partial(_error, config, kind, where), 120)
                  for kind in ("float32", "TF32", "bfloat16", "compiled")]
    return [*found, Check("precision: mlp batched", partial(_error, MLP.but(dtype="float32"), "batched", where))]


def _error(config: RunConfig, kind: str, where: Where) -> Found:
    if kind in ("TF32", "compiled") and not where.on_gpu:
        raise Skipped("needs a GPU")
    if kind == "compiled" and not environment.compiles(where):
        raise Skipped("there is no compiler")
    engine = kind if kind in ("compiled", "batched") else "dense"
    found = gradient(config.but(amp=kind == "bfloat16", tf32=kind == "TF32"), where.device, engine)
    error = max(float((ours - exact).norm() / exact.norm())
                for ours, exact in zip(found, _exact(config.but(dtype="float64")), strict=True))
    limit = ROUGH if kind in ("TF32", "bfloat16") else SINGLE
    return Found(f"relative error of the worst layer {error:.1e}", f"{limit:g}", ok=error <= limit)


def gradient(config: RunConfig, device: str, engine: str) -> list[Tensor]:
    """The dense gradient of every layer in the first step, in double precision on the processor."""
    dataset = images_of(config, device)
    run = train.started([config], dataset, device, engine)
    pixels, labels = next(run.engine.batches(0, 0))
    run.engine.backward(pixels, labels, 1)
    if isinstance(run.engine, BatchedEngine):
        weights = run.engine.weights
        return [weight.grad[0].double().cpu() for weight in weights if weight.grad is not None]
    assert isinstance(run.engine, MaskedEngine)
    found = [weight.grad for weight in run.engine.topology.weights.values()]
    return [part.double().cpu() for part in found if part is not None]


@cache
def _exact(config: RunConfig) -> list[Tensor]:
    return gradient(config, "cpu", "dense")
