"""The teaching widgets without a browser: what they draw and say over their whole range, and what their controls do."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import nbformat
import networkx as nx
import numpy as np
import pytest
from gallery import StillForm

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
    pictures,
    rates,
    still,
    tail_fitting,
)
from regrow_companion.widgets.description import Control, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View

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
    for module in (dormant, growing, heat_over_time, layer_density, one_update, peeling, rates, tail_fitting):
        monkeypatch.setattr(module, "pixels", lambda fig: np.zeros((6, 9, 3), np.uint8))
    one_update._drawn.cache_clear()


@pytest.fixture
def reset(panels: dict[str, Panel]) -> Iterator[dict[str, Panel]]:
    """The panels, whose controls stand afterwards as they did before."""
    before = {name: each.state for name, each in panels.items()}
    yield panels
    for name, state in before.items():
        panels[name].move(**state)


def full_scale() -> tuple[Record, ...]:
    """The full-scale records of results/; without them a test has nothing to say."""
    shipped = examples.records()
    if shipped[0].config.dataset != "cifar10":
        pytest.skip("no full-scale records in results/")
    return shipped


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


def values(widget: Widget, state: Mapping[str, Any], control: str) -> list[Any]:
    return [value for _, value in widget.offers(state)[control]]


@pytest.mark.parametrize("name", widgets.ALL)
def test_every_value_of_every_control_is_answered(name: str, panels: dict[str, Panel], undrawn: None) -> None:
    """One control at a time along its whole range, from where it starts and from random places of the others."""
    widget, rng = panels[name].widget, np.random.default_rng(0)
    for control in widget.controls:
        for value in values(widget, widget.state(), control):
            chance: dict[str, Any] = {}
            for other in widget.controls:
                offered = values(widget, widget.state(chance), other)
                chance[other] = value if other == control and value in offered else offered[rng.integers(len(offered))]
            for state in (widget.state({control: value}), widget.state(chance)):
                view = widget.draw(**state)
                assert view.alt.endswith(".") and view.text.rstrip().endswith(".")
                assert "nan" not in view.text and len(view.text) > 30


@pytest.mark.parametrize("name", widgets.ALL)
def test_a_control_changes_picture_and_words(name: str, reset: dict[str, Panel]) -> None:
    """Through the traits, as the browser does it: what is shown is what the pure function computes."""
    it = reset[name]
    # Before the last stage not every rule has had its say; before training nobody leads.
    telling_state = {"update_step": {"stage": 4}, "rich_get_richer": {"update": 10}}.get(name, {})
    for control, box in it.controls.items():
        it.move(**telling_state)
        assert box.description, "a control must say what it is"
        offered = values(it.widget, it.state, control)
        before, shown = box.value, it.picture.value
        box.value = offered[(offered.index(before) + max(1, len(offered) // 3)) % len(offered)]
        view = it.view()
        assert (it.picture.value, it.readout.value) == (view.picture, view.readout)
        assert it.state[control] == box.value
        if control not in ("seed", "sets") and len(offered) > 1:  # two draws may look alike
            assert box.value != before and it.picture.value != shown, control


@pytest.mark.parametrize("name", widgets.ALL)
def test_a_picture_is_small_sharp_and_the_same_again(name: str, panels: dict[str, Panel]) -> None:
    first, second = (panels[name].widget.draw(**panels[name].state) for _ in range(2))
    assert (first.picture, first.text) == (second.picture, second.text)
    assert first.pixels.shape[1:] == (7 * pictures.INCH * pictures.SHARPNESS, 3)
    assert len(pictures.png(first.pixels)) < 200_000
    assert 'alt="' in first.picture and 'width="700"' in first.picture
    assert 'role="status"' in first.readout and 'aria-live="polite"' in first.readout


def test_words_cannot_break_the_page() -> None:
    view = View(np.zeros((2, 2, 3), np.uint8), 'a "picture" <script>', "1 < 2 & 3 > 2 </script>")
    assert "<script>" not in view.picture and "&quot;picture&quot;" in view.picture
    assert "1 &lt; 2 &amp; 3 &gt; 2" in view.readout
    form = still.form(Widget(lambda a: view, {"a": Control("a", [("one", 1), ("two", 2)], 1)}, plays="a"))
    assert form.count("</script>") == 2, "the data's and the program's"
    assert StillForm(form).shown().text == view.text


def test_answer_times_are_reported(reset: dict[str, Panel], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asserted about time: machines differ and are busy. `pytest -rP` shows the table."""
    for name, it in reset.items():
        control = it.controls[it.widget.plays]
        spent = []
        for value in values(it.widget, it.state, it.widget.plays)[:6]:
            began = time.perf_counter()
            control.value = value
            spent.append(1000 * (time.perf_counter() - began))
        print(f"{name:16} {np.median(spent):5.0f} ms, at most {max(spent):.0f} ms")
    assert capsys.readouterr().out.count(" ms, at most ") == 8


# -------------------------------------------------------------------------------------------------------- still forms

def telling(**state: Any) -> View:
    """A picture and words that say what the controls say, in no time."""
    shade = np.random.default_rng(abs(hash(repr(state)))).integers(0, 2, (4, 6, 1), np.uint8) * 200
    return View(np.repeat(shade, 3, axis=2), "Noise.", repr(state))


@pytest.mark.parametrize("name", widgets.ALL)
def test_both_forms_have_the_same_controls_words_starts_and_views(name: str, panels: dict[str, Panel]) -> None:
    """Moved alike, from where both start: what is offered, chosen and shown. Options that depend on others as well."""
    widget = replace(panels[name].widget, draw=telling)
    live, dead, rng = Panel(widget), StillForm(still.form(widget)), np.random.default_rng(1)
    names = [control for control, it in widget.controls.items() if not it.live_only]
    assert [control["label"] for control in dead.controls] == [live.controls[control].description for control in names]
    assert dead.data["plays"] == names.index(widget.plays) and not widget.controls[widget.plays].menu
    assert live.play.value == live.controls[widget.plays].index, "the browser moves the slider to it"
    assert live.play.max == len(dead.offered()[dead.data["plays"]]) - 1
    for _ in range(60):
        boxes = [live.controls[control] for control in names]
        assert dead.chosen == [box.options[box.index][0] for box in boxes]
        assert dead.offered() == [[words for words, _ in box.options] for box in boxes]
        view = dead.shown()
        assert view.text == repr(live.state) and np.array_equal(view.pixels, telling(**live.state).pixels)
        control = int(rng.integers(len(names)))
        place = int(rng.integers(len(dead.offered()[control])))
        dead.move(control, place)
        boxes[control].index = place


@pytest.mark.parametrize("name", widgets.ALL)
def test_a_still_form_is_of_a_size_for_a_page(name: str, panels: dict[str, Panel]) -> None:
    """Words for every value, few frames, and every one of them reached."""
    dead = StillForm(still.form(replace(panels[name].widget, draw=telling)))
    assert 10 < len(dead.leaves()) <= 200 and set(dead.leaves()) == set(range(len(dead.data["frames"])))
    assert all(words.strip() for offered in dead.offered() for words in offered)


def test_what_lies_above_completes_what_lies_below(panels: dict[str, Panel]) -> None:
    """A real row of frames: close to the live picture, and much smaller than as many pictures of their own."""
    widget = panels["schedules"].widget
    fixed = {name: Control(it.label, [("only", it.start)], it.start) for name, it in widget.controls.items()
             if name != "percent"}
    text = still.form(replace(widget, controls=fixed | {"percent": widget.controls["percent"]}))
    dead, size = StillForm(text), 0
    for place, (_, percent) in enumerate(widget.controls["percent"].offered({})):
        dead.move(len(fixed), place)
        drawn = widget.draw(**widget.state({"percent": percent}))
        assert np.abs(dead.shown().pixels.astype(int) - drawn.pixels).mean() < 2
        size += len(drawn.picture)
    assert len(text) < size / 2


def test_a_notebook_shows_the_static_form_where_it_is_told_to(panels: dict[str, Panel],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    it = panels["heat_map"]
    view, text = "application/vnd.jupyter.widget-view+json", "text/html"
    assert it._repr_mimebundle_()[view]["model_id"] == it.model_id
    monkeypatch.setenv(panel.STATIC, "1")
    monkeypatch.setattr(it, "widget", replace(it.widget, draw=telling))
    shown = it._repr_mimebundle_()
    assert view not in shown and shown[text] == it.static().data == still.form(it.widget)


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
    said = [one_update.draw("magnitude", 0.4, 0, stage, "gradient").text for stage in range(5)]
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
        text = tail_fitting.draw("gradient", 50, xmax or 0, xmin, DEGREES).text
        assert f"alpha = {fit.alpha:.3g}" in text and f"D = {fit.D:.3f}" in text and f"{fit.n_tail} of 15" in text


def test_power_law_says_why_there_is_nothing_to_fit() -> None:
    assert "xmax = 2 lies below xmin = 5" in tail_fitting.draw("gradient", 50, 2, 5, DEGREES).text
    assert "no value lies in xmin = 31" in tail_fitting.draw("gradient", 50, 0, 31, DEGREES).text
    assert "All 9 values of the tail are equal" in tail_fitting.draw("constant", 50, 0, 1, DEGREES).text
    with pytest.raises(DataError, match="whole numbers"):
        widgets.power_law({"mine": [1.5, 2.0]})


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


def test_power_law_offers_no_empty_tail_and_starts_where_the_lesson_is() -> None:
    full_scale()
    widget = widgets.power_law().widget
    start = widget.state()
    assert (start["source"], start["xmin"], start["xmax"]) == ("gradient", 30, 0)
    text = widget.draw(**start).text
    assert "p = 0.00" in text and "fails the usual rule" in text
    degrees = examples.final_degrees(examples.records())
    for source in degrees:
        for xmax in values(widget, widget.state({"source": source}), "xmax"):
            state = widget.state({"source": source, "xmax": xmax})
            assert len(values(widget, state, "xmin")) > 5
            for xmin in values(widget, state, "xmin"):
                assert tail_of(degrees[source], xmin, xmax or None).size >= tail_fitting.LEAST
    few = widgets.power_law({"mine": [3, 1, 4, 1, 5]}).widget
    assert values(few, few.state(), "xmin") == [1] and "5 of 5" in few.draw(**few.state()).text


def test_onion_slider_ends_where_the_network_does(reset: dict[str, Panel]) -> None:
    it = reset["shells"]
    core = {name: peeling.onion(masks).core for name, masks in (("example", example_masks()),)}
    it.controls["network"].value = "gradient"
    assert it.controls["k"].options[-1][1] > core["example"] + 1
    it.controls["k"].index = len(it.controls["k"].options) - 1
    assert "nothing is left" in it.view().text and it.play.max == it.controls["k"].index
    it.controls["network"].value = "example"
    assert [value for _, value in it.controls["k"].options] == list(range(core["example"] + 2))
    assert it.controls["k"].value == 0, "that k is no longer offered"
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
        heat = maps.of_seed("mean")[run.config.method]
        assert heat.shape == (len(run.steps), 28, 28)
        assert (heat.sum(axis=(1, 2)) == run.connections["fc1"]).all()
        share = 100 * float(concentration(heat[-1]))
        text = heat_over_time.draw("own", run.config.seed, len(run.steps) - 1, maps).text
        assert f"{run.config.method} {share:.0f} %" in text


def test_heat_maps_of_shipped_records_have_the_six_moments() -> None:
    maps = heat_over_time.maps_of(full_scale())
    assert maps.epochs.tolist() == pytest.approx([0, 2, 75, 150, 225, 300], abs=0.01)
    assert maps.seeds == study.SEEDS
    first, second, mean = (maps.of_seed(seed)["gradient"] for seed in (0, 1, "mean"))
    assert (first != second).any() and not np.array_equal(first, mean)
    start = widgets.heat_map().state
    assert (start["time"], start["colours"], start["seed"]) == (0, "shared", "mean")


@pytest.mark.parametrize("percent", [0, 37, 50, 75, 100])
def test_schedules_say_what_the_run_would_do(percent: int) -> None:
    config = RunConfig(dataset="cifar10")
    step = 1056 * percent
    updates = [s for s in schedule.update_steps(config, 105_600) if s <= step]
    text = rates.draw(0.1, 0, 0.5, "cosine", 400, 1.0, percent).text
    assert f"learning rate {schedule.learning_rate(config, min(step // 352, 299)):.2g}," in text
    assert f"prune {100 * schedule.prune_rate(config, step, 105_600):.0f} %" in text
    assert f"{len(updates)} of 264 updates" in text
    of_all, share = numbers(text)[-2:]
    assert of_all == pytest.approx(66.0, abs=0.3)  # the cosine's mean is p0 / 2
    done = sum(schedule.prune_rate(config, s, 105_600) for s in updates)
    assert share == pytest.approx(100 * done / of_all, abs=1)
    assert "prune 0 %" in rates.draw(0.1, 0, 0.5, "constant", 400, 0.25, 30).text, "the topology is frozen by then"


# ------------------------------------------------------------------------------------------------ questions for a class

# For every question that has an answer to be seen: its widget, where the controls then stand in words, what is read.
ANSWERS = (
    ("which layer stays dense", "density", {}, r"fc3 is dense"),
    ("does it, too, have to give", "density", {"sparsity": "98 %"}, r"fc3 is dense"),
    ("does it, too, have to give", "density", {"sparsity": "99 %"}, r"No layer is dense; fc3 comes nearest"),
    ("has the most layers that stay dense", "density", {"network": "VGG-16"}, r"conv1_1 and fc are dense"),
    ("which four places", "update_step", {"stage": "5: grow"}, r"The 4 highest scores grow"),
    ("pruned a moment ago", "update_step", {"stage": "5: grow"}, r"Pruned and grown again: 3→1"),
    ("at a fraction of 0.1", "update_step",
     {"pruning rule": "set_legacy", "fraction pruned p": "0.1", "stage": "2: mark"}, r"marks [2-9].*would be 1\."),
    ("stay ahead under random growth", "rich_get_richer",
     {"topology updates": "50", "in colour, who leads": "after the first update"}, r"Random growth: .* neurons 1, 8"),
    ("from which neurons", "rich_get_richer", {"topology updates": "50"}, r"Gradient growth: from \d to \d\d inputs"),
    ("Is it a power law?", "power_law", {}, r"728 of 1536 neurons.*fails the usual rule"),
    ("not rejected", "power_law", {"lower end xmin": "1,000"}, r"27 of 1536 neurons.*passes the usual rule"),
    ("builds the deepest core", "shells", {"network": "random growth"}, r"The core is shell 79\."),
    ("builds the deepest core", "shells", {"network": "gradient growth", "peel below k": "k = 105"},
     r"are in the 105-core \(.*hidden 1.*The core is shell 105\."),
    ("random growth looks worse", "dormancy", {"dormant: degree ≤": "400"}, r"random 9\d\.\d %, gradient 8\d"),
    ("between epochs 200 and 250", "dormancy", {"time": "epoch 200"}, r"random 0\.1 %, gradient 53"),
    ("between epochs 200 and 250", "dormancy", {"time": "epoch 250"}, r"random 30\.8 %, gradient 53"),
    ("Can you see that in the maps", "heat_map", {"time": "epoch 300"}, r"random 12 %, gradient 14 %"),
    ("two seeds end with the same map", "heat_map", {"runs": "seed 1", "time": "epoch 300"}, r"random 13 %"),
    ("its own colour scale", "heat_map", {"colour scale": "each its own"}, r"Before training"),
    ("at half of training", "schedules", {}, r"53\.9 times .* of 65\.8 in the whole run, 82 %"),
    ("the first prune rate", "schedules", {"first prune rate": "0.2"}, r"of 26\.3 in the whole run, 82 %"),
    ("the interval between updates", "schedules", {"update every": "1600 steps"}, r"of 16\.2 in the whole run, 82 %"),
)


def test_a_class_can_answer_every_question_on_the_still_page(undrawn: None) -> None:
    full_scale()
    notebook = nbformat.read(ROOT / "notebooks" / "widgets.ipynb", as_version=4)
    cells: dict[str, str] = {}
    for text, code in itertools.pairwise(notebook.cells):
        if "**Ask the class:**" in text.source:
            name = re.findall(r"widgets\.(\w+)\(", code.source)[0]
            cells[name] = " ".join(text.source.partition("**Ask the class:**")[2].split())
    assert {name for _, name, _, _ in ANSWERS} == set(cells)
    described = {name: widget().widget for name, widget in widgets.ALL.items()}
    for question, name, stand, answer in ANSWERS:
        assert question in cells[name], question
        widget = described[name]
        state: dict[str, Any] = {}
        for control, it in widget.controls.items():
            if it.label in stand:
                assert not it.live_only
                state[control] = dict(widget.offers(widget.state(state))[control])[stand[it.label]]
        assert len(state) == len(stand)
        text = widget.draw(**widget.state(state)).text
        assert re.search(answer, text), (question, text)
