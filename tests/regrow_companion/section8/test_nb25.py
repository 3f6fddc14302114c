"""Networks that are not the paper's, trained by a loop that is not ours; Figure B21."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from regrow import models
from regrow.config import RunConfig
from regrow.sparsification import sparsify
from regrow_companion.section8 import nb25_anybody as anybody

TINY = RunConfig(dataset="fashion_mnist_small", image_format="native", train_limit=128, batch_size=32, epochs=2,
                 update_interval=2, sparsity=0.9)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Two rules of the smallest network, with the labels that reading adds."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for rule in ("static", "gradient"):
        case = anybody.Anybody(TINY, "mlp", rule)
        made, provenance = anybody.perform(case, None, lambda step: None)
        assert provenance["engine"] == "sparsify"
        for name, table in made.items():
            parts.setdefault(name, []).append(table.assign(network="mlp", rule=rule, seed=0))
    return {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}


def test_rules_start_alike_and_keep_their_number_of_connections(tables: dict[str, pd.DataFrame]) -> None:
    wiring, course = tables["wiring"], tables["course"]
    start = wiring[wiring["step"] == 0].groupby("layer")[["mean", "largest", "dead"]].nunique()
    assert (start == 1).all(axis=None)
    assert (wiring.groupby(["rule", "layer"])["mean"].nunique() == 1).all()
    static = wiring[wiring["rule"] == "static"].groupby("layer")["largest"].nunique()
    moved = wiring[wiring["rule"] == "gradient"].groupby("layer")["largest"].nunique()
    assert (static == 1).all() and moved.max() > 1
    assert course[course["epoch"] == 0]["validation %"].nunique() == 1 and set(course["epoch"]) == {0, 1, 2}


def test_the_summary_counts_at_the_end(tables: dict[str, pd.DataFrame]) -> None:
    summary = anybody.summary(tables["course"], tables["wiring"])
    end = tables["wiring"].query("rule == 'gradient' and step == step.max()")
    row = summary.loc[("mlp", "gradient")]
    assert row["largest / mean"] == pytest.approx((end["largest"] / end["mean"]).mean()) and row["seeds"] == 1
    assert row["without input %"] == pytest.approx(100 * end["dead"].sum() / end["units"].sum())


def test_the_figure_has_a_row_for_each_network(tables: dict[str, pd.DataFrame]) -> None:
    fig, frame = anybody.figure_b21(tables["course"], tables["wiring"], tables["ends"])
    assert len(fig.axes) == 3 and set(frame["what"]) == {"validation %", "ratio"}
    assert set(frame["rule"]) == {"static", "gradient"} and len(frame) == 2 * (2 + tables["wiring"]["step"].nunique())


@pytest.mark.parametrize("name", anybody.NETWORKS)
def test_every_network_is_sparse_but_for_what_stays_dense(name: str) -> None:
    network = anybody.NETWORKS[name]
    model = network.build()
    optimizer = network.optimizer(model)
    sparse = sparsify(model, optimizer, sparsity=0.9, dense=network.dense, preset="static",
                      update_interval=5, total_steps=10)
    assert sparse.density == pytest.approx(0.1, abs=0.001)
    assert not any(layer.startswith(tuple(network.dense)) for layer in sparse.masks if network.dense)
    model(torch.rand(2, 1, 28, 28)).sum().backward()
    sparse.step()


def test_the_transformers_attention_is_sparse() -> None:
    model = anybody.Encoder()
    sparse = sparsify(model, torch.optim.AdamW(model.parameters()), sparsity=0.9, dense=["head"], preset="static",
                      update_interval=5, total_steps=10)
    assert any("in_proj_weight" in layer for layer in sparse.masks)


def test_resnet18_is_torchvisions() -> None:
    """11,689,512 weights with 1,000 classes and three channels, says torchvision's page; shapes in the same order."""
    ours = anybody.resnet18(3, 1000)
    assert models.parameter_counts(ours)[0] == 11_689_512
    try:
        from torchvision.models import resnet18
    except (ImportError, RuntimeError):  # of another build than torch
        pytest.skip("torchvision does not import here")
    theirs = sorted(tuple(part.shape) for part in resnet18().parameters())
    assert sorted(tuple(part.shape) for part in ours.parameters()) == theirs


def test_what_is_planned() -> None:
    for profile, seeds in (("quick", 1), ("paper", 2)):
        cases = anybody.planned(profile)
        assert len(cases) == len({case.key for case in cases}) == 3 * 4 * seeds
        assert {case.rule for case in cases} == set(anybody.RULES)
