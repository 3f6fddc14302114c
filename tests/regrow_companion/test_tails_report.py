"""`python -m regrow tails FILE`: what it says is what the functions say; every mistake is one sentence and code 2."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from regrow.tails.compare import compare_laws
from regrow.tails.fit import fit_tail, select_xmin
from regrow.tails.goodness import goodness_of_fit, sample
from regrow_companion import cli
from regrow_companion.figures import check_figure
from regrow_companion.tails_report import FEWEST_SETS, report, text, usual_sets

X = np.concatenate([sample(2.4, 30, 200, np.random.default_rng(0)), np.arange(30), [0, 0]])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "degrees.txt"
    path.write_text("\n".join(map(str, X)) + "\n")
    return path


def said(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    try:
        code = cli.main(["tails", *map(str, argv)])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


def test_json_holds_what_the_functions_say(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, file, "--xmin", 30, "--json")
    answer = json.loads(out)
    fit = fit_tail(X, 30)
    tested = goodness_of_fit(X, fit)
    assert code == 0 and err == "" and answer["null"] == "tail" and not answer["xmin_chosen"]
    assert answer["fit"]["alpha"] == fit.alpha and answer["goodness"]["p"] == tested.p
    assert (answer["n"], answer["zeros"], answer["largest"]) == (len(X), 3, X.max())
    assert [row["name"] for row in answer["alternatives"]] == [row["name"] for row in compare_laws(X, fit).rows()]
    assert answer["alternatives"][0]["z"] is None, "JSON knows no nan"


def test_auto_chooses_xmin_and_tests_the_choice(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(said(capsys, file, "--json")[1])
    fit, _ = select_xmin(X)
    assert answer["xmin_chosen"] and answer["null"] == "reselect" and answer["fit"]["xmin"] == fit.xmin
    assert answer["goodness"]["p"] == goodness_of_fit(X, fit, null="reselect").p
    assert json.loads(said(capsys, file, "--xmin", "auto", "--json")[1]) == answer


def test_text_for_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, file, "--xmin", 30, "--xmax", 5000)
    fit = fit_tail(X, 30, 5000)
    assert code == 0 and err == ""
    assert re.search(rf"^alpha +{fit.alpha:.4f} ± {fit.sigma:.4f}", out, re.M)
    assert re.search(rf"^tail +{fit.n_tail} values from xmin = 30 to 5,000$", out, re.M)
    assert "rejects 10 % of true power laws" in out and "rejects 95 % of true power laws" in out
    for name in ("power law", "exponential", "log-normal", "Poisson", "negative binomial"):
        assert re.search(rf"^{name} +-", out, re.M)
    assert max(map(len, out.splitlines())) <= 120


def test_doubts_and_limits_are_in_the_text() -> None:
    bent = np.concatenate([sample(3.5, 110, 30, np.random.default_rng(1)), np.arange(3000, 9000, 800)])
    shown = text(report(bent, 110, n_sets=50))
    assert "note         The tail holds 38 values" in shown and "(at its power law limit)" in shown
    assert "chosen for the smallest D" in text(report(bent, n_sets=20)) and "xmin chosen anew" in text(report(bent,
                                                                                                              n_sets=20))


def test_picture(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target, stem in (("tail.png", "tail"), ("deep/er/drawn", "drawn")):
        code, out, err = said(capsys, file, "--xmin", 30, "--picture", tmp_path / target, "--json")
        assert code == 0 and json.loads(out) and err.startswith("regrow: drew ") and len(err.splitlines()) == 1
        assert check_figure((tmp_path / target).parent, stem) == []


def test_a_picture_does_not_replace_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor by another way to the same file; and nothing is computed or written before."""
    source, content = tmp_path / "degrees.csv", "\n".join(map(str, X))
    source.write_text(content)
    (tmp_path / "here").symlink_to(tmp_path)
    (tmp_path / "link.json").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("regrow_companion.tails_report.report", None)
    before = sorted(tmp_path.iterdir())
    for target in ("degrees", "degrees.png", "degrees.csv", "./degrees.svg", tmp_path / "degrees", "here/degrees",
                   "link", "hard", tmp_path / "here" / ".." / tmp_path.name / "degrees.json"):
        code, out, err = said(capsys, "degrees.csv", "--xmin", 30, "--picture", target)
        assert code == 2 and out == "" and "which is the file of numbers itself" in err and len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before and source.read_text() == content


def test_columns_and_counts(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = said(capsys, file, "--xmin", 30, "--sets", 50, "--json")[1]
    table, counted = tmp_path / "table.csv", tmp_path / "counted.tsv.gz"
    table.write_text("node,degree\n" + "".join(f"n{i},{k}\n" for i, k in enumerate(X)))
    k, counts = np.unique(X, return_counts=True)
    counted.write_bytes(gzip.compress("".join(f"{a}\t{b}\n" for a, b in zip(k, counts, strict=True)).encode()))
    for argv in ((table, "--column", "degree"), (table, "--column", "2"), (counted, "--counts")):
        assert said(capsys, *argv, "--xmin", 30, "--sets", 50, "--json")[:2] == (0, plain)
    for path in (table, counted):
        code, out, err = said(capsys, path, "--xmin", 30)
        assert (code, out) == (2, "") and "has 2 columns" in err and "--column" in err and "--counts" in err


def test_the_number_of_sets_follows_the_size_of_the_data(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the machine is doing; small data are tested with 2,500 sets as ever."""
    assert usual_sets(10_000, 10_000, "reselect") == usual_sets(100_000, 2_000, "reselect") == 2500
    assert 500 <= usual_sets(10**6, 2000, "reselect") < 1000 and usual_sets(10**6, 10**6, "reselect") == FEWEST_SETS
    assert usual_sets(10**6, 10**6, "tail") == 85 and usual_sets(0, 0, "tail") == 2500
    answer = json.loads(said(capsys, file, "--sets", 33, "--json")[1])
    assert answer["n_sets"] == 33 and not answer["fewer_sets"]
    assert "33 synthetic sets" in said(capsys, file, "--sets", 33)[1]


def test_fewer_sets_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrow_companion.tails_report.WORK", 100 * (len(X) + 20 * np.unique(X).size))
    answer = report(X)
    assert answer["n_sets"] == 100 and answer["fewer_sets"]
    assert "fewer than 2,500; --sets N tests N." in text(answer) and "100 synthetic sets" in text(answer)


def test_progress_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("regrow_companion.console.LOG_SECONDS", 0.0)
    monkeypatch.setattr("regrow_companion.console.interactive", lambda: False)
    monkeypatch.setattr("regrow_companion.tails_report.LONG", 0)
    monkeypatch.setattr("regrow.tails.goodness.CHUNK", 10 * len(X))
    report(X, n_sets=30)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" %")[0] for line in lines] == ["synthetic sets: 33", "synthetic sets: 67",
                                                           "synthetic sets: 100"]


def test_hundreds_of_thousands_of_values_are_no_trouble() -> None:
    """Sums over the values, and scans of all for every one, once took minutes here; this test would then not end."""
    rng = np.random.default_rng(1)
    for x in (np.minimum(sample(2.1, 3, 300_000, rng), 10**6), rng.integers(1, 10**9, 150_000)):
        told = report(x, n_sets=4)
        assert told["n"] == len(x) and told["fit"]["alpha"] == fit_tail(x, told["fit"]["xmin"]).alpha


MISTAKES = [  # content, options, what the sentence must name
    (None, [], "cannot be read"),
    (b"\xff\xfe\x00\x01\x80", [], "no text"),
    (b"12\nfifteen\n", [], "Line 2"),
    (b"", [], "empty"),
    (b"0\n0\n", [], "empty"),
    (b"1\n2\n3\n", ["--xmin", "110"], "the largest of 3 values is 3"),
    (b"7\n7\n7\n", [], "All 3 values of the tail are equal"), (b"7\n", [], "The tail holds a single value, which no"),
    (b"7\n7\n7\n", ["--xmin", "5"], "All 3 values of the tail are equal"),
    (b"3\n-4\n5\n", [], "-4"),
    (b"3\n4.5\n5\n", [], "4.5"),
    (b"3\nnan\n5\n", [], "NaN"),
    (b"3 5\n4 5\n", [], "2 columns"),
    (b"3\n4\n5\n", ["--column", "2"], "--column '2'"),
    (b"3\n4\n5\n", ["--counts"], "--counts"),
    (b"3\n4\n5\n7\n", ["--sets", "0"], "n_sets must be 1 or more"),
    (b"3\n4\n5\n7\n", ["--sets", "few"], "--sets"),
    (b"3\ninf\n5\n", [], "inf"),
    (b"3\n4\n5\n", ["--xmin", "5", "--xmax", "4"], "xmax = 4"),
    (b"3\n4\n5\n", ["--xmin", "0"], "xmin must be 1 or more"),
    (b"3\n4\n5\n", ["--xmin", "some"], "--xmin"),
    (b"3\n4\n5\n", ["--xmin=-2"], "--xmin"),
    (b"3\n4\n5\n", ["--xmax", "many"], "--xmax"),
    (b"3\n4\n5\n6\n", ["--xmn", "3"], "--xmin"),
    (b"3\n4\n5\n6\n", ["--picture", "/dev/null/x.png"], "cannot be written to /dev/null"),
    (b"3\n4\n5\n6\n", ["--picture", "a b.png"], "'a b'"),
    (b"5\n5\n5\n", [], "a test needs a tail of several different values"),
    (b"0\n0\n", [], "a power law needs values of 1 and more"),
]


@pytest.mark.parametrize(("content", "options", "named"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_sentence(content: bytes | None, options: list[str], named: str, tmp_path: Path,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "numbers.txt"
    if content is not None:
        path.write_bytes(content)
    code, out, err = said(capsys, path, *options)
    assert code == 2 and ("--picture" in options or out == "")
    assert len(err.splitlines()) == 1 and err.startswith("regrow: ") and err.endswith(".\n") and named in err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "--help")
    assert code == 0 and err == "" and "--picture" in out and "--xmin N|auto" in out
