"""Records: what they say about a run, and that they come back from disk bit for bit, without torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow import files, record
from regrow.config import RunConfig
from regrow.data import percent
from regrow.errors import ConfigError, StoreError
from regrow.record import Accuracy, Moment, Record, Recorder, Recorders

SHAPES = {"conv": (3, 2, 3, 3), "fc10": (5, 3), "fc2": (4, 5)}  # forward order is not alphabetical order


def made(seed: int = 0, updates: int = 2) -> Record:
    """A record from random masks, without any training."""
    rng = np.random.default_rng(seed)
    masks = {name: rng.random(shape) < 0.5 for name, shape in SHAPES.items()}
    rows = updates + 1
    return Record(
        config=RunConfig(hidden=(5, 3), epochs=3, lr_milestones=(0.25,), seed=seed), shapes=dict(SHAPES),
        steps_per_epoch=4, learning_rate=np.full(3, 0.1), train_loss=np.array([2.0, 1.0, 0.5]),
        val_accuracy=np.array([10.0, 30, 60]), test_accuracy=np.array([11.0, 31, 61]),
        steps=np.arange(rows) * 4, prune_rates=np.array([np.nan, *[0.5] * updates]),
        in_degree={n: np.stack([m.sum(tuple(range(1, m.ndim)))] * rows).astype(np.int16) for n, m in masks.items()},
        out_degree={n: np.stack([m.sum((0, *range(2, m.ndim)))] * rows).astype(np.int16) for n, m in masks.items()},
        explored={n: np.full(rows, m.sum()) for n, m in masks.items()}, moment_steps=np.array([0, 4, 4, 6, 9, 12]),
        packed_masks={n: np.stack([record.pack(m if i < 5 else ~m) for i in range(6)]) for n, m in masks.items()},
        provenance={"seconds": 1.5, "device": "cpu", "versions": ["a", "b"]})


def assert_equal(one: Record, other: Record) -> None:
    for f in fields(Record):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if isinstance(a, np.ndarray):
            a, b = {"": a}, {"": b}
        if isinstance(a, dict) and a and isinstance(next(iter(a.values())), np.ndarray):
            assert list(a) == list(b)
            for name in a:
                assert a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes(), f.name
        else:
            assert a == b, f.name


def test_round_trip(tmp_path):
    original = made()
    original.save(tmp_path / "r.npz")
    back = record.load(tmp_path / "r.npz")
    assert_equal(original, back)
    assert back.layers == ("conv", "fc10", "fc2"), "forward order"
    assert back.result_sha256 == original.result_sha256 and back.key == original.key
    assert isinstance(back.config.lr_milestones, tuple) and all(isinstance(s, tuple) for s in back.shapes.values())


def test_what_it_says():
    r = made()
    assert r.moments[0] == Moment(0, 0.0) and r.moments[0].label == "before training"
    assert r.moments[3] == Moment(6, 1.5) and r.moments[3].label == "epoch 1.5"
    assert r.epochs_at.tolist() == [0, 1, 2]
    for i in range(6):
        for name, mask in r.masks(i).items():
            assert mask.dtype == bool and mask.shape == SHAPES[name]
            total = r.connections[name] if i < 5 else math.prod(SHAPES[name]) - r.connections[name]
            assert mask.sum() == total
    assert np.array_equal(r.masks(5)["fc2"], ~r.masks(0)["fc2"])
    assert not r.diverged and not r.collapsed
    assert replace(r, train_loss=np.array([1.0, np.inf, 1.0])).diverged
    assert replace(r, train_loss=np.array([1.0, np.nan, 1.0])).collapsed
    # fc2 has 4 outputs: chance is 25 %
    assert replace(r, test_accuracy=np.array([90.0, 37.5])).collapsed
    assert not replace(r, test_accuracy=np.array([10.0, 37.6])).collapsed


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_packing_is_exact(rows, columns, seed):
    mask = np.random.default_rng(seed).random((rows, columns)) < 0.3
    packed = record.pack(mask)
    assert packed.dtype == np.uint8 and len(packed) == math.ceil(mask.size / 8)
    assert np.array_equal(np.unpackbits(packed, count=mask.size).reshape(mask.shape), mask)


def test_checksum_is_of_the_result_and_not_of_its_circumstances():
    r = made()
    assert replace(r, provenance={"seconds": 99}).result_sha256 == r.result_sha256
    assert replace(r, train_loss=r.train_loss + 1e-12).result_sha256 != r.result_sha256
    masks = {name: packed.copy() for name, packed in r.packed_masks.items()}
    masks["fc2"][3, 0] ^= 128
    assert replace(r, packed_masks=masks).result_sha256 != r.result_sha256
    assert replace(r, config=r.config.but(seed=1)).result_sha256 != r.result_sha256


def test_a_file_of_another_kind_or_version_is_refused(tmp_path):
    path = tmp_path / "r.npz"
    r = made()
    head, arrays = r.head() | {"provenance": {}}, r.arrays()
    for wrong, match in (
        ({"format": "regrow record 99"}, "not a record of this version"),
        ({"format": "regrow checkpoint 1"}, "not a record of this version"),
        ({"config": head["config"] | {"later": 1}}, "another version of regrow"),
        ({"config": head["config"] | {"epochs": 0}}, "another version of regrow"),
        ({"layers": ["fc1"]}, "another version of regrow"),
        ({"key": "0" * 16}, "key"),
    ):
        files.write_arrays(path, arrays, head | wrong, zipfile.ZIP_DEFLATED)
        with pytest.raises(StoreError, match=match) as caught:
            record.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    files.write_arrays(path, {n: a for n, a in arrays.items() if n != "steps"}, head, zipfile.ZIP_DEFLATED)
    with pytest.raises(StoreError, match="another version"):
        record.load(path)


def test_json_of_the_result():
    said = json.loads(record.to_json(made()))
    assert said["key"] == made().key and said["test_accuracy"] == 61 and said["val_accuracy"] == 60
    assert said["connections"] == made().connections and said["seconds"] == 1.5
    assert RunConfig.from_dict({**said["config"], "hidden": (5, 3), "lr_milestones": (0.25,)}) == made().config


READ_IT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked here")

path = sys.argv[1]
"""
WITH_NUMPY = READ_IT.replace("BLOCKED", '("torch", "torchvision", "regrow", "pickle5")') + """
sys.meta_path.insert(0, Blocked())
import json, numpy as np
with np.load(path, allow_pickle=False) as file:
    head = json.loads(bytes(file["head"]))
    mask = np.unpackbits(file["packed_masks/fc10"][5], count=15).reshape(head["shapes"]["fc10"])
    print(head["key"], file["test_accuracy"][-1], head["layers"], mask.sum())
"""
WITH_REGROW = READ_IT.replace("BLOCKED", '("torch", "torchvision")') + """
sys.meta_path.insert(0, Blocked())
import pathlib, regrow.record
from regrow import RunConfig, Store
r = regrow.record.load(pathlib.Path(path))
root = pathlib.Path(path).parents[1]
assert Store(root).get(r.config).result_sha256 == r.result_sha256 and "torch" not in sys.modules
print(r.key, r.test_accuracy[-1], list(r.layers), r.masks(5)["fc10"].sum())
"""


@pytest.mark.parametrize("script", [WITH_NUMPY, WITH_REGROW], ids=["numpy", "regrow"])
def test_readable_without_torch(tmp_path, script):
    r = made()
    path = tmp_path / "records" / f"{r.key}.npz"
    r.save(path)
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.split() == f"{r.key} 61.0 {list(r.layers)} {r.masks(5)['fc10'].sum()}".split()


# ---- the recorder ----


def test_recorder_collects_rows_and_survives_a_checkpoint():
    import torch

    rng = np.random.default_rng(1)
    recorder = Recorder()
    for turn in range(3):
        masks = {name: torch.from_numpy(rng.random(shape) < 0.4) for name, shape in SHAPES.items()}
        recorder.topology(turn * 4, 0.5, masks, masks)
        recorder.moment(turn * 4, masks)
        recorder.moment(turn * 4, masks)
        recorder.epoch(learning_rate=0.1, train_loss=turn, val_accuracy=1, test_accuracy=2)
        resumed = Recorder()  # as if stopped here
        resumed.load_arrays(recorder.arrays())
        recorder = resumed
    config = RunConfig(hidden=(5, 3), epochs=3)
    r = recorder.record(config, SHAPES, 4, {"device": "cpu"})
    assert r.steps.tolist() == [0, 4, 8] and r.moment_steps.tolist() == [0, 0, 4, 4, 8, 8]
    assert r.train_loss.tolist() == [0, 1, 2] and r.provenance == {"device": "cpu"}
    for name, mask in r.masks(5).items():
        assert np.array_equal(r.in_degree[name][-1], mask.sum(tuple(range(1, mask.ndim))))
        assert np.array_equal(r.out_degree[name][-1], mask.sum((0, *range(2, mask.ndim))))
        assert r.explored[name][-1] == mask.sum()
        assert r.in_degree[name].dtype == r.out_degree[name].dtype == np.int16 and r.explored[name].dtype == np.int64


def test_degrees_above_what_int16_holds_are_not_wrapped():
    import torch

    recorder, masks = Recorder(), {"fc": torch.ones(2, 40_000, dtype=torch.bool)}
    recorder.topology(0, math.nan, masks, masks)
    assert recorder.arrays()["in_degree/fc"].tolist() == [[40_000, 40_000]]


def test_percent():
    assert percent(1, 8) == 12.5 and math.isnan(percent(0, 0))


def test_load_says_missing_for_a_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        record.load(tmp_path / "none.npz")


# ------------------------------------------------------------------------------------------------- which epoch counts

def scored(validation: list[float], test: list[float], **changes) -> Record:
    return replace(made(), val_accuracy=np.array(validation), test_accuracy=np.array(test), **changes)


def test_the_last_epoch_counts_unless_another_reading_is_asked_for():
    run = scored([50.0, 61, 60, 59], [49.0, 58, 63, 60])
    assert run.accuracy() == run.accuracy("last") == Accuracy(4, 59.0, 60.0)
    assert run.accuracy("best validation") == Accuracy(2, 61.0, 58.0)  # 63 on test data would be cheating


def test_the_first_of_equally_good_epochs_counts():
    assert scored([50.0, 61, 61, 61], [1.0, 2, 3, 4]).accuracy("best validation") == Accuracy(2, 61.0, 2.0)


def test_a_run_that_broke_counts_with_its_best_checkpoint():
    run = scored([40.0, 70, math.nan, 10], [41.0, 69, math.nan, 10], train_loss=np.array([2.0, 1, math.nan, math.nan]))
    assert run.diverged and run.collapsed
    assert run.accuracy("best validation") == Accuracy(2, 70.0, 69.0) and run.accuracy().test == 10
    lost = scored([40.0, math.nan], [41.0, math.nan])
    assert lost.accuracy().epoch == 2 and math.isnan(lost.accuracy().test)
    assert lost.accuracy("best validation") == Accuracy(1, 40.0, 41.0)


def test_without_validation_there_is_no_best_epoch():
    none = scored([math.nan, math.nan], [41.0, 42.0])
    best = none.accuracy("best validation")
    assert best.epoch == 0 and math.isnan(best.validation) and math.isnan(best.test)
    assert none.accuracy().test == 42


@pytest.mark.parametrize("reading", list(record.READINGS))
def test_a_boltzmann_machine_has_no_accuracy(reading: str):
    machine = RunConfig(model="rbm-small", dataset="mnist")
    found = scored([math.nan] * 2, [math.nan] * 2, config=machine).accuracy(reading)
    assert found.epoch == 0 and math.isnan(found.validation) and math.isnan(found.test)


def test_an_unknown_reading_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'best validation'"):
        made().accuracy("best validatoin")


# ------------------------------------------------------------------------------------- the wiring in force at a moment

def test_a_moment_has_the_wiring_of_the_last_update_until_then():
    run = made()  # updates at steps 0, 4 and 8, moments at 0, 4, 4, 6, 9 and 12
    assert [run.update_at(moment) for moment in range(6)] == [0, 1, 1, 1, 2, 2]
    sent = np.arange(6).reshape(3, 2)
    other = replace(run, out_degree=run.out_degree | {"conv": sent})
    assert other.input_degrees().tolist() == sent[[0, 1, 1, 1, 2, 2]].tolist()


def test_paths_of_inputs_are_those_of_each_moment():
    first, second = np.array([[1, 0], [1, 1]], bool), np.array([[1, 1], [0, 1], [0, 1]], bool)
    masks = {"fc1": [first] * 5 + [~first], "fc2": [second] * 6, "fc3": [np.ones((1, 3), bool)] * 6}
    run = replace(made(), shapes={"fc1": (2, 2), "fc2": (3, 2), "fc3": (1, 3)},
                  packed_masks={name: np.stack([record.pack(mask) for mask in six]) for name, six in masks.items()})
    assert run.input_paths().tolist() == [[4, 3]] * 5 + [[0, 1]]


def test_misfortune_is_what_the_whole_record_would_say(tmp_path):
    cases = {"": {}, "diverged": {"train_loss": np.array([1.0, math.nan, 0.5])},
             "collapsed": {"test_accuracy": np.array([90.0, 37.5])}}  # fc2 has 4 outputs: chance is 25 %
    for said, changes in cases.items():
        run, path = replace(made(), **changes), tmp_path / "r.npz"
        run.save(path)
        assert record.misfortune(path) == said and (run.diverged or run.collapsed) is bool(said)
    path.write_bytes(b"damaged")
    assert record.misfortune(path) == ""


def test_many_recorders_survive_a_checkpoint_each_with_its_own():
    """Of twelve runs the names of three begin with a 1."""
    import torch

    together, again = Recorders(12), Recorders(12)
    masks = [{"fc": torch.arange(12).reshape(3, 4) <= i} for i in range(12)]
    together.topology(0, math.nan, masks, masks)
    again.load_arrays(together.arrays())
    for run, same in zip(together.runs, again.runs, strict=True):
        assert run.rows.keys() == same.rows.keys()
        assert all(np.array_equal(run.rows[name], same.rows[name], equal_nan=True) for name in run.rows)
