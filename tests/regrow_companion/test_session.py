"""The one line of set-up in every notebook: profiles, stores, and what is said when records are missing."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from regrow import RunConfig, Store, compact
from regrow.errors import ConfigError, NotRecorded
from regrow_companion import session, study

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)


@pytest.fixture(autouse=True)
def one_run_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "runs", lambda need, profile: (TINY,))
    for name in ("REGROW_PROFILE", "REGROW_STORE"):
        monkeypatch.delenv(name, raising=False)


def test_quick_trains_what_is_missing_and_then_reads_it(tmp_path: Path) -> None:
    book = session.start("05", profile="quick", store=str(tmp_path))
    assert book.quick and not list(tmp_path.rglob("*.npz"))
    first, = book.records("fig12")
    again, = book.records("fig12")
    assert first.config == TINY and again.result_sha256 == first.result_sha256


@pytest.mark.slow
def test_quick_trains_again_what_is_damaged(tmp_path: Path) -> None:
    book = session.start("05", profile="quick", store=str(tmp_path))
    whole, = book.records("fig12")
    path = book.store.record_path(TINY.key)
    path.write_bytes(path.read_bytes()[:-99])
    with pytest.warns(UserWarning, match="damaged"):
        mended, = book.records("fig12")
    assert mended.result_sha256 == whole.result_sha256


def test_paper_never_trains_inside_a_notebook(tmp_path: Path) -> None:
    book = session.start("05", profile="paper", store=str(tmp_path))
    with pytest.raises(NotRecorded, match=r"1 of 1 records .* python -m regrow run --profile paper --only fig12"):
        book.records("fig12")
    assert book.available("table4") == []


def test_auto_is_replay_once_records_are_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SHIPPED", tmp_path / "results")
    assert session.start("05").profile == "quick"
    record = Store(tmp_path / "full").ensure(TINY)
    compact.save(record, tmp_path / "results" / "records" / f"{TINY.key}.npz")
    book = session.start("05", store=str(tmp_path / "empty"))
    assert book.profile == "replay" and isinstance(book.records("fig12")[0], compact.CompactRecord)
    monkeypatch.setenv("REGROW_PROFILE", "quick")
    assert session.start("05").profile == "quick"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert study.figure_folder("paper") == study.REPOSITORY / "figures"
    assert study.figure_folder("quick") == study.REPOSITORY / "build" / "quick" / "figures"
    assert study.default_store("replay") == study.default_store("paper") != study.default_store("quick")
    monkeypatch.setenv("REGROW_STORE", str(tmp_path))
    assert session.start("05", profile="quick").store.root == tmp_path


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        session.start("05", profile="quik")


@pytest.mark.parametrize(("exact", "mark"), [(False, True), (True, False)])
def test_only_figures_that_need_no_training_go_without_the_quick_mark(tmp_path: Path, exact: bool, mark: bool) -> None:
    book = session.start("05", profile="quick", store=str(tmp_path / "store"), out=str(tmp_path))
    fig, ax = plt.subplots()
    ax.plot([0, 1])
    ax.set(xlabel="x", ylabel="y")
    book.save(fig, "fig10", data=pd.DataFrame({"x": [1]}), alt="A line that rises from zero to one.", exact=exact)
    plt.close(fig)
    assert ("quick-mark" in (tmp_path / "fig10.svg").read_text()) is mark
