"""The store: what was asked for once is there for ever, and nothing damaged or foreign is ever used."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from regrow import datasets, files, record, rules, train
from regrow.config import CHOICES, FINGERPRINTS, RunConfig
from regrow.errors import DataError, NotRecorded, RegrowError, StoreError
from regrow.store import Store, require
from regrow.train import check_trainable, checkpoint_key

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)


class Stopped(Exception):
    """Stands for whatever ends a process between two steps."""


def stop_at(step: int):
    def progress(at: int) -> None:
        if at == step:
            raise Stopped

    return progress


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record file of TINY that nothing disturbed."""
    store = Store(tmp_path_factory.mktemp("finished"))
    store.ensure(TINY)
    return store.record_path(TINY.key)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of TINY after five of its eight steps."""
    store = Store(tmp_path_factory.mktemp("interrupted"))
    with pytest.raises(Stopped):
        store.ensure(TINY, checkpoint_seconds=0, progress=stop_at(5))
    return store.checkpoint_path(TINY.key)


def put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def untouchable(*_: object, **__: object) -> None:
    raise AssertionError("nothing may be trained here")


# ---- other data under the same name ----

OTHERS = RunConfig(dataset="mnist", hidden=(20, 10), epochs=2, batch_size=64, update_interval=2)


def bring(folder: Path, classes: int) -> Path:
    """MNIST of so many classes, in black."""
    folder.mkdir(exist_ok=True)
    labels = np.arange(200) % classes
    np.savez(folder / "mnist.npz", x_train=np.zeros((200, 28, 28), np.uint8), y_train=labels,
             x_test=np.zeros((50, 28, 28), np.uint8), y_test=labels[:50])
    return folder


def test_other_data_under_the_same_name_are_trained_on_and_said(tmp_path):
    """In a new store, in one that has the run, and in a file that is exchanged within a process."""
    store, data = Store(tmp_path / "store"), bring(tmp_path / "data", 10)
    first = store.ensure(OTHERS, data_root=data)
    bring(data, 1)
    with pytest.warns(UserWarning, match="mnist that were made of other data") as said:
        second = store.ensure(OTHERS, data_root=data)
    assert len(said) == 1 and first.test_accuracy[-1] < 50 and second.test_accuracy[-1] == 100
    names = {path.name for path in (store.root / "records").iterdir()}
    sha256 = second.provenance["data_sha256"]
    assert names == {f"{OTHERS.key}.npz", f"{OTHERS.key}-{sha256[:8]}.npz"} and first.key == second.key
    assert Store(tmp_path / "new").ensure(OTHERS, data_root=data).result_sha256 == second.result_sha256
    assert store.get(OTHERS).result_sha256 == first.result_sha256, "figures read the first one, whatever is at hand"


def test_records_of_either_data_are_found_again(tmp_path, monkeypatch):
    store, many = Store(tmp_path / "store"), bring(tmp_path / "ten", 10)
    one = bring(tmp_path / "one", 1)
    with warnings.catch_warnings(action="ignore"):
        made = {root: store.ensure(OTHERS, data_root=root).result_sha256 for root in (many, one)}
        monkeypatch.setattr(train, "advance", untouchable)
        for root in (one, many, one):
            assert store.ensure(OTHERS, data_root=root).result_sha256 == made[root]
            assert store.path_for(OTHERS, store.made_here(OTHERS, root).provenance["data_sha256"]).is_file()
    for nothing in (tmp_path / "none", tmp_path):
        assert store.ensure(OTHERS, data_root=nothing).result_sha256 == made[many]  # no data, and still a record
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "mnist.npz").write_bytes(b"x")
    assert store.ensure(OTHERS, data_root=tmp_path / "broken").result_sha256 == made[many]


def test_a_checkpoint_begun_on_other_data_is_left_for_them(tmp_path):
    store, many, one = Store(tmp_path / "store"), bring(tmp_path / "ten", 10), bring(tmp_path / "one", 1)
    with pytest.raises(Stopped):
        store.ensure(OTHERS, data_root=many, checkpoint_seconds=0, progress=stop_at(4))
    begun = store.checkpoint_path(OTHERS.key).read_bytes()
    second = store.ensure(OTHERS, data_root=one, checkpoint_seconds=0)
    assert not second.provenance["resumed"] and store.checkpoint_path(OTHERS.key).read_bytes() == begun
    with warnings.catch_warnings(action="ignore"):
        first = store.ensure(OTHERS, data_root=many)
    assert first.provenance["resumed"] and not list((store.root / "checkpoints").iterdir())
    assert first.result_sha256 == Store(tmp_path / "new").ensure(OTHERS, data_root=many).result_sha256


def test_shipped_records_of_the_data_at_hand_are_used_and_no_other(tmp_path):
    many, one = bring(tmp_path / "ten", 10), bring(tmp_path / "one", 1)
    shipped = Store(tmp_path / "shipped").ensure(OTHERS, data_root=many)
    store = Store(tmp_path / "own", read_also=(tmp_path / "shipped",))
    assert store.ensure(OTHERS, data_root=many).result_sha256 == shipped.result_sha256
    with warnings.catch_warnings(action="ignore"):
        store.ensure(OTHERS, data_root=one)
    assert store.get(OTHERS).result_sha256 == shipped.result_sha256 and not store.record_path(OTHERS.key).exists()


def test_a_record_that_says_nothing_of_its_data_is_taken(tmp_path):
    store, root = Store(tmp_path / "store"), bring(tmp_path / "data", 10)
    made = store.ensure(OTHERS, data_root=root)
    replace(made, provenance={}).save(store.record_path(OTHERS.key))
    assert store.ensure(OTHERS, data_root=bring(root, 1)).provenance == {}


def test_a_rule_that_changes_what_it_uses_as_it_runs_keeps_its_key_for_the_run(tmp_path):
    """One whose object changes in a way that no reading of its code tells."""
    class Restless:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, layer: rules.LayerState) -> torch.Tensor:
            vars(self)["calls"] = self.calls + 1
            return layer.weight

    with mock.patch.dict(rules.GROWTH), mock.patch.dict(CHOICES["grow"]), mock.patch.dict(FINGERPRINTS):
        rule, store = Restless(), Store(tmp_path)
        rules.growth("restless")(rule)
        config = TINY.but(grow="restless")
        key = config.key
        made = store.ensure(config)
        assert rule.calls and made.key == key != config.key and store.record_path(key).is_file()
        rule.calls = 0
        assert store.get(config).result_sha256 == made.result_sha256


def test_data_are_read_once_to_be_compared(tmp_path, monkeypatch):
    store, root = Store(tmp_path / "store"), bring(tmp_path / "data", 10)
    configs = [OTHERS.but(seed=seed) for seed in range(3)]
    store.ensure_all(configs, data_root=root, engine="auto")
    datasets._sha256_of.cache_clear()
    read, times = datasets.read, []
    monkeypatch.setattr(datasets, "read", lambda *words, **more: times.append(words) or read(*words, **more))
    for config in configs:
        store.ensure(config, data_root=root)
    assert len(times) == 1


# ---- the ordinary course ----


def test_ensure_trains_once(tmp_store, finished, monkeypatch):
    store = Store(tmp_store)
    assert store.get(TINY) is None and not store.has(TINY) and store.status(TINY) == "waiting"
    assert not tmp_store.exists(), "looking writes nothing"
    steps: list[int] = []
    first = store.ensure(TINY, progress=steps.append)
    assert steps == list(range(1, 9)) and store.has(TINY) and store.status(TINY) == "done"
    assert first.result_sha256 == record.load(finished).result_sha256
    monkeypatch.setattr(train, "advance", untouchable)
    again = store.ensure(TINY)
    assert again.result_sha256 == first.result_sha256 and again.provenance == first.provenance
    files = {p.relative_to(tmp_store).as_posix() for p in tmp_store.rglob("*") if p.is_file()}
    assert files == {f"records/{TINY.key}.npz", f"locks/{TINY.key}"}, "no checkpoint, no temporary file"


def test_provenance_says_where_a_record_comes_from(finished):
    said = record.load(finished).provenance
    assert {"versions", "engine", "device", "hardware", "data_sha256", "seconds", "threads", "resumed",
            "commit"} <= said.keys()
    versions = said["versions"]
    assert versions["torch"] == torch.__version__ and versions["numpy"] == np.__version__ and said["device"] == "cpu"
    assert len(said["data_sha256"]) == 64 and said["seconds"] > 0 and said["threads"] == 1 and not said["resumed"]


def test_threads_do_not_change_the_result(tmp_path, finished):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        made = Store(tmp_path).ensure(TINY)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert made.result_sha256 == record.load(finished).result_sha256


@pytest.mark.parametrize("engine", ["auto", "dense"])
@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("kind", ["momentum", "random>momentum"])
def test_a_run_stopped_after_any_step_goes_on_exactly(tmp_path, step, kind, engine):
    config = TINY.but(grow=kind, growth_momentum="sgd_buffer" if step % 2 and engine == "dense" else "ema")
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    with pytest.raises(Stopped):
        store.ensure(config, checkpoint_seconds=0, engine=engine, progress=stop_at(step))
    assert store.status(config) == "interrupted" and store.get(config) is None
    steps: list[int] = []
    resumed = store.ensure(config, checkpoint_seconds=0, engine=engine, progress=steps.append)
    assert steps == list(range(step + 1, 9)) and resumed.provenance["resumed"]
    assert resumed.result_sha256 == other.ensure(config, engine=engine).result_sha256
    assert not store.checkpoint_path(config.key).exists()


@pytest.mark.parametrize("options", [{"model": "convnet", "hidden": (1024, 512), "epochs": 1}, {"dtype": "float64"},
                                     {"grown_buffer": "keep"}, {"augment": "crop_flip"}, {"prune": "random"},
                                     {"sparsity": 0.0, "prune": "none", "grow": "none"},
                                     {"momentum": 0.0, "nesterov": False}], ids=str)
def test_every_kind_of_run_goes_on_exactly(tmp_path, options):
    config = TINY.but(**{"train_limit": 64, "batch_size": 16, **options})
    stores = [Store(tmp_path / name) for name in "ab"]
    with pytest.raises(Stopped):
        stores[0].ensure(config, checkpoint_seconds=0, progress=stop_at(3))
    resumed, undisturbed = (store.ensure(config) for store in stores)
    assert resumed.result_sha256 == undisturbed.result_sha256 and resumed.provenance["resumed"]


def test_stopped_twice(tmp_path, finished):
    store = Store(tmp_path)
    for step in (3, 6):
        with pytest.raises(Stopped):
            store.ensure(TINY, checkpoint_seconds=0, progress=stop_at(step))
    assert store.ensure(TINY).result_sha256 == record.load(finished).result_sha256


def test_checkpoints_come_only_as_often_as_asked(tmp_path, monkeypatch):
    saved: list[Path] = []
    monkeypatch.setattr(train, "save_checkpoint", lambda run, path, engine: saved.append(path))
    store = Store(tmp_path)
    store.ensure(TINY, checkpoint_seconds=1e9)
    assert saved == []
    store.ensure(TINY.but(seed=1), checkpoint_seconds=0)
    assert len(saved) == 8


def test_failures_are_kept_until_the_run_succeeds(tmp_path):
    store = Store(tmp_path)
    store.fail(TINY, "Traceback\nout of luck")
    assert store.status(TINY) == "failed" and "out of luck" in store.failure_path(TINY.key).read_text()
    store.ensure(TINY)
    assert store.status(TINY) == "done" and not store.failure_path(TINY.key).exists()


def test_records_of_another_store_are_read_but_never_moved(tmp_path, finished, monkeypatch):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    put(finished, shipped / "records" / finished.name)
    store = Store(own, read_also=(shipped,))
    with monkeypatch.context() as patch:
        patch.setattr(train, "advance", untouchable)
        assert store.has(TINY) and store.ensure(TINY).key == TINY.key
    damaged = shipped / "records" / finished.name
    damaged.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="not used"):
        assert store.get(TINY) is None
    assert damaged.read_bytes() == b"damaged"


def test_require_counts_what_is_missing_and_says_what_to_do(tmp_path, finished):
    store = Store(tmp_path)
    put(finished, store.record_path(TINY.key))
    assert [r.key for r in require(store, [TINY], "nothing.")] == [TINY.key]
    with pytest.raises(NotRecorded, match=r"^1 of 2 records are missing in .*: run this\.$"):
        require(store, [TINY, TINY.but(seed=1)], "run this.")


# ---- damage ----


@contextmanager
def one_warning(store: Store) -> Iterator[None]:
    """Exactly one sentence about damage, then the place it went to."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    texts = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    assert len(texts) == 1 and "\n" not in texts[0] and str(store.root / "damaged") in texts[0], texts


@contextmanager
def our_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Our own warnings, without what numpy and zipfile say of a header that a flipped bit has made odd."""
    ours: list[warnings.WarningMessage] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield ours
    ours += [w for w in caught if "moved to" in str(w.message)]


def damages(content: bytes, other: bytes) -> dict[str, bytes]:
    chance = random.Random(3)
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 16
    found = {"empty": b"", "half": content[: len(content) // 2], "short by one": content[:-1], "text": b"not a zip",
             "flipped": bytes(flipped), "another run's": other}
    for _ in range(50):
        bit = chance.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        found[f"bit {bit}"] = bytes(damaged)
    return found


def foreign_npz(path: Path) -> bytes:
    np.savez(path, weights=np.arange(10))
    return path.read_bytes()


def test_damaged_records_are_moved_aside_and_never_used(tmp_path, finished):
    original = record.load(finished)
    other = Store(tmp_path / "other")
    other.ensure(TINY.but(seed=1))
    kinds = damages(finished.read_bytes(), other.record_path(TINY.but(seed=1).key).read_bytes())
    kinds["foreign"] = foreign_npz(tmp_path / "x.npz")
    refused = 0
    for kind, content in kinds.items():
        store = Store(tmp_path / "store" / kind)
        path = store.record_path(TINY.key)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        with our_warnings() as caught:
            found = store.get(TINY)
        if found is not None:  # a bit of the zip that means nothing
            assert kind.startswith("bit") and found.result_sha256 == original.result_sha256 and path.exists(), kind
            continue
        refused += 1
        (kept,) = (store.root / "damaged").iterdir()
        assert kept.read_bytes() == content and not path.exists() and not store.has(TINY)
        assert len(caught) == 1 and str(kept) in str(caught[0].message) and "\n" not in str(caught[0].message)
    assert refused > 40


def test_a_run_whose_loss_is_not_a_number_is_kept(tmp_path):
    for grow in ("random", "gradient", "momentum"):
        config = TINY.but(lr=1e6, grow=grow)
        made = Store(tmp_path).ensure(config)
        assert made.diverged and Store(tmp_path).get(config).result_sha256 == made.result_sha256
        assert all((made.in_degree[name].sum(1) == count).all() for name, count in made.connections.items())


@pytest.mark.parametrize("kind", ["half", "another run's", "foreign"])
def test_a_damaged_record_is_trained_again(tmp_path, finished, kind):
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    other.ensure(TINY.but(seed=1))
    path = store.record_path(TINY.key)
    path.parent.mkdir(parents=True)
    path.write_bytes({"half": finished.read_bytes()[:999], "foreign": foreign_npz(tmp_path / "x.npz"),
                      "another run's": other.record_path(TINY.but(seed=1).key).read_bytes()}[kind])
    with one_warning(store):
        again = store.ensure(TINY)
    assert again.result_sha256 == record.load(finished).result_sha256 == store.get(TINY).result_sha256


def test_damaged_checkpoints_are_moved_aside_and_the_run_starts_afresh(tmp_path, interrupted, finished):
    expected = record.load(finished).result_sha256
    other = Store(tmp_path / "other")
    with pytest.raises(Stopped):
        other.ensure(TINY.but(seed=1), checkpoint_seconds=0, progress=stop_at(5))
    kinds = damages(interrupted.read_bytes(), other.checkpoint_path(TINY.but(seed=1).key).read_bytes())
    kinds["foreign"] = foreign_npz(tmp_path / "x.npz")
    kinds["record"] = finished.read_bytes()
    for kind, content in kinds.items():
        store = Store(tmp_path / "store" / kind)
        path = store.checkpoint_path(TINY.key)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        steps: list[int] = []
        with our_warnings() as caught:
            made = store.ensure(TINY, progress=steps.append)
        assert made.result_sha256 == expected, kind
        if steps[0] == 1:
            (kept,) = (store.root / "damaged").iterdir()
            assert kept.read_bytes() == content and not made.provenance["resumed"]
            assert len(caught) == 1 and str(kept) in str(caught[0].message) and "\n" not in str(caught[0].message)
        else:
            assert kind.startswith("bit") and steps[0] == 6
        assert not path.exists()


def test_a_sound_checkpoint_of_another_network_is_refused(tmp_path, interrupted):
    store = Store(tmp_path)
    arrays, head = files.read_arrays(interrupted)
    path = store.checkpoint_path(TINY.key)
    changed = {n: a[:-3] if n == "engine/weight/fc2" else a for n, a in arrays.items()}
    for wrong in (changed, {n: a for n, a in arrays.items() if n != "engine/mask/fc1"}):
        files.write_arrays(path, wrong, {k: v for k, v in head.items() if k != "sha256"}, zipfile.ZIP_STORED)
        with one_warning(store):
            store.ensure(TINY)
        store.record_path(TINY.key).unlink()


def test_a_checkpoint_of_another_engine_is_not_used(tmp_path, interrupted):
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    put(interrupted, store.checkpoint_path(TINY.key))
    with one_warning(store):
        made = store.ensure(TINY, engine="dense")
    assert made.provenance["engine"] == "dense" and not made.provenance["resumed"]
    assert made.result_sha256 == other.ensure(TINY, engine="dense").result_sha256


def test_leftover_temporary_files_are_never_used(tmp_path, finished, interrupted):
    store = Store(tmp_path)
    leftovers = [store.root / folder / f"{files.WRITING}{TINY.key}-abc" for folder in ("records", "checkpoints")]
    for leftover, content in zip(leftovers, (finished, interrupted), strict=True):
        put(content, leftover)
    assert store.get(TINY) is None and store.status(TINY) == "waiting"
    steps: list[int] = []
    store.ensure(TINY, progress=steps.append)
    assert steps[0] == 1 and not any(leftover.exists() for leftover in leftovers)


# ---- where nothing can be written ----


@pytest.fixture
def sealed_folder() -> Iterator[Path]:
    """A folder that this process may read and not write, even where tests run as root (as in a container)."""
    base = Path(tempfile.mkdtemp(prefix="regrow-sealed-"))  # pytest's own folders are closed to other users
    base.chmod(0o755)
    folder = base / "store"
    folder.mkdir()
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(base)


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    for part in (*folder.rglob("*"), folder):
        part.chmod(0o555 if part.is_dir() else 0o444)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for part in (folder, *folder.rglob("*")):
            part.chmod(0o755)


def test_a_read_only_store_is_one_sentence(sealed_folder, monkeypatch):
    monkeypatch.setattr(train, "advance", untouchable)
    with without_rights(sealed_folder):
        for action in (lambda: Store(sealed_folder).ensure(TINY), Store(sealed_folder).check_writable):
            with pytest.raises(StoreError, match=r"^The store .* cannot be written \(Permission denied\).*--store\.$"):
                action()
    assert list(sealed_folder.iterdir()) == []


def test_a_read_only_store_can_be_read(sealed_folder, finished):
    put(finished, sealed_folder / "records" / finished.name)
    with without_rights(sealed_folder):
        assert Store(sealed_folder).ensure(TINY).key == TINY.key


def test_damage_in_a_read_only_store_is_one_sentence(sealed_folder, finished):
    put(finished, sealed_folder / "records" / finished.name)
    (sealed_folder / "records" / finished.name).write_bytes(b"damaged")
    with without_rights(sealed_folder), pytest.raises(StoreError, match="could not be moved aside"):
        Store(sealed_folder).ensure(TINY)
    assert (sealed_folder / "records" / finished.name).read_bytes() == b"damaged"


def test_a_store_that_is_a_file_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "advance", untouchable)
    path = tmp_path / "store"
    path.write_text("mine")
    for action in (lambda: Store(path).ensure(TINY), Store(path).check_writable):
        with pytest.raises(StoreError) as caught:
            action()
        assert str(caught.value).startswith(f"The store {path} cannot be written") and "--store" in str(caught.value)
    assert path.read_text() == "mine" and not Store(path).has(TINY) and Store(path).status(TINY) == "waiting"


def test_what_cannot_be_trained_is_said_at_once(tmp_path):
    with pytest.raises(RegrowError, match="RBMs take images as they are"):
        check_trainable(RunConfig(model="rbm-small", dataset="mnist", image_format="rgb32"))
    with pytest.raises(RegrowError, match="cpu"):
        check_trainable(TINY, "gpu")
    if not torch.cuda.is_available():
        with pytest.raises(RegrowError, match="no CUDA device"):
            Store(tmp_path).ensure(TINY, device="cuda")
    with pytest.raises(DataError, match="train_limit=999999"):
        Store(tmp_path).ensure(TINY.but(train_limit=999_999))
    with pytest.raises(DataError, match="cifar10"):
        Store(tmp_path).ensure(TINY.but(dataset="cifar10", hidden=(20, 11)), data_root=broken_cifar(tmp_path))
    assert not (tmp_path / "records").exists()


def broken_cifar(folder: Path) -> Path:
    (folder / "data").mkdir()
    (folder / "data" / "cifar10.npz").write_bytes(b"no images")
    return folder / "data"


# ---- several processes ----

# Both have looked for the record in vain before either can take the lock, however busy the machine.
BOTH = """
import sys, time
from pathlib import Path
from regrow import RunConfig, Store, train
root, mine = Path(sys.argv[1]), sys.argv[2]
ready = train.check_ready
def met(*asked):
    ready(*asked)
    (root / mine).touch()
    while len(list(root.glob("ready-*"))) < 2:
        time.sleep(0.005)
train.check_ready = met
def slowly(step):
    if step == 1:
        (root / f"trained-by-{mine}").touch()
    time.sleep(0.05)
config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)
print(Store(root / "store").ensure(config, progress=slowly, checkpoint_seconds=0).result_sha256)
"""


@pytest.mark.slow
def test_two_processes_ask_for_the_same_run(tmp_path, finished):
    children = [subprocess.Popen([sys.executable, "-c", BOTH, tmp_path, f"ready-{i}"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True) for i in range(2)]
    outputs = [child.communicate(timeout=120) for child in children]
    assert [out.strip() for out, _ in outputs] == [record.load(finished).result_sha256] * 2, outputs
    assert len(list(tmp_path.glob("trained-by-*"))) == 1, "one trains, the other waits"
    assert len(list((tmp_path / "store" / "records").iterdir())) == 1


def test_files_of_a_killed_batch_are_taken_away(tmp_path):
    """Runs that train together have a checkpoint of a name of its own."""
    store, configs = Store(tmp_path), [TINY.but(seed=seed) for seed in range(2)]
    leftover = store.root / "checkpoints" / f"{files.WRITING}{checkpoint_key(configs, 'batched')}-abc"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half of it")
    store.ensure_all(configs, engine="batched")
    assert not leftover.exists()


def test_damaged_files_never_replace_one_another(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr("time.time_ns", lambda: 5)  # a clock that stands still
    for content in (b"one", b"two"):
        path = store.record_path(TINY.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="moved to"):
            assert store.get(TINY) is None
    assert sorted(kept.read_bytes() for kept in (store.root / "damaged").iterdir()) == [b"one", b"two"]


def test_a_lock_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "locks").write_text("in the way")
    with pytest.raises(StoreError, match=r"^Cannot lock .*--store\.$"):
        Store(tmp_path).ensure(TINY)


def test_nothing_is_written_for_a_run_that_cannot_be_trained(tmp_store, tmp_path):
    for config, options in ((TINY.but(update_interval=9), {}), (TINY, {"engine": "jax"}), (TINY, {"device": "gpu"}),
                            (TINY.but(train_limit=10_801), {}), (TINY.but(dataset="mnist"), {"data_root": tmp_path})):
        with pytest.raises(RegrowError):
            Store(tmp_store).ensure(config, **options)
    assert not tmp_store.exists()


def test_slow_checkpoints_come_less_often(tmp_path, monkeypatch):
    """One that took 2 seconds is followed by 100 of training, whatever was asked; a quick one by what was asked."""
    clock, cost, saved = [0.0], [2.0], []

    def save(run, path, engine):
        clock[0] += cost[0]
        saved.append(run.step)

    def second_a_step(step):
        clock[0] += 1.0
        if step == 200:
            cost[0] = 0.01

    monkeypatch.setattr(train.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(train, "save_checkpoint", save)
    Store(tmp_path).ensure(TINY.but(epochs=65), checkpoint_seconds=10, progress=second_a_step)
    assert saved == [11, 111, 211, 221, 231, 241, 251]


@pytest.mark.parametrize(("error", "named"), [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nGPU 0 has"), "does not suffice"),
    (MemoryError(), "does not suffice"),
    (RuntimeError("CUDA error: device-side assert triggered\nCompile with"), r"\(CUDA error: device-side assert")])
@pytest.mark.parametrize("where", ["trained", "check_ready"])
def test_memory_and_gpus_fail_in_a_sentence(tmp_path, monkeypatch, error, named, where):
    """Also while the images are read."""
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(train, where, fails)
    with pytest.raises(RegrowError, match=named) as caught:
        Store(tmp_path).ensure(TINY)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error
