"""Every benchmark runs at a tiny size and returns the table that README and plot rely on. Times are never asserted."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import BENCHMARKS, batched, engines, selection, sparsify, topology
from bench.__main__ import main
from bench.baselines import Scipy, TorchCsr
from bench.engines import break_even, line
from bench.plot import plot
from bench.table import Table
from bench.timing import Timing, interleaved
from bench.workload import STATIC, Training, config, images, stream
from regrow.engines.sparse import SparseEngine
from regrow.errors import RegrowError
from regrow_companion.section8.nb25_anybody import resnet18
from regrow_companion.study import REPOSITORY

ROOT = REPOSITORY
ROWS: dict[str, dict[str, set]] = {
    "engines": {"engine": {"sparse", "dense", "dense, oneDNN", "torch CSR", "scipy"}},
    "conv": {"engine": {"sparse", "dense"}, "network": {"convnet"}},
    "update": {"growth": {"random", "gradient", "momentum"}},
    "memory": {"engine": {"sparse", "dense"}},
    "end_to_end": {"density": {0.05, 0.01}},
    "pipeline": {"pipeline": {"batched uint8", "DataLoader + torchvision"}},
    "batched": {"case": {"mlp", "convnet"}, "engine": {"usual", "dense", "batched"}, "runs": {1, 3}},
    "memory_format": {"network": {"convnet"}, "memory_format": {"channels_first", "channels_last"}},
    "sparsify": {"network": {"mlp", "resnet18"}, "growth": {"random", "gradient", "momentum"}},
    "store": {"part": {"training step", "degrees", "masks", "checkpoint", "record"}},
    "sweep": {"workers": {1, 2}},
    "notebooks": {"profile": {"replay", "quick"}},
    "selection": {"method": {"rules.largest", "torch.topk", "full sort"}},
    "topology": {"method": {"regrow.k_shells", "networkx", "igraph", "regrow.kendall_matrix", "scipy loop"}},
    "tails": {"method": {"regrow", "powerlaw, default", "powerlaw, exact", "igraph"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_runs_at_a_tiny_size(name: str) -> None:
    module = import_module(f"bench.{name}")
    table = module.run("tiny")
    assert table.name == name and table.columns == module.COLUMNS and table.rows
    for column, values in ROWS[name].items():
        assert {row[column] for row in table.rows} == values
    for row in table.rows:
        assert tuple(row) == table.columns
        assert all(isinstance(value, str) or math.isfinite(value) for value in row.values())
    assert table.title in table.text() and json.dumps(table.to_dict())
    if name == "memory":
        sparse, dense = table.rows
        assert sparse["bytes_per_connection"] == pytest.approx(8, rel=0.05) and sparse["state_mb"] < dense["state_mb"]
        assert all(row["peak_rss_mb"] > 50 for row in table.rows)


@pytest.mark.parametrize("growth", sparsify.GROWTH)
def test_sparsify_and_the_loop_by_hand_train_the_same_network(growth: str) -> None:
    by_hand, model, sparse, _optimizer = sparsify.pair(lambda: resnet18(3), growth)
    pixels, labels = torch.randn(2, 3, 32, 32), torch.tensor([1, 7])
    for _ in range(2):
        by_hand.step(pixels, labels)
        sparsify.passes(model, pixels, labels)
        sparse.step()
    assert all(map(torch.equal, model.parameters(), by_hand.model.parameters()))
    assert sum(sparse.counts.values()) == round(0.1 * 11_172_032)


def test_the_alternatives_train_the_same_network() -> None:
    """Otherwise their times could not be compared: the same weights after a few steps on the same batches."""
    run_config, dataset = config("tiny", 0.2, **STATIC), images(512)
    ours, dense = (Training(run_config, dataset, engine) for engine in ("sparse", "dense"))
    assert isinstance(ours.engine, SparseEngine)
    layers = list(ours.engine.layers.values())
    others = [kind(run_config, layers) for kind in (TorchCsr, Scipy)]
    for other in others:
        for _, (x, labels) in zip(range(6), stream(dataset, run_config), strict=False):
            other.step(x, labels)
    onednn = engines.onednn(run_config, dataset)
    for _ in range(6):
        for training in (ours, dense, onednn):
            training.step()
    for index, (name, layer) in enumerate(ours.engine.layers.items()):
        for other in others:
            np.testing.assert_allclose(other.weights()[index], layer.weight, atol=1e-5)
        for training in (dense, onednn):
            weight = training.engine.topology.weights[name].detach()
            torch.testing.assert_close(weight, layer.dense(layer.weight), atol=1e-5, rtol=0)


def test_all_selections_choose_the_same() -> None:
    scores, among = torch.randperm(500).float().reshape(20, 25), torch.rand(20, 25) > 0.3
    chosen = [method(scores, among, 40) for method in selection.METHODS.values()]
    assert all(torch.equal(mask, chosen[0]) for mask in chosen) and int(chosen[0].sum()) == 40


def test_all_shells_are_the_same() -> None:
    pytest.importorskip("igraph")
    masks = topology._masks("tiny")
    ours = topology.by_regrow(masks)
    assert np.array_equal(ours, topology.by_networkx(masks)) and np.array_equal(ours, topology.by_igraph(masks))


def test_cases_take_turns() -> None:
    calls: list[str] = []
    timings = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, calls=2,
                          warm_up=1, prepare=lambda: calls.append("-"))
    assert "".join(calls) == "ab" + "-aa-bb" * 3
    assert all(len(timing.seconds) == 3 for timing in timings.values())


def test_a_timing_is_its_median_and_quartiles() -> None:
    timing = Timing((0.004, 0.001, 0.003, 0.002, 0.1))
    assert timing.columns(per=2) == pytest.approx({"ms": 1.5, "ms_q1": 1.0, "ms_q3": 2.0, "repeats": 5})
    assert Timing((0.5,)).quartiles == (0.5, 0.5)


def test_conclusions_from_numbers_with_a_known_answer() -> None:
    assert line([0, 1, 2, 3], [1, 3, 5, 7]) == pytest.approx((2, 1, 0))
    _, intercept, worst = line([1, 10, 100, 1000], [2, 11, 130, 1300])
    assert intercept == pytest.approx(0.757, abs=0.01) and worst < 0.16  # not -0.46
    assert break_even([0.4, 0.1], [0.5, 2.0]) == pytest.approx(0.2)
    assert break_even([0.4, 0.1], [1.5, 2.0]) is None


def test_an_unknown_name_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine"]) == 2
    assert capsys.readouterr().err == "bench: There is no benchmark 'engine' (did you mean 'engines'?).\n"
    assert main(["selection", "--size", "tiny", "--save"]) == 2
    assert "Only full measurements" in capsys.readouterr().err


def test_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selection", "--size", "tiny"]) == 0
    assert "rules.largest" in capsys.readouterr().out
    assert main(["selection", "--size", "tiny", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["name"] == "selection" and result["hardware"] and result["versions"]["torch"] == torch.__version__


def test_saved_results_can_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="bench engines --save"):
        plot(tmp_path)
    columns = ("density", "connections", "engine", "ms", "ms_q1", "ms_q3", "repeats", "times_dense")
    rows = [dict(zip(columns, (density, int(1e6 * density), engine, ms, ms, ms, 3, 40 / ms), strict=True))
            for density in (0.01, 0.1, 0.5) for engine, ms in (("sparse", 2 + 100 * density), ("dense", 40.0))]
    Table("engines", "title", columns, rows).save({"hardware": "a processor"}, tmp_path)
    more = [{"network": network, "what": what, **row} for row in rows for network in ("convnet", "vgg16")
            for what in ("step", "evaluation")]
    Table("conv", "title", tuple(more[0]), more).save({"hardware": "a processor"}, tmp_path)
    svg = plot(tmp_path).read_bytes()
    assert (tmp_path / "conv.svg").read_bytes() != svg
    assert (tmp_path / "engines.png").stat().st_size > 1000 and b"<svg" in svg
    assert plot(tmp_path).read_bytes() == svg


def test_the_readme_names_every_benchmark() -> None:
    text = (ROOT / "bench" / "README.md").read_text()
    assert all(f"`{name}`" in text for name in BENCHMARKS)


@pytest.mark.parametrize("error", [ModuleNotFoundError("nvidia-ml-py"), RuntimeError("no driver"), type(
    "NVMLError_NotSupported", (Exception,), {})("Not Supported")], ids=lambda error: type(error).__name__)
def test_a_gpu_that_does_not_tell_how_busy_it_is(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a part of one (MIG): the library that asks the driver has errors of its own."""
    def refused() -> int:
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", refused)
    assert batched._gpu_utilisation() == "not reported"
