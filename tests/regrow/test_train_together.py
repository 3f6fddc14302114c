"""Runs that train together end as they would have ended alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from regrow import data, train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines import batched
from regrow.engines.batched import BatchedEngine, shared
from regrow.errors import ConfigError, RegrowError
from regrow.record import Record
from regrow.store import Store

SMALL = RunConfig(hidden=(60, 30), train_limit=1000, epochs=14, update_interval=33)
STATIC = {"prune": "none", "grow": "none"}
DYNAMIC = [
    SMALL.but(grow="random", seed=1), SMALL.but(grow="gradient", seed=1), SMALL.but(grow="momentum", seed=2),
    SMALL.but(grow="random>momentum", switch_at=0.4, sparsity=0.8, seed=2), SMALL.but(grow="gradient", prune="set",
    regrow_pruned=False, seed=1), SMALL.but(grow="momentum", regrown_weight="keep", init="uniform", seed=3),
]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return data.load(SMALL.dataset, image_format=SMALL.image_format, train_limit=SMALL.train_limit)


def engine_of(run: train.Run) -> BatchedEngine:
    assert isinstance(run.engine, BatchedEngine)
    return run.engine


@pytest.mark.slow
@pytest.mark.parametrize("configs", [
    DYNAMIC,
    [config.but(update_order="instead_of_step", nesterov=False, momentum=0.0) for config in DYNAMIC[:3]],
    [SMALL.but(**STATIC, seed=4), SMALL.but(**STATIC, sparsity=0.0, seed=4)],
    [SMALL.but(augment="crop_flip", batch_size=96)],
], ids=["strategies", "rigl order, no momentum", "static and dense", "alone"])
def test_agrees_with_dense_in_double_precision(configs: list[RunConfig], dataset: Dataset) -> None:
    """More than 100 steps and 3 updates: the same masks, weights to 1e-9, and records."""
    configs = [config.but(dtype="float64") for config in configs]
    run = train.start_together(configs, dataset)
    records = train.finish_together(run, dataset)
    for index, (config, record) in enumerate(zip(configs, records, strict=True)):
        alone = train.start(config, dataset)
        expected = train.finish(alone, dataset)
        assert record.config == config and run.step > 100
        for layer, weight in engine_of(run).topologies[index].weights.items():
            assert torch.equal(engine_of(run).masks[index][layer], alone.engine.masks[layer])
            torch.testing.assert_close(weight, alone.engine.topology.weights[layer].detach(), atol=1e-9, rtol=0)  # type: ignore[attr-defined]
        same(record, expected)


def same(record: Record, expected: Record) -> None:
    for ours, theirs in ((record.train_loss, expected.train_loss), (record.val_accuracy, expected.val_accuracy),
                         (record.test_accuracy, expected.test_accuracy)):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    assert np.array_equal(record.steps, expected.steps) and np.array_equal(record.moment_steps, expected.moment_steps)
    for layer in expected.layers:
        assert np.array_equal(record.in_degree[layer], expected.in_degree[layer])
        assert np.array_equal(record.explored[layer], expected.explored[layer])
        assert np.array_equal(record.packed_masks[layer], expected.packed_masks[layer])


@pytest.mark.slow
def test_resumes_bit_for_bit_at_any_step(dataset: Dataset, tmp_path: Path) -> None:
    whole = [record.result_sha256 for record in train.finish_together(train.start_together(DYNAMIC, dataset), dataset)]

    class Killed(Exception):
        pass

    for at in (5, 33, 40, 111):
        def stop(run: train.Run, at: int = at) -> None:
            if run.step == at:
                train.save_checkpoint(run, tmp_path / "checkpoint.npz", "batched")
                raise Killed

        with pytest.raises(Killed):
            train.finish_together(train.start_together(DYNAMIC, dataset), dataset, save=stop)
        run = train.start_together(DYNAMIC, dataset)
        train.restore_checkpoint(run, tmp_path / "checkpoint.npz", "batched")
        assert [record.result_sha256 for record in train.finish_together(run, dataset)] == whole


def test_only_runs_with_the_same_steps_share_a_batch() -> None:
    other = [SMALL.but(lr=0.05), SMALL.but(update_interval=50), SMALL.but(**STATIC), SMALL.but(hidden=(60, 20))]
    found = batched.groups([*DYNAMIC, *other, SMALL.but(**STATIC, sparsity=0.0)], largest=4)
    assert [len(group) for group in found] == [4, 2, 1, 1, 2, 1]
    assert [config for group in found for config in group if group[0] in DYNAMIC] == DYNAMIC
    with pytest.raises(ConfigError, match="may differ in seed"):
        train.start_together([DYNAMIC[0], other[0]], data.load(SMALL.dataset, image_format="native", train_limit=64))


def test_what_runs_share_is_everything_that_shapes_a_step() -> None:
    assert len({shared(config) for config in DYNAMIC}) == 1
    assert shared(SMALL) != shared(SMALL.but(weight_decay=0.0)) != shared(SMALL.but(growth_beta=0.8))
    assert batched.supports(SMALL) and not batched.supports(SMALL.but(grown_buffer="keep"))
    assert not batched.supports(RunConfig(model="convnet"))


def test_the_store_keeps_a_record_per_run_and_trains_only_what_is_missing(tmp_path: Path) -> None:
    short = [config.but(epochs=1, train_limit=256, update_interval=2) for config in DYNAMIC[:3]]
    store = Store(tmp_path)
    first = store.ensure(short[1], engine="batched")
    records = store.ensure_all(short)
    assert [record.config for record in records] == short
    assert records[1].result_sha256 == first.result_sha256
    assert records[0].provenance["together"] == 2 and first.provenance["together"] == 1
    assert first.provenance["engine"] == "batched"
    assert not list((tmp_path / "checkpoints").glob("*"))
    with pytest.raises(RegrowError, match="--engine dense"):
        store.ensure(RunConfig(model="convnet"), engine="batched")


def test_a_killed_batch_resumes_where_it_was(tmp_path: Path) -> None:
    short = [config.but(epochs=3, train_limit=256, update_interval=2) for config in DYNAMIC[:3]]
    whole = [record.result_sha256 for record in Store(tmp_path / "whole").ensure_all(short)]
    store, steps = Store(tmp_path / "killed"), []

    def kill(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.ensure_all(short, progress=kill, checkpoint_seconds=0)
    assert not any(store.has(config) for config in short)
    records = store.ensure_all(short, progress=steps.append)
    assert steps[0] == 5 and [record.result_sha256 for record in records] == whole
    assert all(record.provenance["resumed"] for record in records)


def test_images_are_gathered_once_for_all_seeds(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU every gather for a seed of its own would be a dozen kernels more in every step."""
    drawn, gathers = data.drawn, []
    monkeypatch.setattr(data, "drawn", lambda images, draw: gathers.append(len(draw.chosen)) or drawn(images, draw))
    configs = [SMALL.but(augment="crop_flip", batch_size=96, seed=seed, grow=grow) for seed in (3, 1)
               for grow in ("random", "gradient")]
    engine = engine_of(train.start_together(configs, dataset))
    images, labels = next(engine.batches(0, start=0))
    assert images.shape == (4, 96, 784) and labels.shape == (4, 96) and gathers == [2 * 96]
    assert torch.equal(images[0], images[1]) and not torch.equal(images[1], images[2])
