"""Tables 3, 4, 7 and 8: what the paper printed, and that only the paper's own setting is set beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import paper, study
from regrow_companion.figures import check_table, save_table
from regrow_companion.plots import nb08_accuracy as accuracy
from regrow_companion.study import REPOSITORY


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


def with_result(record: Record, config: RunConfig, accuracies: list[float], classes: int = 10,
                best: float = 99.0) -> list[Record]:
    """Records of one config with given final test accuracies, seeds 0, 1, ...; `best` is that of the epoch before,
    which has the best validation accuracy."""
    shapes = dict(list(record.shapes.items())[:-1]) | {"last": (classes, 10)}
    return [replace(record, config=config.but(seed=seed), shapes=shapes, val_accuracy=np.array([60.0, 50.0]),
                    test_accuracy=np.array([best, value])) for seed, value in enumerate(accuracies)]


def one(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


# ------------------------------------------------------------------------------------------- the paper's numbers

def test_reported_cells_are_those_of_the_study():
    assert [len(paper.reported(n)) for n in (3, 4, 7, 8)] == [20, 60, 120, 72] and paper.reported(5) == ()
    for need in ("table3", "table4", "table7", "table8"):
        cells = {(c.model, c.method, c.sparsity, c.dataset) for c in paper.reported(int(need[-1]))}
        assert cells == {(c.model, c.method, c.sparsity, c.dataset) for c in study.runs(need, "paper")}


def test_reported_values_have_their_types():
    by_name = {(c.model, c.method, c.dataset): c for c in paper.reported(4)}
    cell = by_name["convnet", "random", "cifar100"]
    assert (cell.mean, cell.std, cell.sparsity, cell.reconstructed) == (33.4, 18.12, 0.95, False)
    assert by_name["vgg16", "momentum", "mnist"].reconstructed
    assert sum(c.reconstructed for c in paper.reported(4)) == 28 and not any(c.reconstructed for c in paper.reported(3))


# ----------------------------------------------------------------------------------------------------- the table

@pytest.mark.parametrize("profile", study.PROFILES)
@pytest.mark.parametrize(("need", "rows"), [("table3", 5), ("table4", 15), ("table7", 30), ("table8", 24)])
def test_without_records_the_paper_stands_alone_in_one_row_each(need, rows, profile):
    frame = accuracy.table(need, profile, [])
    assert list(frame["number"]) == ["paper"] * rows
    columns = ["CIFAR-10", "CIFAR-100", *["MNIST"] * (need != "table8"), "Fashion-MNIST"]
    assert list(frame.columns) == ["model", *["sparsity"] * (need == "table7"), "method", "number", *columns]
    assert not frame.map(lambda text: text.startswith("not ") or text == accuracy.NOTHING).any(axis=None)


def test_a_cell_of_the_paper_is_filled_with_all_its_numbers(tiny):
    config = RunConfig(model="convnet", dataset="cifar100", grow="random")
    runs = with_result(tiny, config, [42.0, 42.0, 41.0, 41.0, 1.0], classes=100)
    frame = accuracy.table("table4", "paper", runs)
    rows = frame[(frame["model"] == "ConvNet") & (frame["method"] == "random")].set_index("number")
    assert rows["CIFAR-100"].to_dict() == {
        "paper": "33.40 ± 18.12", "ours, last epoch": "33.40 ± 18.12", "ours, best validation": "99.00 ± 0.00",
        "last epoch - paper": "+0.00", "best validation - paper": "+65.60", "seeds": "5", "collapsed": "1",
        "median, last epoch": "41.00"}
    assert (rows["CIFAR-10"].iloc[1:] == accuracy.NOTHING).all()


def test_a_collapsed_run_counts_with_its_best_checkpoint(tiny):
    """What the paper's code does if it tests the checkpoint of the best validation accuracy."""
    config = RunConfig(dataset="fashion_mnist", grow="gradient")
    (sound,), (lost,) = with_result(tiny, config, [88.0], best=87.9), with_result(tiny, config, [10.0], best=71.5)
    lost = replace(lost, config=config.but(seed=1), train_loss=np.array([1.0, np.nan]))
    frame = accuracy.table("table4", "paper", [sound, lost])
    rows = frame[(frame["model"] == "MLP") & (frame["method"] == "gradient")].set_index("number")["Fashion-MNIST"]
    assert rows["ours, last epoch"] == "49.00 ± 55.15" and rows["ours, best validation"] == "79.70 ± 11.60"
    assert rows["best validation - paper"] == "+0.20" and rows["collapsed"] == "1"


def test_the_median_is_there_where_a_seed_collapsed(tiny):
    runs = [*with_result(tiny, RunConfig(dataset="mnist", grow="random"), [98.0, 10.0, 97.0]),
            *with_result(tiny, RunConfig(dataset="cifar10", grow="random"), [65.0, 66.0])]
    median = one(accuracy.table("table4", "paper", runs), model="MLP", method="random", number="median, last epoch")
    assert median["MNIST"] == "97.00" and median["CIFAR-10"] == accuracy.NOTHING
    assert "median, last epoch" not in set(accuracy.table("table4", "paper", runs[3:])["number"])


def test_one_seed_has_no_spread_and_differences_have_a_sign(tiny):
    runs = with_result(tiny, RunConfig(dataset="cifar10", **study.DENSE), [63.0])
    frame = accuracy.table("table3", "replay", runs)
    assert one(frame, model="MLP", number="ours, last epoch")["CIFAR-10"] == "63.00 (one seed)"
    assert one(frame, model="MLP", number="last epoch - paper")["CIFAR-10"] == "-0.51"


def test_methods_without_a_run_keep_the_papers_row_only(tiny):
    frame = accuracy.table("table4", "paper", with_result(tiny, RunConfig(dataset="cifar10", grow="random"), [65.0]))
    mlp = frame[frame["model"] == "MLP"]
    assert mlp.groupby("method")["number"].size().to_dict() == {"random": 7, "gradient": 1, "momentum": 1}
    ours = mlp[(mlp["method"] == "random") & (mlp["number"] != "paper")]
    assert (ours[["CIFAR-100", "MNIST", "Fashion-MNIST"]] == accuracy.NOTHING).all(axis=None)


def test_other_settings_never_enter_a_cell_of_the_paper(tiny):
    almost = RunConfig(dataset="cifar10", grow="random").but(epochs=299)
    static = RunConfig(dataset="cifar10", **study.STATIC)
    frame = accuracy.table("table4", "paper", with_result(tiny, almost, [68.0]) + with_result(tiny, static, [60.0]))
    assert list(frame["number"].iloc[:15]) == ["paper"] * 15
    own = frame.iloc[15:]
    assert list(own["method"]) == ["random"] * 4 + ["static"] * 4
    assert list(own["number"]) == [accuracy.OWN, "ours, best validation", "seeds", "collapsed"] * 2
    assert list(own["CIFAR-10"]) == ["68.00 (one seed)", "99.00 (one seed)", "1", "0",
                                     "60.00 (one seed)", "99.00 (one seed)", "1", "0"]


def test_a_rule_that_the_paper_does_not_have_gets_rows_of_its_own(tiny):
    config = RunConfig(dataset="cifar10", grow="l3")
    own = one(accuracy.table("table4", "paper", with_result(tiny, config, [64.0])), number=accuracy.OWN)
    assert own["CIFAR-10"] == "64.00 (one seed)"


def test_different_settings_of_the_same_name_are_not_averaged(tiny):
    config = tiny.config
    runs = with_result(tiny, config, [50.0]) + with_result(tiny, config.but(lr=0.05), [60.0])
    own = accuracy.table("table4", "quick", runs).iloc[15:]
    assert list(own.loc[own["number"] == "seeds"].iloc[:, -1]) == ["1", "1"]


def test_quick_rows_stand_in_a_column_of_their_own(tiny):
    frame = accuracy.table("table4", "quick", [tiny])
    own = frame.iloc[15:]
    assert (own["model"] == "MLP 784-20-10-10, 2 epochs").all()
    assert (own[list(frame.columns[3:7])] == accuracy.NOTHING).all(axis=None)
    assert (frame["Fashion-MNIST, 12,000 images"].iloc[:15] == accuracy.NOTHING).all()
    assert own["Fashion-MNIST, 12,000 images"].iloc[0] == f"{tiny.test_accuracy[-1]:.2f} (one seed)"


def test_reconstructed_cells_are_flagged_and_explained():
    frame = accuracy.table("table4", "paper", [])
    assert one(frame, model="VGG-16", method="gradient", number="paper")["MNIST"] == "99.51 ± 0.04 †"
    flagged = frame.map(lambda text: accuracy.RECONSTRUCTED in text).to_numpy().sum()
    assert flagged == 28
    assert accuracy.RECONSTRUCTED in accuracy.caption("table4", "paper", [])
    assert accuracy.RECONSTRUCTED not in accuracy.caption("table3", "paper", [])


def test_sparsities_of_table_7_stay_apart(tiny):
    config = RunConfig(dataset="cifar10", grow="random", sparsity=0.8)
    frame = accuracy.table("table7", "paper", with_result(tiny, config, [66.0, 67.0]))
    rows = frame[(frame["model"] == "MLP") & (frame["method"] == "random")]
    assert rows[rows["sparsity"] == "90 %"]["number"].tolist() == ["paper"]
    assert one(rows, sparsity="80 %", number="ours, last epoch")["CIFAR-10"] == "66.50 ± 0.71"


def test_table_8_has_its_networks_data_sets_and_switches():
    frame = accuracy.table("table8", "replay", [])
    assert list(dict.fromkeys(frame["model"])) == ["ConvNet", "MLP", "ResNet-56", "VGG-16"]
    assert list(frame["method"][:6]) == ["random → gradient", "random → momentum", "gradient → random",
                                         "gradient → momentum", "momentum → random", "momentum → gradient"]
    assert one(frame, model="MLP", method="gradient → random", number="paper")["Fashion-MNIST"] == "79.63 ± 3.53"


def test_a_switch_fills_its_own_cell_of_table_8(tiny):
    config = RunConfig(dataset="cifar10", grow="random>gradient")
    pure = RunConfig(dataset="cifar10", grow="random")
    frame = accuracy.table("table8", "paper", with_result(tiny, config, [68.0, 69.0]) + with_result(tiny, pure, [1.0]))
    assert one(frame, model="MLP", method="random → gradient", number="ours, last epoch")["CIFAR-10"] == "68.50 ± 0.71"
    assert one(frame, model="MLP", method="random → gradient", number="last epoch - paper")["CIFAR-10"] == "+0.22"
    assert frame[frame["method"] == "gradient → random"]["number"].tolist() == ["paper"] * 4
    assert one(frame, number=accuracy.OWN)["method"] == "random"


def test_quick_switches_stand_in_rows_of_their_own(tiny):
    frame = accuracy.table("table8", "quick", [replace(tiny, config=tiny.config.but(grow="momentum>random"))])
    row = one(frame, number=accuracy.OWN)
    assert row["method"] == "momentum → random" and row["Fashion-MNIST, 12,000 images"].endswith("(one seed)")


def test_styled_table_says_everything_in_html():
    html = accuracy.styled(accuracy.table("table3", "quick", []), "A caption.").to_html()
    assert "A caption." in html and "not in quick" not in html and "85.88 ± 0.36" in html and "nowrap" in html


# ------------------------------------------------------------------------------------------------------ its caption

def test_networks_without_runs_are_named_once_with_command_and_hours():
    said = accuracy.untrained("table4", "paper", [])
    assert said == ("ConvNet, MLP, ResNet-50, ResNet-56, VGG-16: not trained here. `python -m regrow run --profile "
                    "paper --only table4` trains the 300 of 300 runs that are missing; the whole table takes about "
                    "1,800 hours on one CPU core (docs/fullscale.md).")
    assert said in accuracy.caption("table4", "paper", [])
    assert "not trained in quick" in accuracy.caption("table3", "quick", [])
    assert "`python -m regrow run --profile paper --only table8`" in accuracy.caption("table8", "quick", [])


def test_a_network_with_some_runs_is_counted_and_a_full_table_needs_no_sentence(tiny):
    every = [replace(tiny, config=config) for config in study.runs("table3", "paper")]
    some = [record for record in every if (record.config.model, record.config.dataset) == ("mlp", "mnist")]
    said = accuracy.untrained("table3", "replay", some)
    assert said.startswith("ConvNet, ResNet-50, ResNet-56, VGG-16: not trained here; MLP: 5 of 20 runs are there.")
    assert "the 95 of 100 runs" in said and accuracy.untrained("table3", "paper", every) == ""
    assert "missing" not in accuracy.caption("table3", "paper", every)


def test_images_that_could_not_be_had_are_spoken_of_once(tiny):
    there = with_result(tiny, RunConfig(dataset="mnist", grow="random"), [98.0])
    said = "CIFAR-100: its images were not to be had where these runs were trained"
    assert accuracy.caption("table4", "replay", there).count(said) == 1
    cifar100 = with_result(tiny, RunConfig(dataset="cifar100", grow="random"), [30.0])
    for records in ([], [tiny], there + cifar100):
        assert said not in accuracy.caption("table4", "replay", records)


def test_the_hours_are_those_of_the_documentation():
    page = (REPOSITORY / "docs" / "fullscale.md").read_text()
    for need, hours in accuracy.HOURS.items():
        runs = len(study.runs(need, "paper"))
        assert f"| Table {need[-1]} | {runs} | {hours:,} |" in page


def test_caption_names_both_readings_and_warns_of_quick():
    assert "after the last epoch and after the epoch with the highest" in accuracy.caption("table3", "quick", [])
    assert "cannot be compared" in accuracy.caption("table4", "quick", [])
    assert "cannot be compared" not in accuracy.caption("table4", "paper", [])


def test_the_table_can_be_saved(tiny, tmp_path: Path):
    frame = accuracy.table("table4", "quick", [tiny])
    save_table(frame, "table4", out=tmp_path, profile="quick", caption=accuracy.caption("table4", "quick", [tiny]),
               records=[tiny])
    assert check_table(tmp_path, "table4") == []


# ------------------------------------------------------------------------------------------------------- ablations

def test_ablations_stand_beside_the_same_rule_and_seed_of_table_4(tiny):
    plain = RunConfig(dataset="cifar10", grow="random")
    black, other = plain.but(augment="crop_flip"), plain.but(grow="gradient")
    runs = {plain: 68.0, plain.but(augment="none"): 58.5, plain.but(seed=1): 70.0, black: 65.5,
            black.but(regrown_weight="keep"): 66.0, other.but(prune="set_legacy"): 60.0,
            other.but(augment="crop_flip", prune="set_legacy"): 45.0, plain.but(dataset="mnist"): 98.0}
    found = accuracy.ablation_table([replace(tiny, config=config, test_accuracy=np.array([70.0, last]),
                                     val_accuracy=np.array([60.0, 50.0])) for config, last in runs.items()])
    assert list(found["option"]) == [accuracy.PLAIN, "no augmentation", accuracy.BLACK,
                                     "black border, regrown weights kept", "SET pruning with the widespread bug",
                                     "black border, SET pruning with the bug"]
    assert list(found["rule"]) == ["random"] * 4 + ["gradient"] * 2
    assert one(found, option="no augmentation")[["test", "validation", "change"]].tolist() == [58.5, 50.0, -9.5]
    assert one(found, option=accuracy.BLACK)[["change", "ours - paper"]].tolist() == [-2.5, round(65.5 - 68.08, 2)]
    kept = one(found, option="black border, regrown weights kept")
    assert kept["change"] == 0.5  # from the black border, not from the mirrored one
    assert (found["test, best validation"] == 70.0).all()
    alone = one(found, option="SET pruning with the widespread bug")  # its plain run is not there
    assert np.isnan(alone["change"]) and alone["ours - paper"] == round(60.0 - 65.83, 2)
    assert "5 of 31 runs" in accuracy.ablation_caption(found)


def test_every_planned_ablation_has_its_row(tiny):
    planned = study.runs("ablations", "paper")
    found = accuracy.ablation_table([replace(tiny, config=config) for config in planned])
    assert len(found) == len(planned) == 31 and accuracy.ablation_table([]).empty
    assert list(found.columns) == list(accuracy.COLUMNS)
