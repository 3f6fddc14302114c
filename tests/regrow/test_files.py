"""Files of arrays: exact round trips, atomic writes, and every damage found when read."""

from __future__ import annotations

import errno
import gc
import json
import random
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrow import files
from regrow.errors import RegrowError, StoreError

ARRAYS = {"a/b": np.arange(5, dtype=np.int16), "empty": np.zeros((0, 3)), "scalar": np.float64(2.5).reshape(()),
          "nan": np.array([np.nan, -0.0, np.inf]), "bits": np.eye(3, dtype=bool)}

COMPRESSIONS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_round_trip_keeps_types_shapes_and_bits(tmp_path, compression):
    path = tmp_path / "new" / "folder" / "x.npz"
    files.write_arrays(path, ARRAYS, {"format": "f", "n": [1, 2]}, compression)
    arrays, head = files.read_arrays(path)
    assert head == {"format": "f", "n": [1, 2]} and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()
    assert [p.name for p in path.parent.iterdir()] == ["x.npz"], "no temporary file stays"


@given(hnp.arrays(st.sampled_from([np.int64, np.float32, np.uint8, bool]), hnp.array_shapes(min_dims=0, min_side=0)))
def test_digest_is_of_the_content(array):
    same = np.asfortranarray(array) if array.ndim else array.copy()
    assert files.digest({"x": array}, {}) == files.digest({"x": same}, {})
    assert files.digest({"x": array}, {}) != files.digest({"y": array}, {})
    assert files.digest({"x": array}, {}) != files.digest({"x": array}, {"a": 1})
    assert files.digest({"x": array}, {}) != files.digest({"x": array[None, None]}, {})
    if array.size:
        changed = array.copy()
        changed.reshape(-1).view(np.uint8)[0] ^= 1
        assert files.digest({"x": array}, {}) != files.digest({"x": changed}, {})


def test_anybody_can_read_it_with_numpy(tmp_path):
    files.write_arrays(tmp_path / "x.npz", ARRAYS, {"hello": "world"}, zipfile.ZIP_DEFLATED)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert set(file.files) == {*ARRAYS, "head"}, "nothing else, whatever numpy's version is"
        assert json.loads(bytes(file["head"]))["hello"] == "world"


def write_sample(path: Path, compression: int) -> bytes:
    # The large array goes past the reader's buffers, so that its header is parsed before zip's own checksum is known.
    rng = np.random.default_rng(0)
    arrays = {"big": rng.random((64, 64)), "small": np.arange(7)}
    files.write_arrays(path, arrays, {"format": "f", "step": 3}, compression)
    return path.read_bytes()


def refused_or_same(path: Path, original: tuple) -> bool:
    """True if reading refuses the file in one sentence; False if it reads exactly what was written."""
    try:
        arrays, head = files.read_arrays(path)
    except StoreError as error:
        assert str(path) in str(error) and "\n" not in str(error) and str(error).endswith(".")
        return True
    assert head == original[1] and arrays.keys() == original[0].keys()
    assert all(arrays[name].tobytes() == array.tobytes() for name, array in original[0].items())
    return False


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_truncated_at_any_place_is_refused(tmp_path, compression):
    path = tmp_path / "x.npz"
    content, original = write_sample(path, compression), files.read_arrays(path)
    chance = random.Random(1)
    for cut in [0, 1, 3, 22, 100, len(content) - 1, *(chance.randrange(len(content)) for _ in range(40))]:
        path.write_bytes(content[:cut])
        assert refused_or_same(path, original)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_flipped_bit_is_refused_or_harmless(tmp_path, compression):
    """Some bits of a zip mean nothing (times, attributes); all others must be noticed and never raise anything else."""
    path = tmp_path / "x.npz"
    content, original = write_sample(path, compression), files.read_arrays(path)
    chance = random.Random(2)
    bits = [chance.randrange(8 * len(content)) for _ in range(400)]
    bits += range(8 * 180)  # zip's and numpy's headers of the large array, every bit
    bits += range(8 * (len(content) - 60), 8 * len(content))  # the end of the directory
    refused = 0
    for bit in bits:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refused += refused_or_same(path, original)
    assert refused > 0.5 * len(bits)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04K\x01."],
                         ids=["empty", "text", "zip", "npy", "pickle"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"truncated, damaged or not a file of ours"):
        files.read_arrays(path)


def test_foreign_arrays_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    foreign = [{"x": np.arange(3)}, {"head": np.arange(3, dtype=np.uint8)}, {"head": np.array([{"a": 1}], object)},
               {"head": np.frombuffer(b"[1, 2]", np.uint8)}, {"head": np.frombuffer(b"{}", np.uint8)},
               {"head": np.frombuffer(b'{"sha256": "0"}', np.uint8)}]
    for members in foreign:
        np.savez(path, **members)
        with pytest.raises(StoreError):
            files.read_arrays(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(StoreError):
        files.read_arrays(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError):
        files.read_arrays(path)


def test_changed_with_numpy_is_noticed(tmp_path):
    path = tmp_path / "x.npz"
    files.write_arrays(path, ARRAYS, {"format": "f"}, zipfile.ZIP_DEFLATED)
    with np.load(path) as file:
        members = {name: file[name] for name in file.files}
    np.savez(path, **(members | {"a/b": members["a/b"] + 1}))
    with pytest.raises(StoreError, match="checksum"):
        files.read_arrays(path)


def test_refused_files_are_closed(tmp_path):
    """An open file could not be moved aside on Windows."""
    path = tmp_path / "x.npz"
    path.write_bytes(write_sample(path, zipfile.ZIP_DEFLATED)[:999])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(StoreError):
            files.read_arrays(path)
        gc.collect()
    assert [str(w.message) for w in caught] == []


def test_a_missing_file_is_not_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_arrays(tmp_path / "x.npz")


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "x.npz"
    files.write_arrays(path, {"x": np.arange(3)}, {"old": True}, zipfile.ZIP_DEFLATED)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, function, full)
        with pytest.raises(StoreError, match=r"No space left on device; free some space.*--store\.$"):
            files.write_arrays(path, {"x": np.arange(9)}, {"old": False}, zipfile.ZIP_DEFLATED)
    assert files.read_arrays(path)[1] == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_the_file_is_complete_before_it_gets_its_name(tmp_path, monkeypatch):
    """At the rename the temporary file lies in the same folder and reads well."""
    path, seen = tmp_path / "x.npz", []
    replace = files.os.replace

    def look(source: Path, target: Path) -> None:
        seen.append((Path(source).parent, target, files.read_arrays(Path(source))[1]))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", look)
    files.write_arrays(path, ARRAYS, {"format": "f"}, zipfile.ZIP_STORED)
    assert seen == [(tmp_path, path, {"format": "f"})]
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_the_system_does_not_let_us_read_is_not_damaged(tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    files.write_arrays(path, ARRAYS, {"format": "f"}, zipfile.ZIP_DEFLATED)

    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(RegrowError, match=r"cannot be read \(Permission denied\)") as caught:
        files.read_arrays(path)
    assert not isinstance(caught.value, StoreError), "which would have it moved aside"


def test_odd_headers_warn_nobody(tmp_path):
    """zipfile and numpy warn of things that only a damaged file has; one sentence is enough."""
    path = tmp_path / "x.npz"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("head.npy", b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StoreError):
            files.read_arrays(path)


def test_a_file_of_somebody_else_is_not_replaced_and_a_damaged_one_of_ours_is(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, mine=np.arange(3))
    for content in (path.read_bytes(), b"some text"):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="was not written by regrow, so it is left alone"):
            files.write_arrays(path, ARRAYS, {"format": "f"}, zipfile.ZIP_DEFLATED)
        assert path.read_bytes() == content
    path.unlink()
    files.write_arrays(path, ARRAYS, {"format": "f"}, zipfile.ZIP_DEFLATED)
    for spoilt in (path.read_bytes()[:99], b""):
        path.write_bytes(spoilt)
        files.write_arrays(path, ARRAYS, {"format": "f"}, zipfile.ZIP_DEFLATED)
        assert files.read_arrays(path)[1] == {"format": "f"}
