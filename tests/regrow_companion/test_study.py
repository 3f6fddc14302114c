"""The paper's grid: every cell of its tables has its five runs, and no run is listed twice."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.data import steps_per_epoch
from regrow.errors import ConfigError
from regrow.schedule import moment_steps, update_steps
from regrow_companion import study

Cell = tuple[str, str, str, float, str]  # table, model, method, sparsity, dataset, as the paper prints them

NETS = ("convnet", "mlp", "resnet50", "resnet56", "vgg16")
FOUR = ("cifar10", "cifar100", "mnist", "fashion_mnist")
RULES = ("random", "gradient", "momentum")
SWITCHED = tuple(f"{a}>{b}" for a, b in permutations(RULES, 2))
CELLS: list[Cell] = [
    *(("table3", *cell) for cell in product(NETS, ["dense"], [0.0], FOUR)),
    *(("table4", *cell) for cell in product(NETS, RULES, [0.95], FOUR)),
    *(("table7", *cell) for cell in product(NETS, RULES, [0.9, 0.8], FOUR)),
    *(("table8", *cell) for cell in product(("convnet", "mlp", "resnet56", "vgg16"), SWITCHED, [0.95],
                                            ("cifar10", "cifar100", "fashion_mnist"))),
]
SIZES = {"table3": 100, "table4": 300, "table7": 600, "table8": 360, "fig13": 225, "fig15": 9, "fig16": 9, "sec5.3": 5,
         "baselines": 10, "ablations": 31, "l3": 5, "black_border": 35, "constants": 15, "grey": 48, "mlp": 206,
         "convnet": 62, "topology": 15, "fig02": 15, "fig05": 15, "fig06": 15, "fig07": 15,
         "fig08": 15, "fig09": 15, "fig12": 15, "fig18": 15, "fig19": 15, "fig20": 15, "set_legacy": 3,
         "schedules": 63, "batches": 27, "cnn": 12, "cnn300": 5 * 3, "schedules300": 105, "batches300": 45}
UNNUMBERED = ("baselines", "black_border", "constants", "grey", "mlp", "convnet", "topology")
QUICK_STEPS = steps_per_epoch(10_800, 128)  # 12,000 images less a tenth for validation


def cell(table: str, config: RunConfig) -> Cell:
    """The paper says ResNet-50 where the study trains the CIFAR network of that name."""
    return table, config.model.removesuffix("-cifar"), config.method, config.sparsity, config.dataset


# ---- the paper's profile --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["table3", "table4", "table7", "table8"])
def test_every_cell_of_the_tables_has_five_seeds(table: str) -> None:
    found: dict[Cell, list[int]] = {}
    for config in study.runs(table, "paper"):
        found.setdefault(cell(table, config), []).append(config.seed)
    wanted = {c for c in CELLS if c[0] == table}
    assert set(found) == wanted
    assert all(sorted(seeds) == [0, 1, 2, 3, 4] for seeds in found.values())


def test_the_tables_have_272_cells() -> None:
    assert len(CELLS) == len(set(CELLS)) == 20 + 60 + 120 + 72


def test_group_sizes() -> None:
    assert {need: len(study.runs(need, "paper")) for need in study.NEEDS} == SIZES


def test_1874_distinct_runs_and_none_double() -> None:
    """1360 for the tables, 150 for two more pruning rules, 18 RBMs, 5 of Section 5.3, 5 static networks, 35 with a
    black border, 28 ablations beside three of those, 12 more seeds of other constants, 48 of grey images, 5 of a rule
    from elsewhere; the rest of Figure 13, the topology figures and the dense baselines are runs of the tables. For
    Section 8: 63 of other schedules, 18 more of other batches, as many at 300 epochs as are not there already (85 and
    30), 12 of convolutional networks."""
    runs = study.distinct(study.NEEDS, "paper")
    assert len(runs) == 1874 == 1360 + 150 + 18 + 5 + 5 + 35 + 28 + 12 + 48 + 5 + 63 + 18 + 85 + 30 + 12
    assert len(set(runs)) == len({config.key for config in runs}) == 1874
    assert set(runs) == {config for need in study.NEEDS for config in study.runs(need, "paper")}


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_no_need_lists_a_run_twice(profile: str) -> None:
    for need in study.NEEDS:
        runs = study.runs(need, profile)
        assert len({config.key for config in runs}) == len(runs)


def test_distinct_keeps_the_order_of_first_use() -> None:
    runs = study.distinct(["table4", "fig05", "fig13"], "paper")
    assert runs[:300] == study.runs("table4", "paper")
    assert len(runs) == 300 + 150
    assert study.distinct([], "paper") == ()


def test_paper_runs_use_the_papers_setting_beyond_the_grid() -> None:
    """Whatever a table does not vary is as in Section 5.1."""
    varied = {"model", "dataset", "grow", "prune", "sparsity", "seed"}
    default = RunConfig(dataset="cifar10").to_dict()
    for need in ("table3", "table4", "table7", "table8", "fig13", "baselines", "fig05"):
        for config in study.runs(need, "paper"):
            values = config.to_dict()
            assert {name for name in values if values[name] != default[name]} <= varied | {"augment", "padding"}
            usual = {"cifar10": "mirror_crop_flip", "cifar100": "crop_flip"}
            assert config.augment == usual.get(config.dataset, "none")
            assert config.padding == ("none" if config.model == "convnet" else "same")


def test_topology_figures_read_the_mlp_on_cifar10() -> None:
    for need in ("fig02", "fig05", "fig06", "fig07", "fig08", "fig09", "fig12", "fig18", "fig19", "fig20"):
        assert {(c.model, c.dataset, c.sparsity, c.prune) for c in study.runs(need, "paper")} == {
            ("mlp", "cifar10", 0.95, "magnitude")}
        assert {c.grow for c in study.runs(need, "paper")} == set(RULES)
        assert set(study.runs(need, "paper")) <= set(study.runs("table4", "paper"))


def test_figure_13_compares_three_pruning_rules() -> None:
    runs = study.runs("fig13", "paper")
    wanted = set(product(NETS, ("magnitude", "set", "random"), RULES, range(5)))
    assert {(c.model.removesuffix("-cifar"), c.prune, c.grow, c.seed) for c in runs} == wanted
    assert {(c.dataset, c.sparsity) for c in runs} == {("cifar10", 0.95)}


def test_section_5_3_shortens_the_interval_of_random_growth() -> None:
    runs = study.runs("sec5.3", "paper")
    assert {(c.model, c.dataset, c.grow, c.update_interval) for c in runs} == {("mlp", "cifar10", "random", 100)}
    assert [c.seed for c in runs] == list(range(5))


def test_rbms_have_three_seeds() -> None:
    for need, model in (("fig15", "rbm-big"), ("fig16", "rbm-small")):
        runs = study.runs(need, "paper")
        assert {(c.model, c.dataset, c.lr, c.batch_size, c.weight_decay, c.prune_rate) for c in runs} == {
            (model, "mnist", 0.1, 10, 2e-7, 0.3)}
        assert {(c.grow, c.seed) for c in runs} == set(product(RULES, range(3)))
        assert {(c.epochs, c.momentum, c.nesterov) for c in runs} == {(30, 0.0, False)}
        quick = study.runs(need, "quick")
        assert {(c.model, c.grow, c.seed) for c in quick} == {(c.model, c.grow, c.seed) for c in runs}
        smaller = {"dataset", "train_limit", "epochs", "update_interval"}
        for small, full in zip(quick, runs, strict=True):
            assert {name for name, value in small.to_dict().items() if full.to_dict()[name] != value} == smaller
            assert len(update_steps(small, total_steps(small))) == 50


def test_baselines_are_dense_and_static() -> None:
    for profile, seeds in (("paper", 5), ("quick", 3)):
        runs = study.runs("baselines", profile)
        assert [c.method for c in runs] == ["dense"] * seeds + ["static"] * seeds
    assert set(study.runs("baselines", "paper")[:5]) <= set(study.runs("table3", "paper"))


def test_switches_are_at_half_of_training() -> None:
    assert {c.switch_at for c in study.runs("table8", "paper")} == {0.5}
    assert {c.grow for c in study.runs("table8", "paper")} == set(SWITCHED)


# ---- the quick profile ----------------------------------------------------------------------------------------------


def test_quick_needs_no_data_but_what_is_shipped() -> None:
    for config in study.distinct(study.NEEDS, "quick"):
        assert config.dataset == "fashion_mnist_small"
        assert config.is_rbm or config.hidden == (300, 100) or 0 < config.train_limit < 2000


def test_quick_is_a_small_copy_of_the_paper() -> None:
    """Same rule, rate and sparsity; only the net, the images and the length are smaller."""
    quick = study.runs("fig05", "quick")
    assert {(c.grow, c.seed) for c in quick} == set(product(RULES, range(3)))
    assert {(c.sparsity, c.prune, c.prune_rate, c.init, c.lr) for c in quick} == {(0.95, "magnitude", 0.5, "erk", 0.1)}


def test_quick_ends_with_an_update_on_its_last_step_as_the_paper_does() -> None:
    assert QUICK_STEPS == 85
    for config in study.distinct(study.NEEDS, "quick"):
        total = total_steps(config)
        varied = config in study.distinct(["schedules", "batches"], "quick") and config.update_interval != 51
        if config.is_dynamic and not varied:
            assert update_steps(config, total)[-1] == total
        assert moment_steps(config, total) == sorted(set(moment_steps(config, total)))
    mlp = study.runs("fig05", "quick")[0]
    assert len(update_steps(mlp, mlp.epochs * QUICK_STEPS)) == 50


def test_needs_without_a_quick_version_are_empty_there() -> None:
    assert {need for need in study.NEEDS if not study.runs(need, "quick")} == {
        "sec5.3", "ablations", "black_border", "constants", "grey", "mlp", "convnet", "cnn300", "schedules300",
        "batches300"}


def test_topology_figures_share_their_quick_runs() -> None:
    figures = [need for need in study.NEEDS if study.runs(need, "paper") == study.runs("fig05", "paper")]
    assert figures[0] == "topology" and len(figures) == 1 + 10
    assert len(study.distinct(figures, "quick")) == 9
    assert set(study.runs("fig05", "quick")) <= set(study.runs("table4", "quick"))


def test_the_mlps_queue_fills_every_cell_that_can_be_had_breadth_first() -> None:
    """Several seeds of every MLP cell of the tables without CIFAR-100, and the first of each before the last of any."""
    queue = study.runs("mlp", "paper")
    assert study.in_order(["table4", "mlp"]) and not study.in_order(["table4", "fig13"])
    for need, least in {"table3": 2, "table4": 5, "table7": 1, "table8": 2, "fig13": 1}.items():
        cells: dict[RunConfig, set[int]] = {}
        for run in study.runs(need, "paper"):
            if run.model == "mlp" and run.dataset != "cifar100":
                cells.setdefault(run.but(seed=0), set()).update({run.seed} & {q.seed for q in queue if q == run})
        assert all(len(seeds) >= least for seeds in cells.values()), need
    places = {run: place for place, run in enumerate(queue)}
    assert all(places[run] > places[run.but(seed=run.seed - 1)] for run in queue if run.seed)
    assert not any(run.dataset == "cifar100" for run in queue)


def test_the_convnets_queue_has_a_seed_of_every_cell_that_can_be_had() -> None:
    """Five of Table 4 where the paper's collapses are, two on Fashion-MNIST; none of a network with padding."""
    queue = study.runs("convnet", "paper")
    assert study.in_order(["convnet"]) and {(run.model, run.padding) for run in queue} == {("convnet", "none")}
    cells: dict[RunConfig, list[int]] = {}
    for run in queue:
        cells.setdefault(run.but(seed=0), []).append(run.seed)
    table4 = [run for run in cells if run in study.runs("table4", "paper")]
    assert {(run.dataset, len(cells[run])) for run in table4} == {("cifar10", 5), ("mnist", 5), ("fashion_mnist", 2)}
    assert len(table4) == 3 * 3 and all(cells[run] == [0] for run in cells if run not in table4)
    for need, datasets in {"table3": {"cifar10", "mnist"}, "table7": {"cifar10", "mnist"}, "table8": {"cifar10"},
                           "fig13": {"cifar10"}}.items():
        wanted = {run for run in study.runs(need, "paper")
                  if run.model == "convnet" and run.dataset in datasets and run.seed == 0}
        assert wanted <= set(queue), need
    assert len(queue) == 30 + 6 + 12 + 6 + 6 + 2
    assert {run.seed for run in queue[:len(cells)]} == {0}, "no second seed before a cell that is empty"


def test_quick_compares_the_same_things_as_the_paper() -> None:
    """Figure 13 and Tables 7 and 8 vary what the paper varies, on the small network alone."""
    for need, name in {"fig13": "prune", "table7": "sparsity", "table8": "grow", "set_legacy": "prune"}.items():
        quick, paper = study.runs(need, "quick"), study.runs(need, "paper")
        assert {(getattr(c, name), c.grow) for c in quick} == {(getattr(c, name), c.grow) for c in paper}
        assert {(c.hidden, c.dataset, c.epochs) for c in quick} == {((300, 100), "fashion_mnist_small", 30)}
        assert len(quick) == 3 * len({(getattr(c, name), c.grow) for c in quick})
    assert set(study.runs("table4", "quick")) <= set(study.runs("fig13", "quick"))
    assert set(study.runs("set_legacy", "paper")) <= set(study.runs("ablations", "paper"))


def test_replay_reads_the_papers_runs() -> None:
    assert all(study.runs(need, "replay") == study.runs(need, "paper") for need in study.NEEDS)


# ---- names ----------------------------------------------------------------------------------------------------------


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'table4'"):
        study.runs("tabel4", "paper")
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        study.runs("table4", "quik")


def test_titles_name_the_figure() -> None:
    for need, entry in study.NEEDS.items():
        number = need.removeprefix("table").removeprefix("fig").removeprefix("sec").lstrip("0")
        unnumbered = need in UNNUMBERED or entry.title.startswith("Section 8")
        assert unnumbered or number in entry.title or number.removesuffix("300") in entry.title


# ---- records --------------------------------------------------------------------------------------------------------


def test_by_method_groups_and_orders_by_seed() -> None:
    configs = [RunConfig(grow=grow, seed=seed) for seed in (2, 0, 1) for grow in ("random", "momentum>gradient")]
    records: Any = [SimpleNamespace(config=config) for config in [*configs, RunConfig(**study.DENSE)]]
    groups = study.by_method(records)
    assert list(groups) == ["random", "momentum>gradient", "dense"]
    assert [record.config.seed for record in groups["random"]] == [0, 1, 2]


# ---- where the study is ---------------------------------------------------------------------------------------------

def test_an_installed_package_writes_to_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not among the other packages; in a clone it finds notebooks and results."""
    installed = tmp_path / "lib" / "site-packages" / "regrow_companion" / "study.py"
    clone = tmp_path / "clone"
    (clone / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert study.clone(installed) == tmp_path
    (clone / study.MAP).touch()
    monkeypatch.chdir(clone / "notebooks")
    assert study.clone(installed) == clone
    assert study.clone(Path(study.__file__)) == study.REPOSITORY == Path(study.__file__).parents[2]
