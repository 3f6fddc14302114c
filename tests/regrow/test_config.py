"""A run's description: strict, frozen, hashed, and every decision that the paper leaves open is a named option."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow import config
from regrow.config import CHOICES, PRESETS, RunConfig, nearest, preset
from regrow.errors import ConfigError, RegrowError

FIELDS = tuple(f.name for f in fields(RunConfig))
SMALL: dict[str, Any] = dict(model="mlp", hidden=(300, 100), grow="random>gradient", sparsity=0.9, seed=3)

# What some values need beside them to make sense.
COMPANIONS: dict[tuple[str, str], list[str]] = {
    ("prune", "none"): ["grow=none"],
    ("grow", "none"): ["prune=none"],
    ("stem", "cifar"): ["model=resnet50"],
    ("padding", "none"): ["model=convnet"],
    ("normalise", "snfs"): ["dataset=cifar10"],
    ("evaluation", "as_training"): ["augment=flip"],
}
# For each key that is not a choice: text as typed, the value it means, and words it needs beside it.
TYPED: dict[str, tuple[str, Any, list[str]]] = {
    "hidden": ("300,100", (300, 100), []),
    "crop_pad": ("6", 6, ["augment=crop_flip"]),
    "train_limit": ("500", 500, []),
    "sparsity": ("0.9", 0.9, []),
    "switch_at": ("0.25", 0.25, []),
    "prune_rate": ("0.3", 0.3, []),
    "update_interval": ("100", 100, []),
    "update_until": ("0.75", 0.75, []),
    "regrow_pruned": ("false", False, []),
    "growth_beta": ("0.5", 0.5, []),
    "epochs": ("7", 7, []),
    "batch_size": ("64", 64, []),
    "lr": ("1e-2", 0.01, []),
    "lr_milestones": ("0.3,0.6", (0.3, 0.6), []),
    "lr_decay": ("0.2", 0.2, []),
    "momentum": ("0", 0.0, ["nesterov=false"]),
    "nesterov": ("False", False, []),
    "weight_decay": ("0", 0.0, []),
    "amp": ("1", True, []),
    "tf32": ("true", True, []),
    "seed": ("11", 11, []),
}


def refusal(**values: Any) -> str:
    """The sentence that RunConfig.from_dict answers; checks that it is one sentence."""
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_dict(values)
    return sentence(caught.value)


def typed_refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_strings(words)
    return sentence(caught.value)


def sentence(error: Exception) -> str:
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text
    assert text[0].isupper() or text.split()[0].strip("'") in FIELDS or "=" in text.split()[0] or text[0] == "'"
    return text


# ---- defaults: the paper's setting, and facts the project decided ---------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [
    ("model", "mlp"), ("hidden", (1024, 512)), ("sparsity", 0.95), ("init", "erk"), ("prune", "magnitude"),
    ("grow", "gradient"), ("prune_rate", 0.5), ("prune_schedule", "cosine"), ("update_interval", 400), ("epochs", 300),
    ("batch_size", 128), ("lr", 0.1), ("lr_milestones", (0.5, 0.75)), ("lr_decay", 0.1), ("momentum", 0.9),
    ("nesterov", True), ("weight_decay", 5e-4), ("switch_at", 0.5), ("dataset", "fashion_mnist_small"),
    ("stem", "imagenet"), ("amp", False), ("tf32", False), ("dtype", "float32"), ("seed", 0), ("train_limit", 0),
    # decisions about what the paper leaves open
    ("update_order", "after_step"), ("regrow_pruned", True), ("regrown_weight", "zero"), ("grown_buffer", "zero"),
    ("growth_momentum", "ema"), ("growth_beta", 0.9), ("update_until", 1.0), ("normalise", "own"), ("crop_pad", 4),
    ("evaluation", "plain"),
])
def test_defaults(name: str, value: Any) -> None:
    assert getattr(RunConfig(), name) == value


@pytest.mark.parametrize("word", [
    "update_order=instead_of_step", "regrow_pruned=false", "regrown_weight=keep", "grown_buffer=keep",
    "growth_momentum=sgd_buffer", "update_until=0.75", "prune=set", "prune=set_legacy", "prune=random",
    "prune_schedule=constant", "prune_schedule=linear", "init=uniform", "init=er", "init=erk_printed",
    "normalise=half", "normalise=cifar10", "normalise=snfs dataset=cifar10", "augment=crop_flip dataset=cifar10",
    "crop_pad=6 dataset=cifar10", "evaluation=as_training dataset=cifar10", "padding=same model=convnet",
])
def test_every_open_decision_is_a_named_option(word: str) -> None:
    choice, *beside = word.split()
    assert RunConfig.from_strings([choice, *beside]).key != RunConfig.from_strings(beside).key


def test_presets() -> None:
    assert preset("paper") == {}
    rigl = RunConfig(**preset("rigl"))
    assert (rigl.grow, rigl.prune, rigl.update_order, rigl.update_until) == (
        "gradient", "magnitude", "instead_of_step", 0.75)
    assert (rigl.prune_rate, rigl.prune_schedule, rigl.regrown_weight) == (0.3, "cosine", "keep")
    set_ = RunConfig(**preset("set"))
    assert (set_.grow, set_.prune, set_.prune_schedule, set_.prune_rate, set_.regrow_pruned) == (
        "random", "set", "constant", 0.3, False)
    snfs = RunConfig(**preset("snfs"))
    assert (snfs.grow, snfs.growth_momentum) == ("momentum", "sgd_buffer")
    static = RunConfig(**preset("static"))
    assert not static.is_dynamic and not static.is_dense and static.sparsity == 0.95
    dense = RunConfig(**preset("dense"))
    assert dense.is_dense and not dense.is_dynamic


def test_presets_are_copies() -> None:
    preset("rigl")["prune_rate"] = 0.9
    assert PRESETS["rigl"]["prune_rate"] == 0.3


@pytest.mark.parametrize(("options", "method", "phases"), [
    (preset("dense"), "dense", ("none", "none")), (preset("static"), "static", ("none", "none")),
    ({}, "gradient", ("gradient", "gradient")),
    ({"grow": "random>momentum"}, "random>momentum", ("random", "momentum")),
])
def test_method_and_phases(options: dict[str, Any], method: str, phases: tuple[str, str]) -> None:
    config = RunConfig(**options)
    assert (config.method, config.grow_phases) == (method, phases)


@pytest.mark.parametrize(("options", "image_format", "augment", "padding"), [
    ({}, "rgb32", "none", "same"),
    ({"dataset": "cifar10"}, "rgb32", "mirror_crop_flip", "same"),
    ({"dataset": "cifar100"}, "rgb32", "crop_flip", "same"),
    ({"hidden": (300, 100)}, "native", "none", "same"),
    ({"model": "convnet", "dataset": "mnist"}, "rgb32", "none", "none"),
    ({"model": "vgg16", "dataset": "mnist"}, "rgb32", "none", "same"),
    ({"model": "rbm-big"}, "native", "none", "same"),
    ({"dataset": "cifar10", "augment": "none"}, "rgb32", "none", "same"),
    ({"image_format": "native"}, "native", "none", "same"),
])
def test_automatic_values_are_resolved(options: dict[str, Any], image_format: str, augment: str, padding: str) -> None:
    config = RunConfig(**options)
    assert (config.image_format, config.augment, config.padding) == (image_format, augment, padding)
    assert config.normalise == "own"


# ---- the key --------------------------------------------------------------------------------------------------------


def test_keys_are_pinned() -> None:
    """Finished runs are found by these. A change here orphans every record: raise RESULT_VERSION only on purpose."""
    assert RunConfig().key == "20a61349b2cdfeb3"
    assert RunConfig(**SMALL).key == "fbee6771aa5fc2d6"


def test_keys_of_older_records_are_theirs_and_of_no_new_run() -> None:
    """As they were before there were `padding`, `normalise`, `crop_pad` and `evaluation`: what those runs did is not
    what a new one of the same words does, where the default is another."""
    padded = RunConfig(model="convnet", dataset="cifar10", augment="crop_flip", padding="same")
    assert padded.key == "de03cf2236b1044e"
    assert RunConfig(model="convnet", dataset="cifar10", augment="crop_flip").key != padded.key
    assert RunConfig(dataset="cifar10", grow="random", augment="crop_flip").key == "a54e75257aed4247"
    assert RunConfig(dataset="cifar10", grow="random").key == "0bb430bacaf8ea51"  # shipped, with a mirrored border
    assert RunConfig(model="vgg16", dataset="cifar10", augment="crop_flip").key == "ee39016594286a86"


def test_a_key_that_a_record_does_not_name_is_what_runs_did_before_there_was_it() -> None:
    said = RunConfig(model="convnet", padding="same").to_dict()
    older = {name: value for name, value in said.items()
             if name not in ("padding", "normalise", "crop_pad", "evaluation")}
    assert RunConfig.from_record(older) == RunConfig(model="convnet", padding="same")
    assert RunConfig.from_dict(older) == RunConfig(model="convnet", padding="none")
    new = RunConfig(model="convnet", normalise="half", augment="crop_flip", crop_pad=6, evaluation="as_training")
    assert RunConfig.from_record(json.loads(json.dumps(new.to_dict()))) == new


def test_key_does_not_depend_on_the_process() -> None:
    code = "from regrow.config import RunConfig; print(RunConfig(hidden=(300, 100), sparsity=0.9, seed=3).key)"
    keys = {subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                           capture_output=True, text=True, check=True).stdout.strip() for seed in ("1", "2")}
    assert keys == {RunConfig(hidden=(300, 100), sparsity=0.9, seed=3).key}


@pytest.mark.parametrize(("one", "other"), [
    ({"sparsity": 0.9, "seed": 3}, {"seed": 3, "sparsity": 0.9}),  # order
    ({"hidden": (300, 100)}, {"hidden": [300, 100]}),
    ({"lr": 1}, {"lr": 1.0}),
    ({"weight_decay": -0.0}, {"weight_decay": 0.0}),
    ({}, {"augment": "none", "image_format": "rgb32"}),  # auto, and what it means
    ({}, {"epochs": 300}),
])
def test_equal_runs_have_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert RunConfig(**one) == RunConfig(**other)
    assert RunConfig(**one).key == RunConfig(**other).key
    assert hash(RunConfig(**one)) == hash(RunConfig(**other))


def test_key_follows_the_result_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "RESULT_VERSION", config.RESULT_VERSION + 1)
    assert RunConfig().key != "20a61349b2cdfeb3"


def test_every_field_enters_the_key() -> None:
    keys = [RunConfig().key]
    for name in FIELDS:
        for text, _, extra in typed_cases(name):
            config = RunConfig.from_strings([f"{name}={text}", *extra])
            plain = RunConfig.from_strings(extra) if extra and name not in ("prune", "grow") else RunConfig()
            if config != plain:
                assert config.key != plain.key, f"{name}={text}"
                keys.append(config.key)
    assert len(keys) > 40
    assert len(set(keys)) >= len(keys) - 1  # prune=none grow=none comes from both sides


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        RunConfig().seed = 1  # type: ignore[misc]


# ---- strings and JSON -----------------------------------------------------------------------------------------------


def typed_cases(name: str) -> list[tuple[str, Any, list[str]]]:
    if name in CHOICES:
        return [(choice, choice, COMPANIONS.get((name, choice), [])) for choice in CHOICES[name]]
    return [TYPED[name]]


def test_every_key_has_a_typed_case() -> None:
    assert set(TYPED) | set(CHOICES) == set(FIELDS)
    assert not set(TYPED) & set(CHOICES)


@pytest.mark.parametrize("name", FIELDS)
def test_every_key_can_be_typed(name: str) -> None:
    for text, value, extra in typed_cases(name):
        config = RunConfig.from_strings([f"{name}={text}", *extra])
        if value != "auto":
            assert getattr(config, name) == value
            assert type(getattr(config, name)) is type(value)


@pytest.mark.parametrize("name", FIELDS)
def test_every_key_survives_json(name: str) -> None:
    for text, _, extra in typed_cases(name):
        config = RunConfig.from_strings([f"{name}={text}", *extra])
        again = RunConfig.from_dict(json.loads(json.dumps(config.to_dict())))
        assert again == config
        assert again.key == config.key


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_shown_can_be_typed_back(name: str) -> None:
    """`key=value` words of all fields, as a sweep or a log writes them, give the same run."""
    for text, _, extra in typed_cases(name):
        config = RunConfig.from_strings([f"{name}={text}", *extra])
        words = [f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
                 for key, value in config.to_dict().items()]
        assert RunConfig.from_strings(words) == config


@given(st.fixed_dictionaries({}, optional={
    "sparsity": st.floats(0.01, 0.999), "prune_rate": st.floats(0, 1), "seed": st.integers(0, 2**63),
    "epochs": st.integers(1, 1000), "lr": st.floats(1e-9, 10), "growth_beta": st.floats(0, 0.999),
    "hidden": st.lists(st.integers(1, 5000), min_size=1, max_size=4).map(tuple),
    "lr_milestones": st.lists(st.floats(0.01, 0.99), max_size=3, unique=True).map(sorted).map(tuple),
    "grow": st.sampled_from(["random", "momentum", "gradient>random"]), "nesterov": st.booleans(),
}))
def test_round_trip(values: dict[str, Any]) -> None:
    config = RunConfig(**values)
    again = RunConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert (again, again.key) == (config, config.key)
    assert len(config.key) == 16 and int(config.key, 16) >= 0


def test_presets_can_be_typed_anywhere_among_the_words() -> None:
    before = RunConfig.from_strings(["preset=rigl", "prune_rate=0.1", "seed=4"])
    after = RunConfig.from_strings(["seed=4", "prune_rate=0.1", "preset=rigl"])
    assert before == after == RunConfig(**preset("rigl") | {"prune_rate": 0.1, "seed": 4})


def test_of_two_presets_the_later_wins_or_both_are_refused() -> None:
    try:
        config = RunConfig.from_strings(["preset=rigl", "preset=set"])
    except ConfigError:
        return
    assert (config.grow, config.prune_schedule) == ("random", "constant")


def test_but_makes_a_checked_copy() -> None:
    config = RunConfig(seed=1)
    assert config.but(seed=2) == RunConfig(seed=2)
    assert config.seed == 1
    with pytest.raises(ConfigError):
        config.but(sparsity=0.0)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "right"), [
    ("sparsty", "sparsity"), ("pruning_rate", "prune_rate"), ("epoch", "epochs"), ("batchsize", "batch_size"),
    ("Seed", "seed"), ("update_intervall", "update_interval"), ("grwo", "grow"),
])
def test_unknown_keys_name_the_nearest(wrong: str, right: str) -> None:
    assert f"did you mean {right!r}" in refusal(**{wrong: 1})
    assert f"did you mean {right!r}" in typed_refusal(f"{wrong}=1")


def test_a_key_like_no_other_gets_the_list() -> None:
    text = refusal(zzz=1)
    assert all(name in text for name in FIELDS)


def test_typed_preset_names() -> None:
    assert "did you mean 'preset'" in typed_refusal("preste=rigl")
    assert "did you mean 'rigl'" in typed_refusal("preset=rigel")
    assert "snfs" in typed_refusal("preset=zzz")


@pytest.mark.parametrize(("values", "right"), [
    ({"model": "vgg"}, "vgg16"), ({"model": "resnet-50"}, "resnet50"), ({"dataset": "cifar"}, "cifar10"),
    ({"dataset": "fashion-mnist"}, "fashion_mnist"), ({"init": "erkk"}, "erk"), ({"prune": "magnitud"}, "magnitude"),
    ({"grow": "gradients"}, "gradient"), ({"grow": "random>momentom"}, "momentum"),
    ({"prune_schedule": "cosin"}, "cosine"), ({"update_order": "after"}, "after_step"),
    ({"dtype": "flaot32"}, "float32"),
    ({"stem": "cfar"}, "cifar"), ({"augment": "crop"}, "crop_flip"), ({"growth_momentum": "emma"}, "ema"),
])
def test_unknown_values_name_the_nearest(values: dict[str, Any], right: str) -> None:
    assert f"did you mean '{right}" in refusal(**values)


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_value_like_no_other_gets_the_list(name: str) -> None:
    text = refusal(**{name: "???"})
    assert all(choice in text for choice in CHOICES[name])


@pytest.mark.parametrize(("name", "value"), [
    ("sparsity", 1.0), ("sparsity", -0.1), ("sparsity", float("nan")), ("sparsity", "0.9"), ("sparsity", None),
    ("sparsity", True), ("prune_rate", 1.1), ("prune_rate", -0.1), ("growth_beta", 1.0), ("growth_beta", -0.1),
    ("switch_at", 0.0), ("switch_at", 1.0), ("update_until", 0.0), ("update_until", 1.1), ("lr", 0.0),
    ("lr", float("inf")), ("lr", float("nan")), ("lr_decay", 0.0), ("momentum", 1.0), ("momentum", -0.5),
    ("weight_decay", -1e-4), ("weight_decay", float("nan")), ("epochs", 0), ("epochs", 1.5), ("epochs", True),
    ("epochs", "3"), ("batch_size", 0), ("update_interval", 0),
    ("crop_pad", 0), ("crop_pad", 17), ("train_limit", -1), ("seed", -1), ("seed", 1.0),
    ("hidden", ()), ("hidden", (0,)), ("hidden", (300, -1)), ("hidden", 300), ("hidden", (300.5,)), ("hidden", "300"),
    ("hidden", (True,)), ("hidden", ("a",)), ("lr_milestones", (0.75, 0.5)), ("lr_milestones", (0.0,)),
    ("lr_milestones", (1.0,)), ("lr_milestones", 0.5), ("lr_milestones", (float("nan"),)), ("nesterov", 1),
    ("nesterov", "true"), ("amp", None), ("model", 3), ("grow", None), ("grow", ""), ("grow", "random>"),
    ("grow", "random>none"), ("grow", "none>random"), ("grow", "random>gradient>momentum"),
    # from JSON that says Infinity, NaN or a very long number
    ("hidden", (float("inf"),)), ("hidden", (float("nan"),)), pytest.param("prune_rate", 10**400, id="prune_rate-huge"),
])
def test_impossible_values(name: str, value: Any) -> None:
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("word", ["epochs=1.5", "epochs=ten", "epochs=", "sparsity=much", "amp=yes", "hidden=300,x",
                                  "hidden=", "lr_milestones=a", "lr=nan", "sparsity=1", "seed=-1", "hidden=inf"])
def test_impossible_typed_values(word: str) -> None:
    assert word.partition("=")[0] in typed_refusal(word)


def test_a_word_without_equals_sign() -> None:
    assert "'epochs' is not of the form key=value" in typed_refusal("epochs")


@pytest.mark.parametrize(("words", "remedy"), [
    (["sparsity=0"], "preset=dense"),
    (["sparsity=0", "grow=none"], "preset=dense"),
    (["prune=none"], "preset=static"),
    (["grow=none"], "preset=static"),
    (["preset=dense", "prune=magnitude"], "preset=dense"),
    (["momentum=0"], "nesterov=false"),
    (["preset=snfs", "momentum=0", "nesterov=false"], "momentum above 0"),
    (["grow=random>momentum", "growth_momentum=sgd_buffer", "momentum=0", "nesterov=false"], "momentum above 0"),
    (["hidden=300", "model=convnet"], "MLP"),
    (["stem=cifar"], "resnet50"),
    (["model=rbm-big", "dataset=cifar10"], "dataset=mnist"),
    (["padding=none"], "model=convnet"),
    (["normalise=snfs"], "own, half or cifar10"),
    (["model=rbm-big", "normalise=half"], "leave normalise out"),
    (["hidden=20", "normalise=cifar10"], "image_format=rgb32"), (["model=rbm-big", "normalise=cifar10"], "leave norm"),
    (["evaluation=as_training"], "set augment"),
    (["crop_pad=8"], "augment=crop_flip"), (["crop_pad=8", "augment=flip"], "augment=crop_flip"),
    (["model=rbm-big", "augment=flip", "evaluation=as_training"], "leave evaluation out"),
])
def test_clashes_name_the_remedy(words: list[str], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy) as caught:
        RunConfig.from_strings(words)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_refusals_are_for_the_user() -> None:
    """The command line turns RegrowError into exit code 2; a plain except ValueError catches it, too."""
    assert issubclass(ConfigError, RegrowError)
    assert issubclass(ConfigError, ValueError)


def test_nearest() -> None:
    assert "did you mean 'table4'" in nearest("tabel4", ["table3", "table4"])
    assert "table3" not in nearest("tabel4", ["table3", "table4"])
    assert "a, b" in nearest("x", ["a", "b"])


def test_every_key_and_choice_is_explained() -> None:
    assert all(f.metadata["help"] for f in fields(RunConfig))
    assert all(help for choices in CHOICES.values() for help in choices.values())
    assert set(CHOICES) <= set(FIELDS)
