"""Who counts as dormant: the paper's thresholds for the paper's network, in proportion for others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from regrow import metrics, models
from regrow.config import RunConfig
from regrow.sparsity import connection_counts
from regrow_companion import study


def outline(config: RunConfig, classes: int = 10) -> SimpleNamespace:
    """Connections of a network before training, and its thresholds."""
    image = (3, 32, 32) if config.image_format == "rgb32" else (1, 28, 28)
    shapes = models.weight_shapes(config, classes, image)
    connections = connection_counts(shapes, 1 - config.sparsity, config.init)
    return SimpleNamespace(connections=connections, thresholds=metrics.network_thresholds(shapes, connections))


def test_paper_thresholds_are_the_papers() -> None:
    """Mean degree of the 1536 hidden neurons: 129,918 in, 2 x 48,719 between them, 5,120 out."""
    found = outline(RunConfig(dataset="cifar10")).thresholds
    assert (found.low, found.high) == (10, 110)
    assert found.mean_degree == pytest.approx((129_918 + 2 * 48_719 + 5_120) / 1536)
    assert not found.scaled
    assert "as in the paper" in found.sentence


def test_quick_thresholds_scale_with_the_mean_degree_and_say_so() -> None:
    """784-300-100-10 at 5 % has round(.05 * 266,200) = 13,310 connections."""
    record = outline(study.runs("fig05", "quick")[0])
    fc1, fc2, fc3 = record.connections.values()
    assert fc1 + fc2 + fc3 == 13_310
    found = record.thresholds
    assert found.mean_degree == pytest.approx((fc1 + 2 * fc2 + fc3) / 400)
    assert found.high == round(110 * found.mean_degree / 151.35)
    assert found.scaled
    for part in (str(found.low), str(found.high), f"{found.mean_degree:.1f}", "110"):
        assert part in found.sentence


def test_a_sparse_output_layer_sets_no_floor() -> None:
    """Quick's fc3 has 919 of its 1000 connections, so neurons of hidden 2 may have fewer than ten: no "floor that ten
    output classes set", as the paper's dense fc3 does."""
    quick = outline(study.runs("fig05", "quick")[0])
    assert quick.connections["fc3"] == 919
    assert "floor" not in quick.thresholds.sentence


def test_the_number_of_classes_is_a_floor_only_under_a_dense_output_layer() -> None:
    """CIFAR-100: ERK gives fc3 36 % density. A low threshold of 100 beside a high one of 110 would be absurd."""
    record = outline(RunConfig(dataset="cifar100"), classes=100)
    assert record.connections["fc3"] < 0.4 * 51_200
    assert record.thresholds.low == 10


def test_low_threshold_never_falls_below_a_dense_output_layer() -> None:
    record = outline(RunConfig(hidden=(300, 100), sparsity=0.9))
    assert record.connections["fc3"] == 1000
    assert 10 * record.thresholds.mean_degree / metrics.PAPER_MEAN_DEGREE < 8
    assert record.thresholds.low == 10
