"""The runner against real papermill runs of tiny notebooks, and the map's reader against wrong maps."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml

from regrow.errors import RegrowError
from regrow_companion.runner import many, one
from regrow_companion.runner.index import Entry
from regrow_companion.runner.many import (
    Options,
    check_parameters,
    dry_run,
    execute,
    list_table,
    read_index,
    run_all,
    select,
)
from regrow_companion.runner.one import stale, stamp_of

PARAMETERS = 'profile = "auto"\nstore = ""\nout = ""'
KILLED = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"  # at once: before the kernel's own messages are out


def write_notebook(path: Path, *cells: str, parameters: str | None = PARAMETERS) -> None:
    nb = nbformat.v4.new_notebook()
    nb.metadata["kernelspec"] = {"name": "a-kernel-nobody-has", "language": "python", "display_name": "Python 3"}
    if parameters is not None:
        nb.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    nb.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nb, path)


def entry(folder: Path, id: str, *cells: str, parameters: str | None = PARAMETERS) -> Entry:
    folder.mkdir(exist_ok=True)
    path = folder / f"{id}_book.ipynb"
    write_notebook(path, *cells, parameters=parameters)
    return Entry(id=id, path=path, title=f"Book {id}", section="1", figures=(f"fig{id}",),
                 minutes={"quick": 0.1, "paper": 1.0})


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options("quick", store=tmp_path / "store", out=tmp_path / "out", build=tmp_path / "build")


@pytest.fixture
def books(tmp_path: Path) -> Path:
    return tmp_path / "notebooks"


def left_over(options: Options) -> list[str]:
    return [p.name for p in options.folder.rglob(".partial-*")]


# Running, with papermill and kernels

def test_success_then_fresh_then_stale(options: Options, books: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    book = entry(books, "01", textwrap.dedent("""
        import os, sys
        from pathlib import Path
        Path(out).mkdir(exist_ok=True)
        facts = [profile, store, sys.executable, os.environ["OMP_NUM_THREADS"], os.environ["MPLBACKEND"], os.getcwd()]
        Path(out, "facts.txt").write_text("\\n".join(facts))"""))
    outcome = execute(book, options, inputs="key1")
    assert (outcome.status, outcome.message) == ("done", "")
    facts = (options.out / "facts.txt").read_text().splitlines()
    assert facts[:2] == ["quick", str(options.store)]
    assert os.path.samefile(facts[2], sys.executable)
    assert facts[3] == "1" and "inline" in facts[4] and facts[5] == str(books)
    assert options.output(book).exists() and left_over(options) == []
    assert "Executing Cell 1" in outcome.log.read_text()

    assert execute(book, options, inputs="key1").status == "fresh"
    assert "01  01_book.ipynb  fresh" in dry_run([book], options, inputs=lambda e: "key1")
    assert "inputs" in dry_run([book], options, inputs=lambda e: "key2")
    assert "forced" in dry_run([book], Options("quick", options.store, options.out, options.build, force=True))
    assert "fig01 is gone" in dry_run([book], options, inputs=lambda e: "key1", check=lambda e: ["fig01 is gone"])

    log = io.StringIO()
    assert run_all([book], options, inputs=lambda e: "key1", check=lambda e: [], progress=log) == 0
    assert "1 fresh" in log.getvalue() and "done" not in log.getvalue()

    def is_stale() -> str:
        return stale(book, options, stamp_of(book, options, "key1"))

    nb = nbformat.read(book.path, as_version=4)
    nb.cells[1].outputs = [nbformat.v4.new_output("stream", text="old output")]
    nbformat.write(nb, book.path)
    assert is_stale() == ""  # outputs and counts kept in the source do not matter
    nb.cells[1].source += "\n1 + 1"
    nbformat.write(nb, book.path)
    assert "notebook" in is_stale()
    options.stamp(book).write_text('{"notebook"')
    assert "cannot be read" in is_stale()
    options.output(book).unlink()
    assert "no finished run" in is_stale()


@pytest.mark.slow
def test_keep_going_runs_the_rest_and_says_why_each_failed(options: Options, books: Path) -> None:
    bad = entry(books, "01", "import os", "x = 1\n1 / 0", "print('never')")
    dead = entry(books, "02", KILLED, "print('never')")
    good = entry(books, "03", "print('fine')")
    unchecked = entry(books, "04", "print('fine too')")
    together = Options("quick", options.store, options.out, options.build, jobs=2, keep_going=True)
    log = io.StringIO()

    def check(e: Entry) -> list[str]:
        return ["fig04.svg is missing"] if e.id == "04" else []

    assert run_all([bad, dead, good, unchecked], together, inputs=lambda e: "", check=check, progress=log) == 1
    lines = {line[:2]: line for line in log.getvalue().splitlines()}
    assert "failed" in lines["01"] and "ZeroDivisionError: division by zero in cell In [4] ('x = 1')" in lines["01"]
    assert "failed" in lines["02"] and "kernel was killed in cell In [3]" in lines["02"] and "02.log" in lines["02"]
    assert "done" in lines["03"]
    assert "check failed" in lines["04"] and "fig04.svg is missing" in lines["04"]
    assert log.getvalue().splitlines()[-1].startswith("1 done, 2 failed, 1 check failed in ")
    for e in (bad, dead):
        assert (options.folder / "notebooks" / f"{e.path.stem}.failed.ipynb").exists()
        assert not options.output(e).exists()
    assert [e.id for e in (bad, dead, good, unchecked) if options.stamp(e).exists()] == ["03"]
    assert left_over(options) == []

    # Mended, the failed copy goes; a failed check is not fresh and alone gives 3.
    write_notebook(bad.path, "1 + 1")
    log = io.StringIO()
    assert run_all([bad, good, unchecked], together, inputs=lambda e: "", check=check, progress=log) == 3
    assert "1 done, 1 fresh, 1 check failed" in log.getvalue()
    assert not options.failed(bad).exists() and options.output(bad).exists()


@pytest.mark.parametrize("failures, code", [(2, 0), (3, 1)])
def test_a_kernel_that_never_started_is_started_again(
        failures: int, code: int, options: Options, books: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    tally = tmp_path / "tally"
    unlucky = f"""import sys
with open({str(tally)!r}, "a+") as file:
    file.write("x")
    file.seek(0)
    if len(file.read()) <= {failures}:
        sys.exit("RuntimeError: {many.NEVER_STARTED}")
"""
    monkeypatch.setattr(one, "PAPERMILL", unlucky + one.PAPERMILL)
    assert run_all([entry(books, "01", "1 + 1")], options, progress=io.StringIO()) == code
    assert len(tally.read_text()) == 3 and not left_over(options)


@pytest.mark.slow
def test_replay_says_what_has_no_records_and_goes_on(options: Options, books: Path) -> None:
    bare = entry(books, "01", "from regrow.errors import NotRecorded", "raise NotRecorded('`regrow run` trains it.')")
    good, said = entry(books, "02", "1"), io.StringIO()
    assert run_all([bare, good], replace(options, profile="replay"), progress=said) == 0
    assert "no records" in said.getvalue() and "`regrow run` trains it." in said.getvalue()
    assert "1 done, 1 no records" in said.getvalue()
    assert run_all([bare, good], options, progress=io.StringIO()) == 1  # elsewhere it is a failure


def test_the_first_failure_stops_the_rest_and_takes_the_stamp_away(options: Options, books: Path) -> None:
    bad, good = entry(books, "01", "raise SystemExit('no\\nmore')"), entry(books, "02", "1")
    for folder in (options.stamp(bad).parent, options.output(bad).parent):
        folder.mkdir(parents=True)
    options.stamp(bad).write_text(json.dumps(stamp_of(bad, options, "")))
    options.output(bad).write_text("an earlier success")
    log = io.StringIO()
    assert stale(bad, options, stamp_of(bad, options, "")) == ""
    forced = Options("quick", options.store, options.out, options.build, force=True)
    assert run_all([bad, good], forced, inputs=lambda e: "", check=lambda e: [], progress=log) == 1
    assert "SystemExit: no more in cell" in log.getvalue() and "1 failed, 1 skipped" in log.getvalue()
    assert not options.output(good).exists()
    assert stale(bad, options, stamp_of(bad, options, "")) == "no finished run yet"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_leaves_nothing_half_written(options: Options, books: Path, number: signal.Signals) -> None:
    flag = books.parent / "half-written"
    book = entry(books, "01", textwrap.dedent(f"""
        import os, time
        from pathlib import Path
        flag = Path({str(flag)!r})
        flag.write_text(str(os.getpid()))
        try:
            time.sleep(60)
        finally:
            flag.unlink()"""))
    script = textwrap.dedent(f"""
        import signal, sys
        from pathlib import Path
        signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the tests run as a background job
        from regrow_companion.runner.many import Entry, Options, run_all
        book = Entry("01", Path({str(book.path)!r}), "Book", "1", minutes={{"quick": 1, "paper": 1}})
        options = Options("quick", Path("store"), Path("out"), Path("build"))
        sys.exit(run_all([book, book], options, inputs=lambda e: "", check=lambda e: []))""")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=books.parent, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (flag.exists() and flag.read_text()) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        kernel = int(flag.read_text())
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("Interrupted:") and "Traceback" not in said
    assert left_over(options) == [] and not options.output(book).exists() and not options.stamp(book).exists()
    assert not flag.exists()  # the cell had its chance to tidy up
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


# Refusals, without a kernel

@pytest.mark.parametrize(("parameters", "says"), [
    (None, "takes no parameter profile or store or out"),
    ('profile = "auto"\nstore = ""', "takes no parameter out"),
])
def test_refuses_a_notebook_without_our_parameters(
        options: Options, books: Path, parameters: str | None, says: str) -> None:
    fine, wrong = entry(books, "01", "1"), entry(books, "02", "1", parameters=parameters)
    with pytest.raises(RegrowError, match=says):
        run_all([fine, wrong], options, inputs=lambda e: "", check=lambda e: [], progress=io.StringIO())
    assert not options.folder.exists()  # nothing ran before the refusal
    with pytest.raises(RegrowError, match=says):
        execute(wrong, options)


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"cells": [], "metadata": {}, "nbformat": 4}'])
def test_refuses_what_is_no_notebook(books: Path, text: str) -> None:
    book = entry(books, "01")
    book.path.write_text(text)
    with pytest.raises(RegrowError, match=r"01_book.ipynb (cannot be read as a notebook|takes no parameter)"):
        check_parameters(book)


def test_refuses_no_jobs_and_a_folder_that_is_a_file(books: Path, options: Options) -> None:
    with pytest.raises(RegrowError, match="--jobs"):
        Options("quick", options.store, options.out, jobs=0)
    options.build.write_text("a file")
    with pytest.raises(RegrowError, match="cannot be written"):
        execute(entry(books, "01"), options)


# The map

ITEM = {"id": "05", "file": "05_kshell.ipynb", "title": "Shells", "section": "4.5.1", "figures": ["fig10", "fig11"],
        "tables": ["table4"], "equations": [12, "13"], "needs": ["fig12"], "minutes": {"quick": 1, "paper": 3}}
OTHER = {"id": "08", "file": "08_accuracy.ipynb", "title": "Accuracy", "section": "5.2", "figures": ["fig04"],
         "minutes": {"quick": 0.5, "paper": 1, "replay": 0.5}}
THIRD = {"id": "09", "file": "09_degrees.ipynb", "title": "Degrees", "section": "5.3",
         "minutes": {"quick": 2, "paper": 1}}


def write_index(folder: Path, *items: object) -> Path:
    for item in (ITEM, OTHER, THIRD):
        write_notebook(folder / str(item["file"]))
    path = folder / "index.yml"
    path.write_text(yaml.safe_dump(list(items)))
    return path


def test_reads_the_map(tmp_path: Path) -> None:
    first, second = read_index(write_index(tmp_path, ITEM, OTHER))
    assert first == Entry("05", tmp_path / "05_kshell.ipynb", "Shells", "4.5.1", ("fig10", "fig11"), ("table4",),
                          ("12", "13"), ("fig12",), {"quick": 1.0, "paper": 3.0})
    assert first.products == ("fig10", "fig11", "table4")
    assert second.seconds("replay") == 30 and 0 < first.seconds("replay") < 60 == first.seconds("quick")
    table = list_table([first, second]).splitlines()
    assert len(table) == 3 and "fig10, fig11, table4" in table[1] and "0.5 min" in table[2]


@pytest.mark.parametrize(("items", "says"), [
    ([ITEM | {"figure": ["fig12"]}], r"entry 1: there is no key 'figure' \(did you mean 'figures'"),
    ([ITEM | {"id": 5}], 'id must be text in quotes, for example id: "05", not 5'),
    ([{k: v for k, v in ITEM.items() if k != "section"}], "the key 'section' is missing"),
    ([ITEM | {"figures": "fig10"}], r"figures must be a list of names"),
    ([ITEM | {"file": "99_nowhere.ipynb"}], "there is no notebook"),
    ([ITEM | {"file": "../05_kshell.ipynb"}], "must be the name of a notebook"),
    ([ITEM | {"minutes": {"quick": 1}}], "minutes must be numbers above 0"),
    ([ITEM | {"minutes": {"quick": 0, "paper": 1}}], "minutes must be numbers above 0"),
    ([ITEM, OTHER | {"id": "05"}], "the id '05' belongs to notebook '05' already"),
    ([ITEM, OTHER | {"file": "05_kshell.ipynb"}], "the file '05_kshell.ipynb' belongs"),
    ([ITEM, OTHER | {"figures": ["fig11"]}], "'fig11' belongs to notebook '05' already and cannot belong to '08'"),
    (["05"], "is described by keys"),
    ([], "must be a list"),
])
def test_refuses_wrong_maps(tmp_path: Path, items: list[object], says: str) -> None:
    with pytest.raises(RegrowError, match=says) as caught:
        read_index(write_index(tmp_path, *items))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_refuses_a_map_that_is_absent_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(RegrowError, match="cannot be read"):
        read_index(tmp_path / "index.yml")
    (tmp_path / "index.yml").write_text("- id: [")
    with pytest.raises(RegrowError, match="not valid YAML"):
        read_index(tmp_path / "index.yml")


def test_selects_by_id_figure_table_and_start(tmp_path: Path) -> None:
    entries = read_index(write_index(tmp_path, ITEM, OTHER, THIRD))

    def ids(**asked: str) -> list[str]:
        return [e.id for e in select(entries, **asked)]

    assert ids() == ["05", "08", "09"]
    assert ids(only="09, 05") == ["05", "09"]  # the map's order
    assert ids(only="fig11,table4,fig04") == ["05", "08"]
    assert ids(start="08") == ids(start="fig04") == ["08", "09"]
    assert ids(only="05,09", start="08") == ["09"]
    with pytest.raises(RegrowError, match=r"'fig12'.*did you mean 'fig1"):
        ids(only="fig12")
    with pytest.raises(RegrowError, match=r"'8'.*did you mean '08'"):
        ids(start="8")
    with pytest.raises(RegrowError, match="No notebook is left"):
        ids(only="05", start="08")
