"""Whole numbers from files: read as what they are, or refused in one sentence; never other values."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torture.odd_files import odd_file, what_broke

from regrow.errors import DataError
from regrow_companion.number_files import read_numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("numbers")


@pytest.mark.parametrize("block", range(4))
@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**40))
def test_the_values_or_one_sentence(folder: Path, block: int, seed: int) -> None:
    made = odd_file(random.Random(4 * seed + block))
    path = folder / made.name
    path.write_bytes(made.content)
    read, said = None, ""
    try:
        read = read_numbers(path, made.column, made.counts).tolist()
    except DataError as error:
        said = str(error)
    assert not what_broke(made, read, said)


def test_the_generator_makes_files_of_every_sort() -> None:
    """So that the test above means something."""
    made = [odd_file(random.Random(seed)) for seed in range(400)]
    assert sum(one.plain for one in made) > 30 and sum(one.values is None for one in made) > 60
    assert {one.name.partition(".")[2] for one in made} == {"txt", "csv", "gz", "bz2", "xz"}
    assert sum(one.counts for one in made) > 40 and len({one.column for one in made}) > 4


READ = [  # content, column, counts, values
    (b"3\n4\n\n5", None, False, [3, 4, 5]), (b"3\r4\r5\r", None, False, [3, 4, 5]),
    (b"3, 4, 5", None, False, [3, 4, 5]),
    (b"3 4 5\n", None, False, [3, 4, 5]), (b"3;4;5;", None, False, [3, 4, 5]), (b"3,\n4,\n", None, False, [3, 4]),
    (b'"3"\n"4"', None, False, [3, 4]), (b"degree\n3.0\n1e3\n", None, False, [3, 1000]),
    (b"% sym\n# n\n// by hand\n3 # three\n  4\n", None, False, [3, 4]),
    ("degré\n3\n4".encode("latin-1"), None, False, [3, 4]),
    ("# é\n3\n4".encode("utf-16"), None, False, [3, 4]), ("3\n4".encode("utf-8-sig"), None, False, [3, 4]),
    (gzip.compress(b"3\n4"), None, False, [3, 4]), (bz2.compress(b"3\n4"), None, False, [3, 4]),
    (lzma.compress(b"3\n4"), None, False, [3, 4]), (b"a\t3\nb\t4\n", "2", False, [3, 4]),
    (b"node\tdegree\na\t3\nb\t4\n", "degree", False, [3, 4]), (b",degree\n0,3\n1,4\n", "degree", False, [3, 4]),
    (b",0\n0,3\n1,4\n", "2", False, [3, 4]), (b'"out degree","n"\n"3","x"\n"4","y"\n', "out degree", False, [3, 4]),
    (b"3 2\n4 1\n", None, True, [3, 3, 4]), (b"n,k\n2,3\n0,7\n", "k", True, [3, 3]),
    (b"id;k;n;share\na;3;2;.1\nb;4;1;.2\n", "k", True, [3, 3, 4]), (b"%d\n0\n" % 2**53, None, False, [2**53, 0]),
    (b"k,n\n1,234\n2,100\n", "1", False, [1, 2]), (b"100,200,300,400,500,600,700,800,900,100", None, False,
                                                  [100, 200, 300, 400, 500, 600, 700, 800, 900, 100]),
    (b"id,k\n1,3\n2,4\n", " k ", False, [3, 4]), (b"2,x\n3,y\n", "1", False, [2, 3]),
]


@pytest.mark.parametrize(("content", "column", "counts", "values"), READ, ids=range(len(READ)))
def test_what_is_read(folder: Path, content: bytes, column: str | None, counts: bool, values: list[int]) -> None:
    (folder / "x").write_bytes(content)
    assert read_numbers(folder / "x", column, counts).tolist() == values


REFUSED = [  # content, column, counts, what the sentence must name
    (b"1,234\n25,678\n", None, False, "--column N"), (b"1\n2\n1,234\n1,200,300", None, False, "Line 3"),
    (b"1,234\n25,678\n", "1", False, "groups of digits"), (b"degree\n1,234\n5,678\n", "1", False, "names 1 column,"),
    (b"1,234", None, False, "groups of digits"), (b"1 234 567", None, False, "groups of digits"),
    (b"1,234 5", None, False, "groups of digits"), (b"a,1,234\nb,2,345\n", "2", False, "groups of digits"),
    (b"7\n1_234\n", None, False, "'1_234'"), (b"7\n1'234\n", None, False, "groups of digits"),
    (b"7\n1.234.567\n", None, False, "groups of digits"), (b"7\n12.000\n", None, False, "groups of digits"),
    ("7\n1\u00a0234\n".encode(), None, False, "groups of digits"), (b"3,0\n4,5\n", None, False, "2 columns"),
    (b"a\t3,5\n", "2", False, "decimal comma"), (b"a\t3\nb\t4\n", None, False, "2 columns"),
    (b"node,degree\na,3\nb,4\n", None, False, "--column 'degree'"), (b"a\t3\nb\t4\n", "3", False, "from 1 to 2"),
    (b"node,degree\na,3\n", "dergee", False, "named node, degree"), (b"k,k\n1,3\n", "k", False, "several columns"),
    (b"a\t3\nb\n", "1", False, "Line 2"), (b"3\n4\n", None, True, "one column"),
    (b"1 2 3\n4 5 6", None, True, "--column"),
    (b"count,degree\n1,2\n3,4", None, True, "'count'"), (b"1 2 3\n4 5 6", "3", True, "No column follows"),
    (b"3 90000000\n4 1\n", None, True, "50,000,000"), (b"3\nNA\n", None, False, "Line 2"),
    (b"3\nnan\n", None, False, "NaN"),
    (b"3\n#N/A\n", None, False, "'#N/A'"), (b"3\n-4\n", None, False, "less than 0"),
    (b"3\n4.5\n", None, False, "'4.5'"),
    (b"3\n%d" % (2**53 + 1), None, False, "2 ** 53"), (b"3\n" + b"9" * 9000, None, False, "2 ** 53"),
    (b"3\n1e999999\n", None, False, "2 ** 53"), (b"[1, 2, 3]", None, False, "JSON"),
    (b"PK\x03\x04", None, False, "Excel"),
    (b"\x93NUMPY\x01", None, False, "numpy"), (gzip.compress(b"3\n4")[:-6], None, False, "unpacked"),
    (bz2.compress(b"3\n4")[:-6], None, False, "unpacked"), (b"\xfd7zXZ\x00", None, False, "unpacked"),
    ("3\n4".encode("utf-16-le"), None, False, "no text"), (b"3\n\x07", None, False, "no text"),
    (b'"3\n4"\n', None, False, "quotation mark"), (b'"3"4\n5\n', None, False, "quotation marks"),
    (b"", None, False, "empty"),
    (b"# 3\n", None, False, "empty"), (b"degree\n", None, False, "nothing follows"),
    (b"2,x\n3,4\n", "1", False, "mixes names"), (b"a,k,\nx,11,573\n", "k", False, "names 2 columns"),
    (b"id,2019\n1,5\n", "2", False, "mixes names and numbers"), (b",7\n3,5\n", "2", False, "begins with nothing"),
    (b"a 1,0\nb 2,0\n", "2", False, "mixes commas and spaces"),
    ("3\n٣".encode(), None, False, "'٣'"),
]


@pytest.mark.parametrize(("content", "column", "counts", "named"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(folder: Path, content: bytes, column: str | None, counts: bool, named: str) -> None:
    (folder / "x").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_numbers(folder / "x", column, counts)
    assert named in str(caught.value) and str(caught.value).endswith(".") and len(str(caught.value).splitlines()) == 1


def test_a_hundred_thousand_lines(folder: Path) -> None:
    values = np.random.default_rng(0).integers(0, 10**6, 10**5)
    for content, column in (("\n".join(map(str, values)), None),
                            ("\n".join(f"n{i}\t{k}" for i, k in enumerate(values)), "2")):
        (folder / "many").write_text(content)
        assert np.array_equal(read_numbers(folder / "many", column), values)


def test_folders_and_files_that_are_not_there(folder: Path) -> None:
    for path in (folder, folder / "absent", Path("a\0b")):
        with pytest.raises(DataError, match="cannot be read"):
            read_numbers(path)
