"""Shipped records: small, readable by numpy alone, and the same to every figure that reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regrow import RunConfig, Store, compact, files
from regrow.errors import StoreError
from regrow.record import Record
from regrow_companion import shipping, study
from regrow_companion.study import SHIPPED

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=32, update_interval=3)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return Store(tmp_path_factory.mktemp("store")).ensure(TINY)


@pytest.fixture
def shipped(full: Record, tmp_path: Path) -> Record:
    compact.save(full, tmp_path / "records" / f"{full.key}.npz")
    return compact.load(tmp_path / "records" / f"{full.key}.npz")



def test_a_convolutional_network_is_shipped_without_paths(tmp_path: Path) -> None:
    config = RunConfig(model="convnet", dataset="fashion_mnist_small", train_limit=128, batch_size=32, epochs=1,
                       update_interval=2)
    whole = Store(tmp_path / "store").ensure(config)
    compact.save(whole, tmp_path / "small.npz")
    small = compact.load(tmp_path / "small.npz")
    assert len(small.input_paths()) == 0
    for layer in whole.layers:
        np.testing.assert_array_equal(small.in_degree[layer], whole.in_degree[layer])
        np.testing.assert_array_equal(small.masks(5)[layer], whole.masks(5)[layer])
        np.testing.assert_array_equal(small.masks(0)[layer], whole.masks(0)[layer])


def test_says_what_the_full_record_says(full: Record, shipped: Record) -> None:
    assert shipped.config == full.config and shipped.provenance == full.provenance
    assert shipped.connections == full.connections and shipped.moments == full.moments
    for name in ("learning_rate", "train_loss", "val_accuracy", "test_accuracy", "steps", "prune_rates"):
        np.testing.assert_array_equal(getattr(shipped, name), getattr(full, name))
    np.testing.assert_array_equal(*(r.hidden_degrees() for r in (full, shipped)))
    np.testing.assert_array_equal(shipped.input_degrees(), full.input_degrees())
    np.testing.assert_array_equal(shipped.input_paths(), full.input_paths())
    assert full.mask_moments == (0, 1, 2, 3, 4, 5) and shipped.mask_moments == (0, 5)
    for moment in shipped.mask_moments:
        for layer, mask in full.masks(moment).items():
            np.testing.assert_array_equal(shipped.masks(moment)[layer], mask)


def test_refuses_the_masks_it_does_not_have(shipped: Record) -> None:
    with pytest.raises(StoreError, match="train the run again"):
        shipped.masks(2)


def test_a_store_reads_shipped_records_but_never_moves_them(full: Record, shipped: Record, tmp_path: Path) -> None:
    store = Store(tmp_path / "own", read_also=(tmp_path,))
    found = store.get(TINY)
    assert found is not None and found.key == full.key and store.has(TINY)
    path = tmp_path / "records" / f"{full.key}.npz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.warns(UserWarning, match="not used"):
        assert store.get(TINY) is None
    assert path.exists() and not (tmp_path / "own").exists()


def test_numpy_alone_reads_it(full: Record, shipped: Record, tmp_path: Path) -> None:
    with np.load(tmp_path / "records" / f"{full.key}.npz", allow_pickle=False) as file:
        degrees = np.cumsum(file["in_degree/fc1"], axis=0)
    np.testing.assert_array_equal(degrees, full.in_degree["fc1"])


def test_the_same_record_gives_the_same_bytes(full: Record, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        compact.save(full, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_without_topology_accuracies_stay_and_masks_go(full: Record, tmp_path: Path) -> None:
    compact.save(full, tmp_path / "thin.npz", topology=False)
    thin = compact.load(tmp_path / "thin.npz")
    np.testing.assert_array_equal(thin.test_accuracy, full.test_accuracy)
    np.testing.assert_array_equal(thin.steps, full.steps[[0, -1]])
    np.testing.assert_array_equal(thin.input_degrees(), full.input_degrees()[-1:])
    assert thin.connections == full.connections and thin.collapsed == full.collapsed
    with pytest.raises(StoreError, match="train the run again"):
        thin.masks(5)


def test_the_list_of_what_is_shipped(full: Record, tmp_path: Path) -> None:
    compact.save(full, tmp_path / "records" / f"{full.key}.npz")
    rows = pd.read_csv(shipping.write_list(tmp_path))
    assert rows["key"].tolist() == [full.key] and rows["method"].tolist() == ["gradient"]
    assert rows["test %"][0] == pytest.approx(full.test_accuracy[-1], abs=0.005)
    assert rows["updates recorded"][0] == len(full.steps) - 1 and rows["data sha256"].notna().all()


OTHERS: dict[str, object] = {
    "augment": "flip", "sparsity": 0.9, "update_interval": 2, "lr": 0.05, "lr_milestones": (0.25,), "seed": 7,
    "grow": "random", "prune": "set", "regrow_pruned": False, "hidden": (30, 10), "grown_buffer": "keep",
    "dtype": "float64", "train_limit": 128, "switch_at": 0.25, "epochs": 3}


@pytest.mark.parametrize("name", list(OTHERS))
def test_two_runs_that_differ_in_one_key_differ_in_its_column(full: Record, name: str) -> None:
    rows = shipping.table([full, replace(full, config=full.config.but(**{name: OTHERS[name]}))])
    assert rows[name].nunique() == 2
    others = [column for column in rows if column not in (name, "key", "method") and rows[column].nunique() == 2]
    assert others == []


def test_every_run_of_a_list_has_a_line_of_its_own(full: Record) -> None:
    records = [full, *(replace(full, config=full.config.but(**{name: value})) for name, value in OTHERS.items())]
    rows = shipping.table(records)
    keys = [*shipping.IDENTITY, *shipping.varied([record.config for record in records])]
    assert not rows.duplicated(keys).any() and set(OTHERS) <= set(keys)
    assert set(rows["hidden"]) == {"20,10", "30,10"}  # as it is typed on the command line


def test_the_list_has_both_readings(full: Record) -> None:
    run = replace(full, val_accuracy=np.array([61.0, 60.0]), test_accuracy=np.array([58.0, 60.126]))
    row = shipping.table([run]).iloc[0]
    assert row[["validation %", "test %", "best validation epoch", "test % at best validation"]].tolist() == [
        60.0, 60.13, 1, 58.0]
    assert shipping.table([]).empty


# ---- records from before a key existed ------------------------------------------------------------------------------


def test_records_from_before_a_key_existed_open_under_their_own_keys() -> None:
    """Shipped files whose heads do not name the newest keys: what they did then is what their configs say now."""
    older = 0
    for path in sorted((SHIPPED / "records").glob("*.npz")):
        _, head = files.read_arrays(path)
        if "padding" not in head["config"]:
            older += 1
            found = compact.load(path)
            assert found.key == path.stem == head["key"]
            assert (found.config.padding, found.config.normalise, found.config.crop_pad, found.config.evaluation) == (
                "same", "own", 4, "plain")
    assert older > 20


def test_short_runs_from_before_the_padding_keep_their_keys() -> None:
    """The ConvNet of notebook 24 was padded; a run of the same words would not be today."""
    runs = json.loads((SHIPPED / "beyond" / "cnn.json").read_text())
    configs = [RunConfig.from_record(run["config"]) for run in runs]
    assert set(configs) == set(study.runs("cnn", "paper"))
    assert {config.padding for config in configs} == {"same"} and "padding" not in runs[0]["config"]
