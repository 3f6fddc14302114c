"""`python -m regrow notebooks` end to end, on two tiny notebooks: train, execute, check, site, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from regrow import RunConfig
from regrow_companion import cli, regenerate, study
from regrow_companion.runner import many

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)
DRAW = """from regrow import RunConfig, Store
import matplotlib.pyplot as plt, pandas as pd
from regrow_companion import figures
import json
from pathlib import Path
from regrow_companion.study import REPOSITORY
record = Store(store).get(RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2))
fig, ax = plt.subplots()
ax.plot(record.test_accuracy)
ax.set(xlabel="epoch", ylabel="test accuracy (%)")
figures.save_figure(fig, "fig05", data=pd.DataFrame({"a": record.test_accuracy}), alt="Test accuracy over two epochs.",
                    out=Path(out), profile=profile, records=[record])"""
INDEX = """- {id: "09", file: 09.ipynb, title: Degrees, section: "5.3", figures: [fig05], needs: [fig05],
   minutes: {quick: 0.1, paper: 0.1}}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (regenerate, study):
        monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    monkeypatch.setattr(regenerate, "INDEX", tmp_path / "notebooks" / "index.yml")
    monkeypatch.setattr(study, "distinct", lambda needs, profile: (TINY,) if list(needs) else ())
    monkeypatch.setattr(regenerate, "judge", lambda: ([], "there are no records."))
    monkeypatch.delenv("REGROW_STORE", raising=False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "index.yml").write_text(INDEX)
    return tmp_path


def write(repository: Path, source: str) -> None:
    cells = [new_code_cell('profile = "auto"\nstore = ""\nout = ""', metadata={"tags": ["parameters"]}),
             new_code_cell(source)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), repository / "notebooks" / "09.ipynb")


@pytest.mark.slow
def test_from_nothing_to_a_page_and_then_nothing_to_do(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(repository, DRAW)
    assert cli.main(["notebooks", "--jobs", "1"]) == 0
    page = repository / "build" / "quick" / "site" / "index.html"
    assert page.is_file() and str(page) in capfd.readouterr().out
    assert "thumbnails/fig05.png" in page.with_name("figures.html").read_text()
    assert "figures/fig05.svg" in page.with_name("09.html").read_text()
    assert cli.main(["notebooks"]) == 0
    assert "0 of 1 runs are missing" in (said := capfd.readouterr()).out and "fresh" in said.err
    (repository / "build" / "quick" / "figures" / "fig05.csv").unlink()
    assert cli.main(["notebooks", "--dry-run"]) == 0
    assert "would run" in capfd.readouterr().out


@pytest.mark.slow
def test_a_figure_that_was_not_drawn_is_exit_code_3(repository: Path) -> None:
    write(repository, "1 + 1")
    assert cli.main(["notebooks", "--jobs", "1"]) == 3


def test_usage_is_exit_code_2_and_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, DRAW)
    wrong = {"'quick'": ["--profile", "qick"], "'fig05'": ["--only", "fig55"], "--jobs": ["--jobs", "-1"]}
    for says, words in wrong.items():
        assert cli.main(["notebooks", *words]) == 2
        assert says in capsys.readouterr().err
    assert not (repository / "build").exists()


def test_list_and_report(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, DRAW)
    assert cli.main(["notebooks", "--list"]) == 0 and "fig05" in capsys.readouterr().out
    assert cli.main(["notebooks", "--list", "--json"]) == 0
    assert [entry["figures"] for entry in json.loads(capsys.readouterr().out)] == [["fig05"]]
    assert cli.main(["report"]) == 0
    said = capsys.readouterr()
    page = repository / "build" / "quick" / "site" / "index.html"
    assert "MB. Open" in said.out and said.err == ""
    assert "python -m regrow notebooks" in page.with_name("notebooks.html").read_text()
    assert cli.main(["report", "--build", str(repository / "elsewhere")]) == 0
    assert (repository / "elsewhere" / "quick" / "site" / "09.html").is_file()
    assert many.read_index(regenerate.INDEX)[0].id == "09"


def test_the_gallery_of_widgets_comes_last(repository: Path) -> None:
    write(repository, DRAW)
    assert [entry.id for entry in regenerate.read_entries()] == ["09"]
    (repository / "notebooks" / "widgets.ipynb").write_text("{}")
    gallery = regenerate.read_entries()[-1]
    assert gallery.id == "widgets" and set(gallery.needs) <= set(study.NEEDS) and gallery.products == ()


def test_a_large_site_and_pictures_without_words_are_said(repository: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, DRAW)
    monkeypatch.setattr(regenerate, "LARGEST_SITE", 1)
    written = regenerate.site.Written(repository / "index.html", 3, 4_000_000, ("09.ipynb (2)",))
    monkeypatch.setattr(regenerate.site, "write", lambda material, folder: written)
    assert cli.main(["report"]) == 0
    said = capsys.readouterr()
    assert "09.ipynb (2)" in said.err and "the site has 4 MB; 1 were meant" in said.err
    assert said.out == f"3 files, 4.0 MB. Open {repository / 'index.html'}\n"
