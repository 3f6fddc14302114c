"""Tables 1, 2, 5 and 6: the paper's numbers, those that are counted, and that the two are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.config import CHOICES, RunConfig
from regrow.record import READINGS
from regrow.rules import GROWTH, PRUNING, gradient_score, momentum_score, prune_magnitude, prune_set, random_score
from regrow_companion import paper
from regrow_companion.figures import check_table, save_table


def test_table1_pairs_name_rules_that_exist() -> None:
    table = paper.table1().set_index("method")
    assert [PRUNING[name] for name in table["prune"]] == [prune_set, prune_magnitude, prune_magnitude]
    assert [GROWTH[name].score for name in table["grow"]] == [random_score, gradient_score, momentum_score]
    assert list(table.index) == ["SET", "RigL", "SNFS"]
    assert table["grow, as printed"].tolist() == table["grow"].tolist() == ["random", "gradient", "momentum"]


def test_table2_shows_what_the_printed_numerator_costs() -> None:
    table = paper.table2().set_index("init")
    assert table["convnet conv1"].to_dict() == {"uniform": 0.05, "er": 0.565, "erk": 0.478, "erk_printed": 0.431}
    assert (table.loc[["erk", "erk_printed"], "convnet fc"] == 1).all()
    assert "w + h" in table.loc["erk", "density of a layer here, up to a factor"]
    assert "w + h" not in table.loc["erk", "sparsity of a layer, as printed"]


def test_table2_of_a_network_without_kernels_has_one_answer() -> None:
    table = paper.table2("mlp").set_index("init")
    assert (table.loc[["er", "erk", "erk_printed"], "mlp fc1"] == 0.041).all()


def test_table5_is_what_the_paper_prints_and_counts_what_it_does_not() -> None:
    table = paper.table5().set_index("layer")
    assert table["MLP"].tolist()[:5] == ["Linear(3072, 1024)", "ReLU", "Linear(1024, 512)", "ReLU", "Linear(512, 10)"]
    assert (table["MLP"].iloc[5:10] == "").all()
    assert table["ConvNet"].tolist()[:10] == [
        "Conv2d(3, 32, 3, 1)", "ReLU", "MaxPool, size 2", "Conv2d(32, 64, 3, 1)", "ReLU", "MaxPool, size 2",
        "Conv2d(64, 128, 3, 1)", "ReLU", "Global Average Pool", "Linear(128, 10)"]
    numbers = table.iloc[10:]
    assert numbers["MLP"].tolist() == ["3,676,682", "183,834", "3,676,682", "3,675,136", "183,757", "185,303"]
    assert numbers["ConvNet"].tolist() == ["94,538", "4,727", "94,538", "94,304", "4,715", "4,949"]


def test_the_printed_five_percent_is_of_all_parameters() -> None:
    for everything, sparse in paper.PRINTED_PARAMETERS.values():
        assert sparse == round(0.05 * everything)


@pytest.mark.parametrize(("network", "everything", "maskable", "which"), [
    ("MLP", 3_676_682, 3_675_136, "all parameters"),
    ("ConvNet", 94_538, 94_304, "all parameters"),
    ("ResNet-56", 855_770, 851_504, "all parameters"),
    ("ResNet-50, for ImageNet", 25_557_032, 25_502_912, "maskable weights"),
    ("ResNet-50, for CIFAR (6n+2 layers)", 758_554, 754_736, ""),
    ("VGG-16", 14_724_042, 14_715_584, ""),
])
def test_parameters_come_out_exactly(network: str, everything: int, maskable: int, which: str) -> None:
    row = paper.parameter_table().set_index("network").loc[network]
    assert (row["all parameters"], row["maskable weights"], row["which is"]) == (everything, maskable, which)


def test_table6_shows_its_slip() -> None:
    table = paper.table6().set_index("data set")
    assert (table["samples, as printed"] == 70_000).all()
    assert table["their sum"].to_dict() == {"CIFAR-10": 60_000, "CIFAR-100": 60_000, "Fashion-MNIST": 70_000,
                                            "MNIST": 70_000}
    assert (table["samples"] == table["their sum"]).all()
    assert table["train"].tolist() == [45_000, 45_000, 54_000, 54_000]
    assert table["features"].tolist() == ["3x32x32", "3x32x32", "1x28x28", "1x28x28"]
    assert table["classes"].tolist() == [10, 100, 10, 10]


@pytest.mark.parametrize("stem", ["table1", "table2", "table5", "table6"])
def test_every_table_can_be_saved(stem: str, tmp_path: Path) -> None:
    save_table(getattr(paper, stem)(), stem, out=tmp_path, profile="paper", caption="A table of the paper.")
    assert check_table(tmp_path, stem) == []


def test_the_protocol_names_every_value_of_every_choice_and_its_default() -> None:
    table = paper.protocol().set_index("key")
    for key, row in table.drop("(a reading)").iterrows():
        named = f"{row['default']}; {row['values']}"
        assert all(f"{name}: {text}" in named for name, text in CHOICES.get(key, {}).items() if name != "auto")
        for config in (RunConfig(dataset="cifar10"), RunConfig(model="convnet")):
            assert str(getattr(config, key)) in row["default"]
    assert table.loc["crop_pad", "default"] == "4" and table.loc["crop_pad", "values"].startswith("any whole number")
    assert table.loc["update_order", "values"] == f"instead_of_step: {CHOICES['update_order']['instead_of_step']}"
    assert f"last: {READINGS['last']}" == table.loc["(a reading)", "default"] and table["why"].str.len().min() > 20
