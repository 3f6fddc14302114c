"""Which runs the paper's figures and tables need, in each profile. The one place that knows the grid.

`paper` is Section 5 and the appendices as printed: 300 epochs, five seeds. `quick` really trains too, but a
784-300-100-10 network on the images that ship with the package, for 30 epochs and three seeds. The paper's own networks
are not in quick: on two cores they would get too few epochs for an honest number. The Boltzmann machines of Appendix D
are there in both sizes, on fewer images and for five epochs.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from regrow.config import OWN, OWN_RULES, RunConfig, nearest
from regrow.errors import ConfigError
from regrow.files import place
from regrow.record import Record
from regrow.store import Store

MAP = Path("notebooks", "index.yml")


def clone(file: Path = Path(__file__)) -> Path:
    """The clone of the repository that a file of ours belongs to.

    If it lies among installed packages, where nothing should be written, the one that we are in, or else the current
    folder.
    """
    above = file.resolve().parents[2]
    if (above / MAP).is_file():
        return above
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / MAP).is_file()), here)


REPOSITORY = clone()
SHIPPED = REPOSITORY / "results"  # compact records of full-scale runs
PROFILES = ("quick", "paper", "replay")
STRATEGIES = ("random", "gradient", "momentum")
SWITCHES = tuple(f"{a}>{b}" for a in STRATEGIES for b in STRATEGIES if a != b)
PRUNING = ("magnitude", "set", "random")  # Figure 13
DATASETS = ("cifar10", "cifar100", "mnist", "fashion_mnist")
# The parameter count that the paper quotes for ResNet-50 is that of the ImageNet network, its accuracies are those of
# a CIFAR ResNet with 6n+2 layers, n = 8; the tables here train the latter.
MODELS = ("convnet", "mlp", "resnet50-cifar", "resnet56", "vgg16")
SWITCH_MODELS = ("convnet", "mlp", "resnet56", "vgg16")
SEEDS = tuple(range(5))
RBM_SEEDS = tuple(range(3))
DENSE: dict[str, Any] = {"sparsity": 0.0, "prune": "none", "grow": "none"}
STATIC: dict[str, Any] = {"prune": "none", "grow": "none"}

# 85 steps an epoch and 50 updates, the last one on the last step, as in the paper's 264.
QUICK_MLP: dict[str, Any] = {"model": "mlp", "hidden": (300, 100), "dataset": "fashion_mnist_small", "epochs": 30,
             "update_interval": 51}
QUICK_SEEDS = tuple(range(3))
# The paper says nothing of its Boltzmann machines: these are the settings of SET's public code for them, which has no
# optimizer momentum, for as many epochs as we chose.
RBM: dict[str, Any] = {"dataset": "mnist", "prune_rate": 0.3, "lr": 0.1, "batch_size": 10, "weight_decay": 2e-7,
                       "momentum": 0.0, "nesterov": False, "epochs": 30}
# 360 steps an epoch and 50 updates.
QUICK_RBM: dict[str, Any] = RBM | {"dataset": "fashion_mnist_small", "train_limit": 3600, "epochs": 5,
                                   "update_interval": 36}

# Questions of the paper's Section 8 that take hundreds of runs: a tenth of the paper's epochs, three seeds; the same
# runs at full length have needs of their own, for those who can wait.
SHORT: dict[str, Any] = {"dataset": "cifar10", "augment": "crop_flip", "epochs": 30}  # made with the black border
SHORT_SEEDS = tuple(range(3))
SCHEDULES: tuple[dict[str, Any], ...] = (
    {}, {"update_interval": 100}, {"update_interval": 1600}, {"prune_rate": 0.2}, {"prune_rate": 0.8},
    {"prune_schedule": "linear"}, {"prune_schedule": "constant"})
# As many updates and as large a step per image whatever the batch.
BATCHES: tuple[dict[str, Any], ...] = ({"batch_size": 32, "lr": 0.025, "update_interval": 1600},
                                       {"batch_size": 512, "lr": 0.4, "update_interval": 100})
# Twenty updates each, beside Table 4's ConvNet at full length. They were made with the black border and a ConvNet that
# is padded.
CNNS: dict[str, dict[str, Any]] = {
    "convnet": SHORT | {"padding": "same", "epochs": 6, "update_interval": 100},
    "resnet56": SHORT | {"epochs": 6, "update_interval": 14, "train_limit": 6000}}
QUICK_CNN: dict[str, Any] = {"model": "convnet", "padding": "same", "dataset": "fashion_mnist_small",
                             "train_limit": 1280, "epochs": 4, "update_interval": 2}
CNN_SEEDS = (0, 1)
# What the paper leaves open, one at a time; the older ones were changed in runs with the black border.
BLACK: dict[str, Any] = {"augment": "crop_flip"}
SNFS: dict[str, Any] = {"normalise": "snfs"}  # the constants of that code
OPTIONS: tuple[dict[str, Any], ...] = ({"augment": "none"}, {"augment": "flip"}, SNFS, {"normalise": "half"},
                                       {"prune": "set_legacy"})
OLDER_OPTIONS: tuple[dict[str, Any], ...] = ({}, {"update_order": "instead_of_step"}, {"regrown_weight": "keep"},
                                             {"grown_buffer": "keep"}, {"prune": "set_legacy"})
BETAS = (0.5, 0.99)  # of Eq. 10, beside its 0.9; gradient growth is beta = 0

Runs = tuple[RunConfig, ...]


def _paper_topology() -> Runs:
    return tuple(RunConfig(dataset="cifar10", grow=grow, seed=seed) for grow in growth_rules() for seed in SEEDS)


def _quick_topology() -> Runs:
    return _quick(grow=growth_rules())


def _dense_table(models: Iterable[str] = MODELS) -> Runs:
    return tuple(RunConfig(model=model, dataset=dataset, seed=seed, **DENSE)
                 for model in models for dataset in DATASETS for seed in SEEDS)


def _sparse_table(sparsity: float, models: Iterable[str] = MODELS) -> Runs:
    return tuple(RunConfig(model=model, dataset=dataset, grow=grow, sparsity=sparsity, seed=seed)
                 for model in models for dataset in DATASETS for grow in growth_rules() for seed in SEEDS)


def _switch_table(models: Iterable[str] = SWITCH_MODELS) -> Runs:
    return tuple(RunConfig(model=model, dataset=dataset, grow=grow, seed=seed) for model in models
                 for dataset in ("cifar10", "cifar100", "fashion_mnist") for grow in SWITCHES for seed in SEEDS)


def _pruning_figure(models: Iterable[str] = MODELS, criteria: Iterable[str] | None = None) -> Runs:
    return tuple(RunConfig(model=model, dataset="cifar10", prune=prune, grow=grow, seed=seed) for model in models
                 for prune in criteria or pruning_rules() for grow in growth_rules() for seed in SEEDS)


def _paper_baselines() -> Runs:
    return tuple(RunConfig(dataset="cifar10", seed=seed, **kind) for kind in (DENSE, STATIC) for seed in SEEDS)


def ablated() -> Runs:
    """The runs of Table 4 beside which the ablations stand: the MLP on CIFAR-10 with seed 0, by growth rule."""
    return tuple(RunConfig(dataset="cifar10", grow=grow) for grow in STRATEGIES)


def _ablations() -> Runs:
    """One option that the paper leaves open changed at a time, on CIFAR-10."""
    return (*(config.but(**option) for option in OPTIONS for config in ablated()),
            *(config.but(**BLACK | option) for option in OLDER_OPTIONS for config in ablated()),
            RunConfig(dataset="cifar10", grow="momentum", growth_momentum="sgd_buffer"))


def _constants() -> Runs:
    """Table 4's MLP on CIFAR-10 with the constants of normalisation of SNFS's code, as well as its border."""
    return tuple(config.but(**SNFS, seed=seed) for seed in SEEDS for config in ablated())


def _black_border() -> Runs:
    """Runs with the other common border of the random crop, which were made before the better one was known."""
    seed_0 = (*_sparse_table(0.9, ("mlp",)), *_switch_table(("mlp",)), *_pruning_figure(("mlp",), ("set",)),
              *_link_prediction())
    baselines = [config for config in _paper_baselines() if not config.is_dense or config.seed < 2]  # hours each
    return (*(config.but(**BLACK) for config in (*_paper_topology(), *baselines)),
            *(config.but(**BLACK) for config in seed_0 if config.dataset == "cifar10" and config.seed == 0))


def _grey() -> Runs:
    """What the paper's grey runs can have been: the MLP in readings that lower its accuracy, or break it.

    The most telling first: constants that are far from centred, test images that are cropped and flipped as well, less
    training, larger crops; then the one that came nearest, 40 epochs, for every cell of Tables 4 and 7.
    """
    cropped: dict[str, Any] = {"augment": "crop_flip"}
    noisy: dict[str, Any] = cropped | {"evaluation": "as_training"}
    short = noisy | {"epochs": 40}
    fashion, digits = {"dataset": "fashion_mnist"}, {"dataset": "mnist"}
    return tuple(dict.fromkeys(RunConfig(**reading) for reading in (
        *(fashion | cropped | {"normalise": "half", "grow": "gradient", "seed": seed} for seed in SEEDS),
        *(images | noisy | {"grow": "random", "sparsity": sparsity}
          for images in (digits, fashion) for sparsity in (0.95, 0.8)),
        *(images | cropped | {"normalise": constants, "grow": "gradient"}
          for images, constants in ((digits, "half"), (digits, "cifar10"), (fashion, "cifar10"))),
        fashion | cropped | {"normalise": "half", "grow": "gradient", "sparsity": 0.9},
        *(images | noisy | {"grow": "random", "epochs": epochs}
          for epochs in (40, 80, 160) for images in (digits, fashion)),
        *(images | noisy | {"grow": "random", "crop_pad": pad} for pad in (6, 8) for images in (digits, fashion)),
        *(images | cropped | {"grow": grow} for images in (digits, fashion) for grow in STRATEGIES),
        *(images | short | {"grow": grow, "sparsity": sparsity}
          for sparsity in (0.95, 0.9, 0.8) for images in (digits, fashion) for grow in STRATEGIES),
        *(fashion | short | {"normalise": "half", "grow": grow} for grow in STRATEGIES))))


def _quick(**changes: Sequence[Any]) -> Runs:
    """The small network with every combination of these values and every seed."""
    return tuple(RunConfig(**QUICK_MLP, **dict(zip(changes, values, strict=True)), seed=seed)
                 for values in product(*changes.values()) for seed in QUICK_SEEDS)


def _legacy() -> Runs:
    """SET pruning with the widespread bug, to stand beside Figure 13; some of the ablations."""
    return tuple(config.but(prune="set_legacy") for config in ablated())


def _quick_baselines() -> Runs:
    return tuple(RunConfig(**QUICK_MLP, **kind, seed=seed) for kind in (DENSE, STATIC) for seed in QUICK_SEEDS)


def _link_prediction() -> Runs:
    return tuple(RunConfig(dataset="cifar10", grow="l3", seed=seed) for seed in SEEDS)


def _schedules(base: dict[str, Any] = SHORT, seeds: Sequence[int] = SHORT_SEEDS) -> Runs:
    """One thing about the updates changed at a time; intervals are in proportion to the base's."""
    usual = RunConfig(**base).update_interval
    options = [option | ({"update_interval": option["update_interval"] * usual // 400} if "update_interval" in option
                         else {}) for option in SCHEDULES]
    return tuple(RunConfig(**base | option, grow=grow, seed=seed)
                 for seed in seeds for option in options for grow in STRATEGIES)


def _batches(base: dict[str, Any] = SHORT, seeds: Sequence[int] = SHORT_SEEDS) -> Runs:
    """Gradient growth, and random growth beside it, with other batch sizes; momentum growth with other averages."""
    usual = RunConfig(**base).update_interval
    options = [{}, *(option | {"update_interval": option["update_interval"] * usual // 400} for option in BATCHES)]
    return tuple(RunConfig(**base | option, seed=seed) for seed in seeds for option in (
        *(option | {"grow": grow} for option in options for grow in ("random", "gradient")),
        {"grow": "momentum"}, *({"grow": "momentum", "growth_beta": beta} for beta in BETAS)))


def _long_convnets() -> Runs:
    return tuple(some(_sparse_table(0.95, ("convnet",)), len(SEEDS), "cifar10"))


def _cnns() -> Runs:
    return tuple(RunConfig(model=model, grow=grow, seed=seed, **base)
                 for seed in CNN_SEEDS for model, base in CNNS.items() for grow in STRATEGIES)


def _quick_cnns() -> Runs:
    return tuple(RunConfig(**QUICK_CNN, grow=grow) for grow in STRATEGIES)


def _interval() -> Runs:
    return tuple(RunConfig(dataset="cifar10", grow="random", update_interval=100, seed=seed) for seed in SEEDS)


def _rbm(size: str, settings: dict[str, Any] = RBM) -> Runs:
    return tuple(RunConfig(model=size, grow=grow, seed=seed, **settings) for grow in growth_rules()
                 for seed in RBM_SEEDS)


def _mlp() -> Runs:
    """The MLP's cells of Tables 3, 4, 7, 8 and Figure 13 without CIFAR-100, in the order in which runs tell most.

    Fewer seeds of every cell come before more seeds of one. See docs/fullscale.md.
    """
    cifar, grey = "cifar10", ("mnist", "fashion_mnist")
    dense, static = (RunConfig(dataset=cifar, **kind) for kind in (DENSE, STATIC))
    table4, nine, eight = (_sparse_table(sparsity, ("mlp",)) for sparsity in (0.95, 0.9, 0.8))
    pruning = [run for run in _pruning_figure(("mlp",), PRUNING) if run.prune != "magnitude"]
    constants = [run for run in _ablations() if run.normalise != "own"]
    switched = _switch_table(("mlp",))
    return tuple(dict.fromkeys((
        *some(table4, 5, cifar), *(static.but(seed=seed) for seed in SEEDS), *_grey(), *some(table4, 5, *grey),
        *some(pruning, 1, cifar), *_legacy(), *some(switched, 1, cifar, "fashion_mnist"), *some(nine, 1, cifar, *grey),
        *some(eight, 1, cifar, *grey), *_interval(), dense, *some(_dense_table(("mlp",)), 1, *grey),
        *constants, *_constants(), *some(pruning, 3, cifar), *some(switched, 3, cifar),
        *some(switched, 2, "fashion_mnist"), *some(nine, 3, cifar), *some(eight, 2, cifar),
        *(dense.but(seed=seed) for seed in SEEDS[:3]), *some(_dense_table(("mlp",)), 2, *grey))))


def _convnet() -> Runs:
    """The same of the ConvNet: one seed of every cell, the dense ones last; then more seeds of Table 4.

    Five of those on CIFAR-10 and MNIST, two on Fashion-MNIST.
    """
    cifar, digits, fashion = "cifar10", "mnist", "fashion_mnist"
    table4, nine, eight = (_sparse_table(sparsity, ("convnet",)) for sparsity in (0.95, 0.9, 0.8))
    pruning = [run for run in _pruning_figure(("convnet",), PRUNING) if run.prune != "magnitude"]
    return tuple(dict.fromkeys((
        *some(table4, 1, cifar, digits, fashion), *some(_switch_table(("convnet",)), 1, cifar),
        *some(pruning, 1, cifar), *some(nine, 1, cifar, digits), *some(eight, 1, cifar, digits),
        *some(_dense_table(("convnet",)), 1, cifar, digits),
        *some(table4, 2, cifar, digits, fashion), *some(table4, 5, cifar, digits))))


def some(runs: Iterable[RunConfig], seeds: int, *datasets: str) -> list[RunConfig]:
    """Those with fewer than so many seeds on these data sets, a seed after the other."""
    return [run for seed in range(seeds) for run in runs if run.seed == seed and run.dataset in datasets]


@dataclass(frozen=True)
class Need:
    """What one figure, table or section reads. `quick` is None where the quick profile has nothing to show."""

    title: str
    paper: Callable[[], Runs]
    quick: Callable[[], Runs] | None = None
    in_order: bool = False  # a sweep keeps this order of runs; else the longest start first


_TOPOLOGY = {
    "fig02": "Figure 2, ends of the fitted range (Section 4.6)",
    "fig06": "Figure 6, the distance D (Section 5.3)",
    "fig07": "Figure 7, power-law statistics during training (Section 5.3)",
    "fig05": "Figure 5, degree distributions during training (Section 5.3)",
    "fig08": "Figure 8, input heat maps (Section 5.3)",
    "fig09": "Figure 9, dormant neurons (Section 5.4)",
    "fig12": "Figure 12, k-shells after training (Section 5.4)",
    "fig18": "Figure 18, input degrees (Appendix G)",
    "fig19": "Figure 19, first hidden layer on the input (Appendix H)",
    "fig20": "Figure 20, rank correlation (Appendix I)",
}
NEEDS: dict[str, Need] = {
    "table3": Need("Table 3, dense networks", _dense_table,
                   lambda: _quick_baselines()[:len(QUICK_SEEDS)]),
    "table4": Need("Table 4, 95 % sparse networks", lambda: _sparse_table(0.95), _quick_topology),
    "table7": Need("Table 7, 90 % and 80 % sparsity (Appendix C)", lambda: _sparse_table(0.9) + _sparse_table(0.8),
                   lambda: _quick(sparsity=(0.9, 0.8), grow=growth_rules())),
    "table8": Need("Table 8, strategy switched at half of training (Appendix E)", _switch_table,
                   lambda: _quick(grow=SWITCHES)),
    "fig13": Need("Figure 13, pruning criteria (Appendix A)", _pruning_figure,
                  lambda: _quick(prune=pruning_rules(), grow=growth_rules())),
    "set_legacy": Need("SET pruning with a widespread bug (set_legacy), beside Figure 13 (ours)", _legacy,
                       lambda: _quick(prune=("set_legacy",), grow=STRATEGIES)),
    "fig15": Need("Figure 15, big RBM (Appendix D)", lambda: _rbm("rbm-big"), lambda: _rbm("rbm-big", QUICK_RBM)),
    "fig16": Need("Figure 16, small RBM (Appendix D)", lambda: _rbm("rbm-small"),
                  lambda: _rbm("rbm-small", QUICK_RBM)),
    "sec5.3": Need("Section 5.3, random growth with a shorter update interval", _interval),
    "baselines": Need("Dense and static MLPs beside Sections 5.3 and 5.4 (ours)", _paper_baselines, _quick_baselines),
    "black_border": Need("Sections 5.2 and 5.3 with a black border of the random crop (ours)", _black_border),
    "constants": Need("Table 4's MLP on CIFAR-10 with the constants of SNFS's code (ours)", _constants),
    "grey": Need("Table 4's MLP on grey images, other readings of the paper (ours)", _grey),
    "l3": Need("Growth by link prediction (l3), which the paper did not try (ours)", _link_prediction,
               lambda: _quick(grow=("l3",))),
    "schedules": Need("Section 8: other intervals, prune rates and decays, at 30 epochs (ours)", _schedules,
                      lambda: _schedules(QUICK_MLP, QUICK_SEEDS[:2])),
    "batches": Need("Section 8: other batch sizes and averages of the gradient, at 30 epochs (ours)", _batches,
                    lambda: _batches(QUICK_MLP, QUICK_SEEDS[:2])),
    "cnn": Need("Section 8: wiring of ConvNet and ResNet-56, twenty updates (ours)", _cnns, _quick_cnns),
    "cnn300": Need("Section 8: wiring of Table 4's ConvNet on CIFAR-10, 300 epochs (ours)", _long_convnets),
    "schedules300": Need("As schedules, at 300 epochs (ours)", lambda: _schedules({"dataset": "cifar10"}, SEEDS)),
    "batches300": Need("As batches, at 300 epochs (ours)", lambda: _batches({"dataset": "cifar10"}, SEEDS)),
    "ablations": Need("One-seed ablations of the MLP's options (ours)", _ablations),
    "mlp": Need("Every cell of the paper's MLP on images that can be had, the most telling runs first (ours)", _mlp,
                in_order=True),
    "convnet": Need("Cells of the paper's ConvNet on images that can be had, the most telling runs first (ours)",
                    _convnet, in_order=True),
    "topology": Need("The runs whose wiring Sections 5.3 and 5.4 follow, behind ten figures", _paper_topology,
                     _quick_topology),
    **{name: Need(title, _paper_topology, _quick_topology) for name, title in _TOPOLOGY.items()},
}


def load_own_rules() -> None:
    """Let the rules in the user's own files, if REGROW_RULES names any, take part in every study."""
    if os.environ.get(OWN_RULES):
        from regrow import rules  # brings torch, which most commands start without

        rules.load_own()


def growth_rules() -> tuple[str, ...]:
    """The paper's strategies, then those from the user's own files (see rules.load_own)."""
    return (*STRATEGIES, *OWN["grow"])


def pruning_rules() -> tuple[str, ...]:
    """Figure 13's criteria, then the user's own."""
    return (*PRUNING, *OWN["prune"])


def check_profile(profile: str) -> None:
    """Raise ConfigError, naming the nearest one, for a profile that does not exist."""
    if profile not in PROFILES:
        raise ConfigError(f"There is no profile {profile!r}{nearest(profile, PROFILES)}.")


def runs(need: str, profile: str) -> Runs:
    """The configs behind a figure, table or section, in reading order; () where quick has none.

    The user's own rules have a part in all profiles but replay, which draws what was shipped. Raises ConfigError naming
    the nearest id or profile.
    """
    check_profile(profile)
    if need not in NEEDS:
        raise ConfigError(f"No figure or table {need!r} needs runs{nearest(need, NEEDS)}.")
    return _runs(need, profile, growth_rules(), pruning_rules())


@cache
def _runs(need: str, profile: str, growth: tuple[str, ...], pruning: tuple[str, ...]) -> Runs:
    if profile == "quick":
        make = NEEDS[need].quick
        return make() if make is not None else ()
    found = NEEDS[need].paper()
    if profile == "replay":
        own = {*OWN["grow"], *OWN["prune"]}
        return tuple(config for config in found if own.isdisjoint((config.grow, config.prune)))
    return found


def distinct(needs: Iterable[str], profile: str) -> Runs:
    """Every run of several figures and tables once, in order of first use."""
    return tuple(dict.fromkeys(config for need in needs for config in runs(need, profile)))


def in_order(needs: Iterable[str]) -> bool:
    """Whether a sweep keeps the order in which these needs list their runs."""
    return any(NEEDS[need].in_order for need in needs)


def by_method(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records grouped by what a figure compares, for example growth rule, seeds in order."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.config.method, []).append(record)
    return {method: sorted(group, key=lambda record: record.config.seed) for method, group in groups.items()}


def default_store(profile: str) -> Path:
    """build/quick/store, or build/paper/store for paper and replay; REGROW_STORE overrides it."""
    folder = "quick" if profile == "quick" else "paper"
    return place(os.environ.get("REGROW_STORE") or REPOSITORY / "build" / folder / "store",
                 "write it in full in REGROW_STORE")


def figure_folder(profile: str) -> Path:
    """Where figures go: those of the paper profile are products of the repository, the others stay in build/."""
    return REPOSITORY / "figures" if profile == "paper" else REPOSITORY / "build" / profile / "figures"


def needs_of(arguments: Namespace) -> list[str]:
    """The ids of --only, or all of them."""
    check_profile(arguments.profile)
    if arguments.only is None:
        return list(NEEDS)
    needs = [need.strip() for need in arguments.only.split(",") if need.strip()]
    if not needs:
        raise ConfigError("--only names no figure or table: write, for example, --only table4,fig12, or leave it out.")
    for need in needs:
        runs(need, arguments.profile)  # refuses an unknown id
    return needs


def store_of(arguments: Namespace) -> Store:
    """The folder of --store; with --shipped the records of results/ are there as well."""
    read_also = (SHIPPED,) if getattr(arguments, "shipped", False) else ()
    return Store(arguments.store or default_store(arguments.profile), read_also=read_also)
