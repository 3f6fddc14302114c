"""docs/speed.md, from bench/results and the seconds in results/runs.csv."""

from __future__ import annotations

import pandas as pd

from prose import measures as m
from prose.said import Said, about
from regrow.engines import BREAK_EVEN_DENSITY, batched

PAGE = "docs/speed.md"
EXCUSED = {
    "99 % sparse": "a density of the table",
    "| 90 % | 80 % |": "densities of the table",
    "batch 128": "the batch of the benchmark",
    "of the 400 steps before": "the paper's interval",
    "an update every 400 steps": "the paper's interval",
    "AVX-512": "a name",
    "to 1e-9": "the tolerance of a test",
}
QUIET = "7199e16a0f9974a1d59d97ca33c07a5d2f96e7b9"  # the commit of some runs on a machine that did little else


def times(table: str, what: str, density: float) -> float:
    """How many times as long an alternative takes as the sparse engine."""
    rows = m.bench(table)
    rows = rows[rows["density"] == density].set_index("engine")["ms"]
    return float(rows[what] / rows["sparse"])


def usual_loop(density: float) -> float:
    rows = m.bench("end_to_end")
    return float(rows[rows["density"] == density]["times_usual"].max())


def conv(network: str, density: float) -> float:
    rows = m.bench("conv").query("network == @network and density == @density and what == 'step'")
    return float(rows.set_index("engine").loc["sparse", "times_dense"])


def averaged(network: str) -> float:
    """How many times as fast as a dense one a step is that feeds momentum growth's average, at 95 %."""
    rows = m.bench("conv").query("network == @network and density == 0.05 and what == 'step for momentum growth'")
    return float(rows.set_index("engine").loc["sparse", "times_dense"])


def channels_last(network: str) -> float:
    """How many times as long a dense step takes with its images channels first."""
    rows = m.bench("memory_format").query("network == @network")
    return float(rows.set_index("memory_format").loc["channels_first", "times_last"])


def part(of: str) -> float:
    """Of a ConvNet's step at 95 % sparsity, as a fraction."""
    return m.bench_fact("conv", f"convnet, percent of a step: {of}") / 100


def conv_ms(what: str) -> float:
    rows = m.bench("conv").query("network == 'convnet' and density == 0.05 and what == @what and engine == 'sparse'")
    return float(rows["ms"].iloc[0])


def quiet() -> pd.DataFrame:
    """Minutes of the 95 % sparse MLP on a quiet machine, a row per data set, a column per rule."""
    rows = m.listed()
    rows = rows[(rows["commit"] == QUIET) & (rows["sparsity"] == 0.95) & rows["method"].isin(m.STRATEGIES)]
    return rows.pivot(index="dataset", columns="method", values="seconds") / 60


def minutes(*rules: str) -> list[float]:
    return list(quiet()[list(rules)].to_numpy().ravel())


def momentum_over_others() -> list[float]:
    """How many times as long momentum growth takes, by data set."""
    return list(quiet()["momentum"] / quiet()[["random", "gradient"]].mean(axis=1))


SAID = [
    Said("stays flat near {}, the sparse engine rises in proportion from {} to {} and crosses it near a density of {}",
         lambda: (about(m.bench_fact("engines", "dense, ms (median over densities)"), 10),
                  *m.low_high(m.bench("engines").query("engine == 'sparse'")["ms"]),
                  m.bench_fact("engines", "break-even density"))),
    Said("| masked-dense PyTorch | {} times faster | {} times |",
         lambda: [times("engines", "dense", density) for density in (0.05, 0.01)]),
    Said("| the same, its matrix products by oneDNN | {} times | {} times |",
         lambda: [times("engines", "dense, oneDNN", density) for density in (0.05, 0.01)]),
    Said("with those of oneDNN, which PyTorch ships as well and does not use for it, a dense step is {} times as fast",
         lambda: (times("engines", "dense", 0.05) / times("engines", "dense, oneDNN", 0.05),)),
    Said("| PyTorch CSR matrices | {} times | {} times |",
         lambda: [times("engines", "torch CSR", density) for density in (0.05, 0.01)]),
    Said("| scipy.sparse | {} times | {} times |",
         lambda: [times("engines", "scipy", density) for density in (0.05, 0.01)]),
    Said("masked-dense step | {} times | {} times |", lambda: [usual_loop(density) for density in (0.05, 0.01)]),
    Said("| ConvNet | {} times faster | {} times | {} times |",
         lambda: [conv("convnet", density) for density in (0.05, 0.1, 0.2)]),
    Said("| ResNet-56 | {} times | {} times | {} times |",
         lambda: [conv("resnet56", density) for density in (0.05, 0.1, 0.2)]),
    Said("| VGG-16 | {} times | {} times | {} times |",
         lambda: [conv("vgg16", density) for density in (0.05, 0.1, 0.2)]),
    Said("Of a ConvNet's step at {95} % a third is forward, a third the gradient of the weights, a fifth that of the "
         "inputs",
         lambda: (abs(part("forward") - 1 / 3) < 0.04, abs(part("weight gradient") - 1 / 3) < 0.04,
                  abs(part("data gradient") - 1 / 5) < 0.04)),
    Said("Steps that feed momentum growth's average cost {} ms in place of {}, so a run takes half as long again",
         lambda: (conv_ms("step for momentum growth"), conv_ms("step"),
                  1.4 < (132 * conv_ms("step for momentum growth") + 268 * conv_ms("step")) / (400 * conv_ms("step"))
                  < 1.6)),
    Said("{} times as fast for ConvNet, {} for both CIFAR ResNets, {} for VGG-16, and hardly faster ({}) for ResNet-50",
         lambda: (channels_last("convnet"), channels_last("resnet56"), channels_last("vgg16"),
                  channels_last("resnet50"),
                  round(channels_last("resnet50-cifar"), 1) == round(channels_last("resnet56"), 1))),
    Said("up to a density of {} (ConvNet), {} (ResNets) and {} (VGG-16)",
         lambda: (*(BREAK_EVEN_DENSITY[network] for network in ("convnet", "resnet56", "vgg16")),
                  BREAK_EVEN_DENSITY["resnet50-cifar"] == BREAK_EVEN_DENSITY["resnet56"])),
    Said("steps that feed momentum growth's average are slower than dense ones in ResNet-56 and VGG-16, a third of all",
         lambda: (*(averaged(network) < 1 for network in ("resnet56", "vgg16")), abs(132 / 400 - 1 / 3) < 0.01)),
    Said("trains up to {} MLPs", lambda: (batched.LARGEST,)),
    Said("A topology update costs {} to {} % of the 400 steps",
         lambda: m.low_high(m.bench("update")["update_percent"])),
    Said("a run takes {} to {} times as long", lambda: m.low_high(momentum_over_others())),
]
