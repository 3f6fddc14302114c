"""Reading: the four official formats on small files written here, .npz files, and everything that can be wrong."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from regrow import data, datasets
from regrow.datasets import torchvision
from regrow.errors import DataError

OPEN = urllib.request.urlopen
OFFICIAL = ["mnist", "fashion_mnist", "cifar10", "cifar100"]


def _arrays(name, train=40, test=12):
    chance = np.random.default_rng(len(name))
    c, h, w = datasets.DATASETS[name].shape
    shape = (h, w) if c == 1 else (h, w, c)
    return {f"{kind}_{part}": chance.integers(0, 256, (n, *shape), dtype=np.uint8) if kind == "x"
            else chance.integers(0, datasets.DATASETS[name].classes, n)
            for part, n in (("train", train), ("test", test)) for kind in "xy"}


def _md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def _write_idx(reader, root, arrays, monkeypatch):
    """Four .gz files as published: big-endian header (0, 0, uint8, dimensions), sizes, bytes."""
    folder = root / reader.__name__ / "raw"
    folder.mkdir(parents=True)
    resources = []
    for part, key in (("train", "train"), ("t10k", "test")):
        for kind, array in (("images-idx3", arrays[f"x_{key}"]), ("labels-idx1", arrays[f"y_{key}"])):
            path = folder / f"{part}-{kind}-ubyte.gz"
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
            resources.append((path.name, _md5(path)))
    monkeypatch.setattr(reader, "resources", resources)


def _write_cifar(reader, root, arrays, monkeypatch):
    """Python pickles as published: dicts of flat channel-first rows and a list of labels."""
    folder = root / reader.base_folder
    folder.mkdir(parents=True)
    label_key = "labels" if reader.__name__ == "CIFAR10" else "fine_labels"

    def dump(file, content):
        (folder / file).write_bytes(pickle.dumps(content))
        return _md5(folder / file)

    def batch(file, x, y):
        return [file, dump(file, {"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), label_key: y.tolist()})]

    parts = np.array_split(np.arange(len(arrays["y_train"])), len(reader.train_list))
    train = [batch(file, arrays["x_train"][i], arrays["y_train"][i])
             for (file, _), i in zip(reader.train_list, parts, strict=True)]
    test = [batch(reader.test_list[0][0], arrays["x_test"], arrays["y_test"])]
    meta = dict(reader.meta, md5=dump(reader.meta["filename"], {reader.meta["key"]: ["a", "b"]}))
    for attribute, value in (("train_list", train), ("test_list", test), ("meta", meta)):
        monkeypatch.setattr(reader, attribute, value)


@pytest.fixture
def official(tmp_path, monkeypatch):
    """official(name) writes a small set in its official format under tmp_path and returns the arrays."""
    def write(name):
        reader = getattr(torchvision().datasets, datasets.DATASETS[name].official)
        arrays = _arrays(name)
        (_write_idx if "mnist" in name else _write_cifar)(reader, tmp_path, arrays, monkeypatch)
        return arrays
    return write


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("the network is off\nin tests")
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def _refused(name, root, **options):
    """The sentence of the DataError that reading must raise."""
    with pytest.raises(DataError) as caught:
        datasets.read(name, root, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 600
    return sentence


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("name", OFFICIAL)
def test_official_files(name, official, tmp_path, download):
    arrays = official(name)
    for _ in range(2):  # packed, and again as the first call unpacked it
        found = datasets.read(name, tmp_path, download)
        for key in datasets.KEYS:
            np.testing.assert_array_equal(getattr(found, key), arrays[key])
        assert found.x_train.dtype == np.uint8 and found.y_train.dtype == np.int64


def test_packed_cifar_archive_is_unpacked_without_downloading(official, tmp_path, monkeypatch):
    arrays = official("cifar10")
    reader = torchvision().datasets.CIFAR10
    archive = tmp_path / reader.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / reader.base_folder, reader.base_folder)
    for file in (tmp_path / reader.base_folder).iterdir():
        file.unlink()
    (tmp_path / reader.base_folder).rmdir()
    monkeypatch.setattr(reader, "tgz_md5", _md5(archive))
    np.testing.assert_array_equal(datasets.read("cifar10", tmp_path, download=False).x_test, arrays["x_test"])


def test_readers_that_unpack_at_the_same_moment_wait_for_each_other(official, tmp_path):
    arrays = official("fashion_mnist")
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: datasets.read("fashion_mnist", tmp_path), range(4)):
            np.testing.assert_array_equal(found.x_train, arrays["x_train"])


def test_many_workers_fetch_the_files_once(official, tmp_path, monkeypatch, capsys):
    """As on a node of a cluster: the files come once over the network, whatever the number of those who want them."""
    official("mnist")
    served = tmp_path / "served"
    (tmp_path / "MNIST" / "raw").rename(served)
    asked = []

    class Server(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(urllib.request, "urlopen", OPEN)
    monkeypatch.setattr(torchvision().datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    try:
        alone = datasets.read("mnist", tmp_path / "alone", download=True)
        needed = asked.copy()  # torchvision asks twice for each file, first for redirections
        asked.clear()
        with ThreadPoolExecutor(6) as pool:
            read = list(pool.map(lambda _: datasets.read("mnist", tmp_path / "node", download=True), range(6)))
    finally:
        server.shutdown()
        server.server_close()
    assert asked == needed and {path.name for path in served.iterdir()} == {path[1:] for path in asked}
    assert capsys.readouterr().err.count("Fetching mnist") == 2
    assert all(np.array_equal(getattr(alone, key), getattr(other, key)) for other in read for key in datasets.KEYS)


@pytest.mark.parametrize("name", OFFICIAL)
def test_loading_official_files(name, official, tmp_path):
    arrays = official(name)
    loaded = data.load(name, root=tmp_path)
    assert loaded.image_shape == (3, 32, 32) and loaded.classes == datasets.DATASETS[name].classes
    assert [len(s) for s in (loaded.train, loaded.validation, loaded.test)] == [36, 4, 12]
    margin = slice(2, -2) if "mnist" in name else slice(None)
    images = loaded.test.images.numpy()[:, :, margin, margin].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images.squeeze(), arrays["x_test"])
    np.testing.assert_array_equal(loaded.test.labels, arrays["y_test"])


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
def test_npz_comes_first_and_has_the_same_hash_as_the_official_files(name, official, tmp_path):
    arrays = official(name)
    from_official = datasets.read(name, tmp_path).sha256()
    labels = {key: arrays[key].astype(np.int16) for key in ("y_train", "y_test")}
    np.savez(tmp_path / f"{name}.npz", extra=np.arange(3), **(arrays | labels))
    brought = datasets.read(name, tmp_path)
    assert brought.sha256() == from_official
    plain = b"".join(arrays[key].astype(np.uint8).tobytes() for key in datasets.KEYS)
    assert from_official == hashlib.sha256(plain).hexdigest()
    arrays["x_train"][0, 0, 0] ^= 1
    np.savez(tmp_path / f"{name}.npz", **arrays)
    assert datasets.read(name, tmp_path).sha256() != from_official


def test_data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("REGROW_DATA", str(tmp_path))
    assert data.data_root() == tmp_path
    np.savez(tmp_path / "mnist.npz", **_arrays("mnist"))
    assert len(data.load("mnist").train) == 36
    monkeypatch.delenv("REGROW_DATA")
    assert data.data_root() == Path.home() / ".cache" / "regrow" / "data"


@pytest.mark.parametrize("name", OFFICIAL)
def test_absent_and_offline(name, tmp_path):
    root = tmp_path / "data"
    sentence = _refused(name, root, download=False)
    for part in (str(root), "downloading is off", f"put {name}.npz", "dataset=fashion_mnist_small"):
        assert part in sentence
    assert not root.exists()  # looking writes nothing
    sentence = _refused(name, root, download=True)
    for part in (str(root), "could not be downloaded", "the network is off in tests", "dataset=fashion_mnist_small"):
        assert part in sentence


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_root(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in _refused("mnist", tmp_path / "data")


def test_truncated_idx_file(official, tmp_path):
    official("mnist")
    datasets.read("mnist", tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    for download in (True, False):
        assert "incomplete, damaged or foreign" in _refused("mnist", tmp_path, download=download)
    file.write_bytes(b"")
    assert str(file.parent.parent) in _refused("mnist", tmp_path)


def test_archive_with_another_checksum_is_not_used(official, tmp_path):
    official("fashion_mnist")
    file = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(b"something else"))
    assert "incomplete, damaged or foreign" in _refused("fashion_mnist", tmp_path, download=False)
    assert not file.with_suffix("").exists()


class _Bomb:
    """Unpickling this makes a folder: proof that somebody unpickled it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_cifar_file_with_another_checksum_is_never_unpickled(official, tmp_path, file):
    official("cifar10")
    (tmp_path / "cifar-10-batches-py" / file).write_bytes(pickle.dumps(_Bomb(tmp_path / "exploded")))
    for download in (True, False):
        assert "incomplete, damaged or foreign" in _refused("cifar10", tmp_path, download=download)
    assert not (tmp_path / "exploded").exists()


def test_npz_with_pickled_objects_is_never_unpickled(tmp_path):
    bomb = np.array([_Bomb(tmp_path / "exploded")], dtype=object)
    np.savez(tmp_path / "mnist.npz", **(_arrays("mnist") | {"x_train": bomb}))
    assert "plain arrays" in _refused("mnist", tmp_path)
    (tmp_path / "mnist.npz").write_bytes(pickle.dumps(bomb))
    sentence = _refused("mnist", tmp_path)
    assert "plain arrays" in sentence and "unsafely" not in sentence  # numpy's message recommends allow_pickle
    assert not (tmp_path / "exploded").exists()


def _npz_bytes(**changes):
    file = io.BytesIO()
    np.savez_compressed(file, **{k: v for k, v in (_arrays("mnist") | changes).items() if v is not None})
    return file.getvalue()


def _flipped_in_the_middle():
    content = bytearray(_npz_bytes())
    content[500:520] = bytes(20)
    return bytes(content)


def _zip_of_text():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for key in datasets.KEYS:
            archive.writestr(f"{key}.npy", "no array at all")
    return file.getvalue()


def _npy():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def test_images_saved_in_fortrans_order_are_laid_out_like_any_others(tmp_path):
    """As of a transposed or a Matlab array; the compiled loops take C's order alone."""
    arrays = _arrays("mnist")
    np.savez(tmp_path / "mnist.npz", **arrays | {"x_train": np.asfortranarray(arrays["x_train"])})
    read = datasets.read("mnist", tmp_path)
    assert read.x_train.flags.c_contiguous and np.array_equal(read.x_train, arrays["x_train"])


@pytest.mark.parametrize("content", [b"", b"hello", _npz_bytes()[:-300], _npz_bytes()[:5000], _flipped_in_the_middle(),
                                     _zip_of_text(), _npy(), None],
                         ids=["empty", "text", "tail cut", "half", "flipped bytes", "zip of text", "npy", "folder"])
def test_damaged_or_foreign_npz(content, tmp_path):
    path = tmp_path / "mnist.npz"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    assert str(path) in _refused("mnist", tmp_path)


_GOOD = _arrays("mnist")


@pytest.mark.parametrize(("changes", "words"), [
    ({"y_test": None}, "has no y_test"),
    ({"x_train": None, "y_train": None}, "has no x_train and no y_train"),
    ({"x_train": _GOOD["x_train"] / 255}, "must be uint8 of shape (N, 28, 28), not float64"),
    ({"x_train": _GOOD["x_train"][:, :27]}, "not uint8 of shape (40, 27, 28)"),
    ({"x_test": _GOOD["x_test"][..., None]}, "x_test"),
    ({"x_test": np.uint8(3)}, "x_test"),
    ({"y_train": _GOOD["y_train"] * 1.0}, "whole numbers"),
    ({"y_train": _GOOD["y_train"][:, None]}, "(40, 1)"),
    ({"y_train": _GOOD["y_train"][:-1]}, "40 images in x_train but 39 labels"),
    ({"y_test": _GOOD["y_test"] + 9}, "the classes are numbered 0 to 9"),
    ({"y_test": _GOOD["y_test"] - 9}, "the classes are numbered 0 to 9"),
    ({"y_test": np.full(12, 2**64 - 1, dtype=np.uint64)}, "the classes are numbered 0 to 9"),
    ({"x_train": _GOOD["x_train"][:9], "y_train": _GOOD["y_train"][:9]}, "at least 10"),
    ({"x_test": _GOOD["x_test"][:0], "y_test": _GOOD["y_test"][:0]}, "at least 1"),
])
def test_arrays_that_do_not_fit(changes, words, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(_npz_bytes(**changes))
    assert words in _refused("mnist", tmp_path)


def test_colour_set_under_a_grey_name(tmp_path):
    np.savez(tmp_path / "mnist.npz", **_arrays("cifar10"))
    assert "(N, 28, 28)" in _refused("mnist", tmp_path)


def test_embedded_file_is_the_one_in_the_notice():
    assets = datasets.files("regrow") / "assets"
    digest = hashlib.sha256((assets / "fashion_mnist_small.npz").read_bytes()).hexdigest()
    notice = (assets / "NOTICE.md").read_text()
    assert digest in notice and "Copyright © 2017 Zalando SE" in notice


@pytest.mark.slow
def test_torchvision_imports_in_a_fresh_process_and_only_when_needed():
    code = ("import sys, regrow.data; assert 'torchvision' not in sys.modules\n"
            "from regrow.datasets import torchvision\n"
            "assert torchvision() is torchvision() and torchvision().datasets.CIFAR100\n"
            "import torchvision.models\n")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
