"""The table of a rule beside others: paired by seed, with an interval that scipy confirms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion.plots import nb20_rule_comparison as rule_comparison
from regrow_companion.style import unlabelled_axes


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    store = Store(tmp_path_factory.mktemp("store"))
    config = RunConfig(dataset="fashion_mnist_small", image_format="native", hidden=(20, 10), train_limit=256, epochs=2,
                       update_interval=1)
    wanted = [("random", 0), ("random", 1), ("random", 2), ("l3", 1), ("l3", 2), ("gradient", 0)]
    return [store.ensure(config.but(grow=grow, seed=seed)) for grow, seed in wanted]


def test_differences_are_paired_by_seed(records: list[Record]) -> None:
    table = rule_comparison.comparison(records).set_index("method")
    by_run = {(r.config.grow, r.config.seed): r.val_accuracy[-1] for r in records}
    gains = [by_run["l3", seed] - by_run["random", seed] for seed in (1, 2)]
    low, high = stats.ttest_1samp(gains, 0.0).confidence_interval(0.95)
    assert table.loc["l3", ["difference", "low", "high"]].tolist() == pytest.approx([np.mean(gains), low, high])
    assert table.loc["random", ["seeds", "difference", "low", "high"]].tolist() == [3, 0, 0, 0]
    assert np.isnan(table.loc["gradient", "low"]) and np.isnan(table.loc["gradient", "sd"])
    assert (table["explored"] >= 5).all() and (table["explored"] <= 100).all()


def test_the_figure_has_both_panels_and_its_data(records: list[Record]) -> None:
    fig, data = rule_comparison.figure(records)
    assert unlabelled_axes(fig) == [] and set(data["panel"]) == {"a", "b"}
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["random (N=3)", "l3 (N=2)", "gradient (N=1)"]
    end = data[(data["panel"] == "b") & (data["method"] == "l3")]
    assert len(end) == 2 * 30 and end["y"].iloc[-1] == pytest.approx(0, abs=1e-12)


def test_no_base_no_difference(records: list[Record]) -> None:
    assert np.isnan(rule_comparison.comparison(records[3:])["difference"]).all()


def test_a_rule_is_compared_with_runs_that_differ_in_nothing_else(records: list[Record]) -> None:
    random, l3, gradient = records[0], records[3], records[5]

    def black(record: Record, **more: object) -> Record:
        return replace(record, config=record.config.but(augment="crop_flip", **more))

    older = [black(random), black(l3), black(gradient), black(random, sparsity=0.8), gradient,
             black(random, grow="random>gradient"), black(random, prune="none", grow="none"),
             black(random, prune="none", grow="none", sparsity=0.0)]
    assert rule_comparison.like_with_like([random, gradient], older) == older[:3]
    assert rule_comparison.like_with_like([random, l3], older) == [random, l3]
    assert rule_comparison.like_with_like([random], [black(random)]) == [random]
