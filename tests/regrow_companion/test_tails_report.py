"""`python -m regrow tails FILE`: what it says is what the functions say; every mistake is one sentence and code 2."""

from __future__ import annotations

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
from regrow_companion.tails_report import read_numbers, report, text

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


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("# degrees\n3, 4.0 5\r\n\n6 # the last\n", encoding="utf-8-sig")
    assert read_numbers(path) == [3, 4.0, 5, 6]


MISTAKES = [  # content, options, what the sentence must name
    (None, [], "cannot be read"),
    (b"\xff\xfe\x00\x01\x80", [], "no text"),
    (b"12\nfifteen\n", [], "Line 2"),
    (b"", [], "empty"),
    (b"0\n0\n", [], "empty"),
    (b"1\n2\n3\n", ["--xmin", "110"], "the largest of 3 values is 3"),
    (b"7\n7\n7\n", [], "All 3 values of the tail are equal"),
    (b"7\n7\n7\n", ["--xmin", "5"], "All 3 values of the tail are equal"),
    (b"3\n-4\n5\n", [], "-4"),
    (b"3\n4.5\n5\n", [], "4.5"),
    (b"3\nnan\n5\n", [], "NaN"),
    (b"3\ninf\n5\n", [], "inf"),
    (b"3\n4\n5\n", ["--xmin", "5", "--xmax", "4"], "xmax = 4"),
    (b"3\n4\n5\n", ["--xmin", "0"], "xmin must be 1 or more"),
    (b"3\n4\n5\n", ["--xmin", "some"], "--xmin"),
    (b"3\n4\n5\n", ["--xmin=-2"], "--xmin"),
    (b"3\n4\n5\n", ["--xmax", "many"], "--xmax"),
    (b"3\n4\n5\n6\n", ["--xmn", "3"], "--xmin"),
    (b"3\n4\n5\n6\n", ["--picture", "/dev/null/x.png"], "cannot be written to /dev/null"),
    (b"3\n4\n5\n6\n", ["--picture", "a b.png"], "'a b'"),
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
