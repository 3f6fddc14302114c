"""figures.py: colours anyone can tell apart, products that are the same bytes twice, refusals, checks on disk."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow_companion import figures, style

ALT = "Mean accuracy over three seeds rises and then levels off."
DATA = pd.DataFrame({"epoch": [1, 2, 3], "accuracy": [80.0, 1 / 3, np.nan]})


def run(seed: int) -> Any:
    config = RunConfig(seed=seed)
    provenance = {"versions": {"torch": "2.13.0"}, "hardware": {"cpu": "two cores"}, "device": "cpu", "seconds": seed}
    return SimpleNamespace(config=config, key=config.key, provenance=provenance)


def drawing() -> Figure:
    with mpl.rc_context():
        style.use_style()
        fig = Figure(figsize=(4, 3), layout="constrained")
        ax = fig.subplots()
        rng = np.random.default_rng(0)
        for method in ("random", "gradient>momentum"):
            style.seed_band(ax, np.arange(20), rng.random((3, 20)), method)
        ax.scatter([1, 2], [0.5, 0.6], clip_on=True)
        ax.set(xlabel="epoch", ylabel="accuracy (%)")
        ax.legend()
        return fig


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    figures.save_figure(drawing(), "fig05", data=DATA, alt=ALT, out=tmp_path, profile="quick",
                        caption="Two rules, N = 3", records=[run(2), run(0), run(1), run(1)])
    return tmp_path


# ------------------------------------------------------------------------------------------------------ style

def lab(colour: str, seen_through: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of an sRGB colour after a linear-RGB matrix (D65)."""
    srgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.clip(seen_through @ np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 1e-4))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira & Fernandes (2009), severity 1.
SEEN = {"normal": np.eye(3),
        "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                                  [-0.011820, 0.042940, 0.968881]]),
        "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                                [-0.003882, -0.048116, 1.051998]])}


@pytest.mark.parametrize("vision", SEEN)
def test_the_five_methods_differ_in_colour_for_everyone(vision: str) -> None:
    colours = {m: lab(style.style_of(m).colour, SEEN[vision]) for m in ("random", "gradient", "momentum", "static",
                                                                           "dense")}
    for a, b in itertools.combinations(colours, 2):
        assert np.linalg.norm(colours[a] - colours[b]) > 20, (a, b)  # 2.3 is just noticeable


def test_simulation_would_catch_a_bad_pair() -> None:
    red_green = [lab(c, SEEN["deuteranopia"]) for c in ("#B85A3A", "#7C8A3A")]
    assert np.linalg.norm(red_green[0] - red_green[1]) < 20


def test_every_method_has_its_own_look() -> None:
    assert len(style.STYLE) == 11
    looks = {(s.colour, s.marker, str(s.linestyle)) for s in style.STYLE.values()}
    assert len(looks) == len({s.label for s in style.STYLE.values()}) == 11
    assert len({style.style_of(m).marker for m in ("random", "gradient", "momentum", "static", "dense")}) == 5


def test_switch_ends_in_its_second_colour_and_starts_with_its_first_marker() -> None:
    switch = style.style_of("random>gradient")
    assert (switch.colour, switch.marker) == (style.STYLE["gradient"].colour, style.STYLE["random"].marker)
    assert switch == style.STYLE["random>gradient"]


def test_registered_rule_keeps_its_look_in_another_process() -> None:
    code = "from regrow_companion.style import style_of; print(style_of('my_rule'), style_of('my_rule>random'))"
    elsewhere = {python(code, hashseed) for hashseed in ("1", "2")}
    assert elsewhere == {f"{style.style_of('my_rule')} {style.style_of('my_rule>random')}\n"}
    assert style.style_of("my_rule").colour not in {style.STYLE[m].colour for m in style.STYLE}


def python(code: str, hashseed: str) -> str:
    source = str(Path(figures.__file__).parents[1])
    env = os.environ | {"PYTHONHASHSEED": hashseed, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout


def test_seed_band_is_mean_and_sample_deviation() -> None:
    ax = Figure().subplots()
    ys = np.array([[1.0, 2.0], [3.0, 2.0]])
    line = style.seed_band(ax, [0, 1], ys, "random")
    assert np.array_equal(line.get_ydata(), [2, 2]) and line.get_label() == "random (N=2)"
    edge = np.asarray(ax.collections[0].get_paths()[0].vertices)
    assert {round(float(y), 6) for x, y in edge if x == 0} >= {round(2 - 2**0.5, 6), round(2 + 2**0.5, 6)}
    style.seed_band(ax, [0, 1], ys[:1], "static")
    assert len(ax.collections) == 1  # one seed has no spread
    with pytest.raises(figures.FigureError, match="shape"):
        style.seed_band(ax, [0, 1, 2], ys, "random")


def test_seed_lines_draw_what_seed_band_draws() -> None:
    ys = np.random.default_rng(0).random((3, 20))
    frame = pd.DataFrame([{"seed": seed, "epoch": epoch, "share": ys[seed, epoch]} for epoch in range(20)
                          for seed in range(3)]).sample(frac=1, random_state=0)  # rows in any order
    ours, long = Figure().subplots(), Figure().subplots()
    one = style.seed_band(ours, np.arange(20), ys, "gradient")
    style.seed_lines(long, frame, "epoch", "share", "gradient")
    (other,) = long.lines
    np.testing.assert_allclose(other.get_xydata(), one.get_xydata())
    for look in ("label", "color", "marker", "linestyle", "linewidth", "markersize", "markevery", "markeredgecolor",
                 "markeredgewidth"):
        assert mpl.artist.getp(other, look) == mpl.artist.getp(one, look), look
    bands = [ax.collections[0].get_paths()[0].vertices for ax in (ours, long)]
    np.testing.assert_allclose(*bands)
    assert long.get_xlabel() == long.get_ylabel() == "" and long.get_legend() is None
    style.seed_lines(long, frame[frame["seed"] == 0], "epoch", "share", "static", label="alone")
    assert long.lines[1].get_label() == "alone" and len(long.collections) == 1  # one seed has no spread


@pytest.mark.parametrize("orient", ["v", "h"])
def test_strips_put_every_run_where_it_is_told_to(orient: str) -> None:
    ax, places, values = Figure().subplots(), [1.1, 0.9, 1.0], [60.0, 62.0, 60.0]
    wanted = (places, values) if orient == "v" else (values, places)
    style.strips(ax, *wanted, style.style_of("random"), size=4, orient=orient)
    drawn = np.concatenate([np.asarray(points.get_offsets()) for points in ax.collections])
    assert sorted(drawn.tolist()) == sorted(map(list, zip(*wanted, strict=True)))
    assert all(points.get_sizes().tolist() == [16] for points in ax.collections)


def test_heat_map_has_square_cells_in_a_frame() -> None:
    ax, matrix = Figure().subplots(), np.arange(6).reshape(2, 3)
    mesh = style.heat_map(ax, matrix, high=10)
    assert np.array_equal(mesh.get_array(), matrix) and mesh.get_clim() == (0, 10) and mesh.get_rasterized()
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == ((0, 3), (2, 0), 1)
    assert all(spine.get_visible() for spine in ax.spines.values()) and not len(ax.get_xticks())
    style.cell_ticks(ax.xaxis, [0, 2])
    style.cell_ticks(ax.yaxis, [1], ["end"])
    assert ax.get_xticks().tolist() == [0.5, 2.5] and ax.get_yticks().tolist() == [1.5]
    assert [label.get_text() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())] == ["0", "2", "end"]


# --------------------------------------------------------------------------------------------- saved products

def test_four_files_and_nothing_else(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["fig05.csv", "fig05.json", "fig05.png", "fig05.svg"]
    assert figures.check_figure(saved, "fig05") == []
    assert (saved / "fig05.csv").read_bytes() == b"epoch,accuracy\n1,80\n2,0.333333\n3,\n"


def test_json_says_where_it_comes_from(saved: Path) -> None:
    about = json.loads((saved / "fig05.json").read_text())
    assert about["keys"] == sorted(RunConfig(seed=s).key for s in range(3)) and about["n_runs"] == 3
    assert about["seeds"] == [0, 1, 2] and about["versions"]["torch"] == ["2.13.0"]
    assert about["hardware"] == [{"cpu": "two cores"}] and about["device"] == ["cpu"]
    assert (about["profile"], about["alt"], about["caption"]) == ("quick", ALT, "Two rules, N = 3")
    assert about["commit"] is None or len(about["commit"]) >= 40
    assert {"python", "numpy", "matplotlib", "regrow"} <= about["versions"].keys()


@pytest.mark.slow
def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    for hashseed in ("0", "77"):
        python(f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_figures as t\n"
               f"t.figures.save_figure(t.drawing(), 'fig05', data=t.DATA, alt=t.ALT, profile='quick',\n"
               f"    out=t.Path({str(tmp_path / hashseed)!r}), records=[t.run(s) for s in range(3)])", hashseed)
    first, second = tmp_path / "0", tmp_path / "77"
    assert len(list(first.iterdir())) == 4
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_saving_one_figure_again_marks_it_once_and_changes_nothing(tmp_path: Path) -> None:
    fig = drawing()
    for folder in ("a", "b"):
        figures.save_figure(fig, "fig05", data=DATA, alt=ALT, out=tmp_path / folder, profile="quick")
    assert [t.get_gid() for t in fig.texts] == [figures.QUICK_GID]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_only_quick_is_marked(tmp_path: Path) -> None:
    for profile in ("quick", "replay", "paper"):
        figures.save_figure(drawing(), "fig05", data=DATA, alt=ALT, out=tmp_path / profile, profile=profile)
        assert (b'id="quick-mark"' in (tmp_path / profile / "fig05.svg").read_bytes()) == (profile == "quick")


@pytest.mark.parametrize("where", [{"loc": "outside lower right"}, {"loc": "upper right", "bbox_to_anchor": (1, 0.02)}])
def test_the_mark_stands_below_everything(where: dict, tmp_path: Path) -> None:
    fig = drawing()
    legend = fig.legend(*fig.axes[0].get_legend_handles_labels(), **where)
    path = figures.save_figure(fig, "fig05", data=DATA, alt=ALT, out=tmp_path, profile="quick")
    dark = figures.imread(path)[:, :, :3].min(axis=(1, 2))  # darkest value of every row of pixels
    ink = np.flatnonzero(dark < 1)
    mark = ink[ink > np.flatnonzero(dark == 1)[-1 - (len(dark) - 1 - ink[-1])]]  # the lowest run of rows with ink
    assert 8 < len(mark) < 25 and dark[mark].min() > 0.3  # one line of small grey text, and nothing black
    assert not legend.get_window_extent().overlaps(fig.axes[0].xaxis.label.get_window_extent())


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"alt": "a plot"}, "alt text"), ({"data": DATA[:0]}, "no rows"), ({"stem": "../fig05"}, "no name for a file"),
    ({"fig": Figure()}, "nothing drawn"),
])
def test_refusals_are_one_sentence_and_leave_nothing(changes: dict, sentence: str, tmp_path: Path) -> None:
    values = {"fig": drawing(), "stem": "fig05", "data": DATA, "alt": ALT, "out": tmp_path / "x", "profile": "paper"}
    with pytest.raises(RegrowError, match=sentence) as refused:
        figures.save_figure(**(values | changes))
    assert isinstance(refused.value, ValueError) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_unlabelled_axes_are_found_and_refused(tmp_path: Path) -> None:
    fig = drawing()
    fig.axes[0].set_ylabel("")
    assert style.unlabelled_axes(fig) == ["panel 1 (y)"]
    with pytest.raises(figures.FigureError, match=r"panel 1 \(y\)"):
        figures.save_figure(fig, "fig05", data=DATA, alt=ALT, out=tmp_path, profile="paper")


def test_labels_shared_by_a_grid_count() -> None:
    fig = Figure()
    grid = fig.subplots(2, 2, sharex=True, sharey=True)
    for ax in grid.flat:
        ax.plot([1, 2])
    grid[1, 0].set(xlabel="degree", ylabel="neurons")
    grid[0, 0].set_ylabel("neurons")
    assert style.unlabelled_axes(fig) == ["panel 2 (x)", "panel 4 (x)"]
    fig.supxlabel("degree")
    assert style.unlabelled_axes(fig) == []
    twin = grid[0, 1].twinx()
    twin.plot([3, 4])
    assert style.unlabelled_axes(fig) == []  # its place in the grid is labelled


def test_images_without_ticks_need_a_title() -> None:
    fig = Figure()
    grid = fig.subplots(2, 2)
    for ax in grid.flat:
        ax.imshow(np.eye(3))
        ax.set(xticks=[], yticks=[])
    assert len(style.unlabelled_axes(fig)) == 4
    grid[0, 0].set_title("2 epochs")  # names its column and its row, as the paper's heat maps do
    assert style.unlabelled_axes(fig) == ["panel 4 (no title)"]
    grid[0, 1].set_title("75 epochs")
    bar = fig.colorbar(grid[0, 0].images[0], ax=grid)
    assert style.unlabelled_axes(fig) == ["panel 5 (no title)"]
    bar.set_label("connections")
    assert style.unlabelled_axes(fig) == []


def blank_png(path: Path) -> None:
    mpl.image.imsave(path, np.ones((4, 4, 3)))


@pytest.mark.parametrize(("name", "spoil", "sentence"), [
    ("fig05.svg", Path.unlink, "fig05.svg is missing"),
    ("fig05.csv", lambda p: p.write_bytes(b""), "fig05.csv is empty"),
    ("fig05.svg", lambda p: p.write_bytes(p.read_bytes()[:-50]), "cannot be parsed"),
    ("fig05.svg", lambda p: p.write_text("<html/>"), "not an svg"),
    ("fig05.svg", lambda p: p.write_text(p.read_text().replace("quick-mark", "x")), "does not say so"),
    ("fig05.png", lambda p: p.write_bytes(b"GIF89a" + p.read_bytes()[6:]), "not a whole png"),
    ("fig05.png", lambda p: p.write_bytes(p.read_bytes()[:2000]), "not a whole png"),
    ("fig05.png", blank_png, "one colour"),
    ("fig05.csv", lambda p: p.write_text("epoch,accuracy\n"), "no rows"),
    ("fig05.csv", lambda p: p.write_text(p.read_text().replace("80", "99")), "does not belong"),
    ("fig05.json", Path.unlink, "fig05.json is missing"),
    ("fig05.json", lambda p: p.write_text("{"), "not JSON"),
    ("fig05.json", lambda p: p.write_text("{}"), "keys of its runs"),
    ("fig05.json", lambda p: p.write_text(p.read_text().replace(ALT, "")), "no alt text"),
])
def test_check_figure_catches(saved: Path, name: str, spoil, sentence: str) -> None:
    spoil(saved / name)
    assert any(sentence in problem for problem in figures.check_figure(saved, "fig05"))


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (saved / "fig05.svg").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(style.FigureError, match=r"fig05 cannot be written to .* \(disk full\)"):
        figures.save_figure(drawing(), "fig05", data=DATA, alt=ALT, out=saved, profile="paper")
    assert (saved / "fig05.svg").read_bytes() == before and len(list(saved.iterdir())) == 4


def test_table_is_csv_markdown_and_json(tmp_path: Path) -> None:
    frame = pd.DataFrame({"rule": ["random", "a|b"], "accuracy": [55.5, np.nan]})
    path = figures.save_table(frame, "table3", out=tmp_path, profile="quick", caption="Accuracy, N = 1",
                              records=[run(0)])
    assert path.read_text() == ("**Accuracy, N = 1**\n\n*quick profile, not the paper's scale*\n\n"
                                "| rule | accuracy |\n| --- | --- |\n| random | 55.5 |\n| a\\|b |  |\n")
    assert figures.check_table(tmp_path, "table3") == []
    assert json.loads((tmp_path / "table3.json").read_text())["seeds"] == [0]
    path.unlink()
    assert figures.check_table(tmp_path, "table3") == ["table3.md is missing."]
    with pytest.raises(figures.FigureError, match="caption"):
        figures.save_table(frame, "table3", out=tmp_path, profile="quick", caption="")


@pytest.mark.parametrize(("name", "content"), [("fig05.csv", "1"), ("fig05.svg", ""), ("fig05.json", '{"mine": 1}'),
                                               ("fig05.json", '{"stem": "fig06", "sha256": {}}')])
def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(style.FigureError, match=f"{name} is there already and was not written by regrow"):
        figures.save_figure(drawing(), "fig05", data=DATA, alt=ALT, out=tmp_path, profile="paper")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, content)]


def test_a_product_that_was_interrupted_half_way_is_seen_and_drawn_again(saved: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    for path in saved.iterdir():
        path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(figures, "write", lambda path, content: path.write_bytes(content) if path.suffix != ".png" else
                      (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(style.FigureError, match="killed"):
            figures.save_figure(drawing(), "fig05", data=DATA, alt=ALT, out=saved, profile="paper")
    assert "fig05.png is missing." in figures.check_figure(saved, "fig05")
    figures.save_figure(drawing(), "fig05", data=DATA, alt=ALT, out=saved, profile="paper")
    assert figures.check_figure(saved, "fig05") == []
