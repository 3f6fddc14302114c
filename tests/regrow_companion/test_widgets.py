"""The teaching widgets without a browser: what they draw and say over their whole range, and what their controls do."""

from __future__ import annotations

import io
import itertools
import re
import time
from collections.abc import Iterator
from math import prod
from typing import Any

import ipywidgets as ipw
import nbformat
import networkx as nx
import numpy as np
import pytest
from PIL import Image

from regrow import metrics, schedule, sparsity
from regrow.config import RunConfig
from regrow.errors import DataError
from regrow.record import Record
from regrow.rules import GROWTH, PRUNING
from regrow.tails.fit import fit_tail, tail_of
from regrow_companion import study, widgets
from regrow_companion.plots.nb05_shells import example_masks
from regrow_companion.plots.nb11_heat_maps import concentration
from regrow_companion.study import REPOSITORY
from regrow_companion.widgets import (
    dormant,
    examples,
    growing,
    heat_over_time,
    layer_density,
    one_update,
    panel,
    peeling,
    rates,
    tail_fitting,
)
from regrow_companion.widgets.panel import Panel, View, stops

ROOT = REPOSITORY
DEGREES = {"gradient": np.array([0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 9, 14, 30]), "constant": np.full(9, 4)}


@pytest.fixture(scope="module")
def runs() -> tuple[Record, ...]:
    return examples.small_records()


@pytest.fixture(scope="module")
def panels(runs: tuple[Record, ...]) -> dict[str, Panel]:
    """All eight, on small data."""
    networks = {"example": example_masks()} | {run.config.method: list(run.masks(5).values()) for run in runs}
    return {"density": widgets.density(), "update_step": widgets.update_step(),
            "rich_get_richer": widgets.rich_get_richer(),
            "power_law": widgets.power_law({"gradient": DEGREES["gradient"], "mine": np.arange(30)}),
            "shells": widgets.shells(networks), "dormancy": widgets.dormancy(runs), "heat_map": widgets.heat_map(runs),
            "schedules": widgets.schedules()}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are built, but not turned into pixels, which is half of the time."""
    blank = io.BytesIO()
    Image.new("P", (9, 6)).save(blank, "png")
    for module in (dormant, growing, heat_over_time, layer_density, one_update, peeling, rates, tail_fitting):
        monkeypatch.setattr(module, "png", lambda fig: blank.getvalue())


@pytest.fixture
def reset(panels: dict[str, Panel]) -> Iterator[dict[str, Panel]]:
    """The panels, whose controls stand afterwards as they did before."""
    before = {name: each.state for name, each in panels.items()}
    yield panels
    for name, state in before.items():
        for control, value in state.items():
            panels[name].controls[control].value = value


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*\.?\d*", text)]


# ------------------------------------------------------------------------------------------- every value of everything

def test_there_are_eight_and_the_gallery_shows_them_all() -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "widgets.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata, "state without a kernel has no place in the repository"
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert set(re.findall(r"widgets\.(\w+)\(", source)) == set(widgets.ALL) and len(widgets.ALL) == 8
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert prose.count("**Ask the class:**") == 8
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        assert (ROOT / "notebooks" / target).exists(), target


@pytest.mark.parametrize("name", widgets.ALL)
def test_every_value_of_every_control_is_answered(name: str, panels: dict[str, Panel], undrawn: None) -> None:
    """One control at a time along its whole range, from where it starts and from random places of the others."""
    it, rng = panels[name], np.random.default_rng(0)
    ranges = {control: stops(widget) for control, widget in it.controls.items()}
    for control, values in ranges.items():
        for value in values:
            others = {other: all_[rng.integers(len(all_))] for other, all_ in ranges.items()}
            for state in (it.state, others) if len(values) < 50 else (others,):
                if name == "shells":  # the slider ends where the chosen network does
                    state = state | {"k": min(state["k"], 4)}
                view = it.draw(**state | {control: value})
                assert isinstance(view, View) and view.alt.endswith(".") and view.text.rstrip().endswith(".")
                assert "nan" not in view.text and len(view.text) > 30


@pytest.mark.parametrize("name", widgets.ALL)
def test_a_control_changes_picture_and_words(name: str, reset: dict[str, Panel]) -> None:
    """Through the traits, as the browser does it: what is shown is what the pure function computes."""
    it = reset[name]
    if name == "update_step":
        it.controls["stage"].value = 4  # before that, not every rule has had its say
    for control, widget in it.controls.items():
        assert widget.description, "a control must say what it is"
        values = stops(widget)
        before, shown = widget.value, it.picture.value
        widget.value = values[(values.index(before) + max(1, len(values) // 3)) % len(values)]
        view = it.draw(**it.state)
        assert (it.picture.value, it.readout.value) == (view.picture, view.readout)
        assert widget.value != before
        if control not in ("seed", "sets"):  # two draws may look alike, and magnitude pruning draws nothing
            assert it.picture.value != shown, control


@pytest.mark.parametrize("name", widgets.ALL)
def test_a_picture_is_small_sharp_and_the_same_again(name: str, panels: dict[str, Panel]) -> None:
    it = panels[name]
    first, second = it.view(), it.view()
    assert first == second
    picture = Image.open(io.BytesIO(first.png))
    assert picture.width == 7 * panel.INCH * panel.SHARPNESS and len(first.png) < 200_000
    assert 'alt="' in first.picture and 'width="700"' in first.picture
    assert 'role="status"' in first.readout and 'aria-live="polite"' in first.readout


def test_words_cannot_break_the_page() -> None:
    view = View(panel_png := _png(), 'a "picture" <script>', "1 < 2 & 3 > 2")
    assert panel_png and "<script>" not in view.picture and "&quot;picture&quot;" in view.picture
    assert "1 &lt; 2 &amp; 3 &gt; 2" in view.readout


def _png() -> bytes:
    with panel.paper(1, 1) as fig:
        return panel.png(fig)


def test_answer_times_are_reported(reset: dict[str, Panel], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asserted about time: machines differ and are busy. `pytest -rP` shows the table."""
    for name, it in reset.items():
        control = it.controls[it.walk]
        spent = []
        for value in list(dict.fromkeys(stops(control)))[:6]:
            began = time.perf_counter()
            control.value = value
            spent.append(1000 * (time.perf_counter() - began))
        print(f"{name:16} {np.median(spent):5.0f} ms, at most {max(spent):.0f} ms")
    assert capsys.readouterr().out.count(" ms, at most ") == 8


# ------------------------------------------------------------------------------------------------------ static forms

@pytest.mark.parametrize("name", widgets.ALL)
def test_static_form_is_a_slider_over_the_same_views(name: str, panels: dict[str, Panel],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    it = panels[name]
    assert len(it.view().picture) * it.frames < 3_000_000, "the page must stay small"
    monkeypatch.setattr(it, "frames", min(it.frames, 6))
    form = it.static()
    slider, stack = form.children
    assert isinstance(slider, ipw.IntSlider) and isinstance(stack, ipw.Stack)
    assert (form.link.source, form.link.target) == ((slider, "value"), (stack, "selected_index"))
    assert slider.value == stack.selected_index
    assert slider.description == it.controls[it.walk].description
    values = stops(it.controls[it.walk])
    assert slider.max + 1 == len(stack.children) == min(it.frames, len(values)) > 2
    for frame, value in ((stack.children[0], values[0]), (stack.children[-1], values[-1])):
        view = it.draw(**it.state | {it.walk: value})
        assert frame.value == view.picture + view.readout


def test_a_notebook_shows_the_static_form_where_it_is_told_to(panels: dict[str, Panel],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    it = panels["density"]

    def shown() -> str:
        return it._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]["model_id"]

    assert shown() == it.model_id
    monkeypatch.setenv(panel.STATIC, "1")
    assert shown() != it.model_id


# ---------------------------------------------------------------------------------------------- one widget at a time

@pytest.mark.parametrize("init", layer_density.INITS)
@pytest.mark.parametrize("network", ["mlp", "vgg16"])
def test_density_says_what_sparsity_counts(network: str, init: str) -> None:
    shapes = layer_density.weight_shapes(network)
    for absent in (0.0, 0.5, 0.95):
        counts = sparsity.connection_counts(shapes, 1 - absent, init)
        text = layer_density.draw(network, init, absent).text
        assert f"{sum(counts.values()):,} of {sum(map(prod, shapes.values())):,} weights" in text
        if absent > 0 and init != "uniform":
            named = re.search(r"The thinnest is (\w+): .* %, ([\d,]+) connections", text)
            assert named and int(named[2].replace(",", "")) == counts[named[1]]
            lowest = min(counts[name] / prod(shapes[name]) for name in shapes)
            assert counts[named[1]] / prod(shapes[named[1]]) == pytest.approx(lowest, rel=1e-3)


@pytest.mark.parametrize("grow", study.STRATEGIES)
@pytest.mark.parametrize("prune", one_update.PRUNING)
def test_update_step_is_the_real_one(prune: str, grow: str) -> None:
    """For all fractions and draws: counts are kept, what grows has the highest scores among the empty places."""
    for rate, seed in itertools.product(np.arange(10) / 10, range(3)):
        it = one_update.step(prune, grow, float(rate), seed)
        mask, pruned, grown = it.layer.mask, it.rewiring.pruned, it.rewiring.grown
        assert int(it.rewiring.mask.sum()) == int(mask.sum()) == 10
        assert not (pruned & ~mask).any() and int(pruned.sum()) == int(grown.sum())
        empty = ~(mask & ~pruned)
        if grown.any():
            passed_over = it.score[empty & ~grown]
            assert not len(passed_over) or it.score[grown].min() >= passed_over.max()
    assert set(one_update.PRUNING) <= set(PRUNING) and set(study.STRATEGIES) <= set(GROWTH)


def test_update_step_says_what_the_layer_has() -> None:
    said = [one_update.draw("magnitude", "gradient", 0.4, 0, stage).text for stage in range(5)]
    before, marked, bare, _, after = said
    assert before.startswith("10 connections; incoming ones of the four neurons: 3, 2, 2, 3.")
    assert "marks 4: 3→1, 5→1, 4→2, 1→3" in marked  # the weights 0.3, -0.4, 0.1 and 0.2
    assert bare.startswith("6 connections") and after.startswith("10 connections")
    assert "3→1, 2→3, 3→3, 5→3" in after and "Pruned and grown again: 3→1" in after  # |G| 0.6, 0.9, 0.8, 0.7


def test_the_race_keeps_all_connections_and_starts_alike() -> None:
    races = growing.races()
    assert list(races) == list(study.STRATEGIES)
    totals = {int(total) for race in races.values() for total in race.degrees.sum(axis=1)}
    assert len(totals) == 1, "connections only move"
    assert len({race.masks[0][0].tobytes() for race in races.values()}) == 1
    last = len(races["random"].steps) - 1
    end = {name: race.degrees[-1] for name, race in races.items()}
    assert end["gradient"].max() > end["random"].max()
    text = growing.draw(last).text
    assert f"Random growth: from {end['random'].min()} to {end['random'].max()} inputs" in text
    assert "Test accuracy at the end" in text and "Test accuracy" not in growing.draw(0).text


def test_power_law_finds_the_gap_that_the_fit_reports() -> None:
    values = DEGREES["gradient"]
    for xmin, xmax in itertools.product((1, 2, 3, 4), (None, 9, 30)):
        fit = fit_tail(values, xmin, xmax)
        k, data, law = tail_fitting.gap(tail_of(values, xmin, xmax), fit)
        assert abs(data - law) == pytest.approx(fit.D, abs=1e-9)
        assert data == pytest.approx(np.mean(tail_of(values, xmin, xmax) <= k))
        text = tail_fitting.draw("gradient", xmin, xmax or 0, 50, DEGREES).text
        assert f"alpha = {fit.alpha:.3g}" in text and f"D = {fit.D:.3f}" in text and f"{fit.n_tail} of 15" in text


def test_power_law_says_why_there_is_nothing_to_fit() -> None:
    assert "xmax = 2 lies below xmin = 5" in tail_fitting.draw("gradient", 5, 2, 50, DEGREES).text
    assert "no value lies in xmin = 31" in tail_fitting.draw("gradient", 31, 0, 50, DEGREES).text
    assert "All 9 values of the tail are equal" in tail_fitting.draw("constant", 1, 0, 50, DEGREES).text
    with pytest.raises(DataError, match="whole numbers"):
        widgets.power_law({"mine": [1.5, 2.0]})
    assert 110 in tail_fitting.grid(500) and tail_fitting.grid(5) == [1, 2, 3, 4, 5]


def test_onion_peels_as_networkx_does() -> None:
    it = peeling.onion(example_masks())
    whole = metrics.to_networkx(example_masks()).to_undirected()
    assert it.shell.tolist() == [nx.core_number(whole)[node] for node in whole]
    for k in range(it.core + 2):
        left = nx.k_core(whole, k).number_of_nodes()
        text = peeling.draw("example", k, {"example": it}).text
        assert f"{left} of 27 neurons are in the {k}-core" in text if left else "nothing is left" in text
    radius = np.hypot(*it.places.T)
    for k in range(it.core):  # inner shells lie inside
        assert radius[it.shell > k].max() < radius[it.shell == k].min()


def test_onion_slider_ends_where_the_network_does(panels: dict[str, Panel], reset: Any) -> None:
    it = panels["shells"]
    it.controls["network"].value = "gradient"
    assert it.controls["k"].max > 4
    it.controls["k"].value = it.controls["k"].max
    assert "nothing is left" in it.view().text
    it.controls["network"].value = "example"
    assert (it.controls["k"].max, it.controls["k"].value) == (4, 4)
    assert it.readout.value == it.view().readout


def test_dormancy_counts(runs: tuple[Record, ...]) -> None:
    degrees = dormant.degrees_of(runs)
    for threshold, update in ((0, 0), (3, 7), (8, len(degrees.epochs) - 1)):
        text = dormant.draw(threshold, update, degrees).text
        for run in runs:
            k = run.hidden_degrees()[update]
            assert f"{run.config.method} {100 * np.mean(k <= threshold):.1f} %" in text
        assert f"of {degrees.neurons} hidden neurons" in text and degrees.neurons == 90


def test_heat_maps_are_those_of_the_records(runs: tuple[Record, ...]) -> None:
    maps = heat_over_time.maps_of(runs)
    assert maps.epochs.size == len(runs[0].steps), "full records have a map after every update"
    for run in runs:
        heat = maps.of[run.config.method]
        assert heat.shape == (len(run.steps), 28, 28)
        assert (heat.sum(axis=(1, 2)) == run.connections["fc1"]).all()
        share = 100 * float(concentration(heat[-1]))
        text = heat_over_time.draw(len(run.steps) - 1, "own", maps).text
        assert f"{run.config.method} {share:.0f} %" in text


def test_heat_maps_of_shipped_records_have_the_six_moments() -> None:
    shipped = examples.records()
    if shipped[0].config.dataset != "cifar10":
        pytest.skip("no full-scale records in results/")
    maps = heat_over_time.maps_of(shipped)
    assert maps.epochs.tolist() == pytest.approx([0, 2, 75, 150, 225, 300], abs=0.01)


@pytest.mark.parametrize("percent", [0, 37, 50, 75, 100])
def test_schedules_say_what_the_run_would_do(percent: int) -> None:
    config = RunConfig(dataset="cifar10")
    step = 1056 * percent
    updates = [s for s in schedule.update_steps(config, 105_600) if s <= step]
    text = rates.draw(0.1, 0, 0.5, "cosine", 400, 1.0, percent).text
    assert f"learning rate {schedule.learning_rate(config, min(step // 352, 299)):.2g}," in text
    assert f"prune {100 * schedule.prune_rate(config, step, 105_600):.0f} %" in text
    assert f"{len(updates)} of 264 updates" in text
    assert numbers(text)[-1] == pytest.approx(66.0, abs=0.3)  # the cosine's mean is p0 / 2
    assert "prune 0 %" in rates.draw(0.1, 0, 0.5, "constant", 400, 0.25, 30).text, "the topology is frozen by then"
