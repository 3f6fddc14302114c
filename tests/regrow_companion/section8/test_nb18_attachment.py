"""The attachment kernel and the activation score against processes and networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from regrow import metrics
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet
from regrow_companion.section8 import nb18_attachment as attachment
from regrow_companion.section8 import nb18_dormancy as dormancy
from regrow_companion.section8 import nb19_exploration as exploration
from regrow_companion.section8 import watched
from regrow_companion.section8.watched import COUNTS, Watched

NEURONS, PLACES, UPDATES = 300, 200, 40


def process(beta: float, gamma: float, rate: float = 0.02, seed: int = 0) -> dict[str, np.ndarray]:
    """A layer whose growth weighs each free place by k^beta and whose pruning weighs each connection by k^gamma.

    Places are matrix entries drawn one by one without replacement (the largest Gumbel keys), k is the degree before
    the update; nothing is shared with the code under test.
    """
    chance = np.random.default_rng(seed)
    mask = chance.random((NEURONS, PLACES)) < np.geomspace(0.02, 0.5, NEURONS)[:, None]
    counts: dict[str, list[np.ndarray]] = {name: [] for name in COUNTS}
    young = np.zeros_like(mask)

    def drawn(among: np.ndarray, log_weight: np.ndarray, n: int) -> np.ndarray:
        keys = np.where(among, log_weight[:, None] + chance.gumbel(size=mask.shape), -np.inf)
        chosen = np.zeros(mask.size, bool)
        chosen[np.argsort(keys, axis=None)[-n:]] = True
        return chosen.reshape(mask.shape)

    for _ in range(UPDATES):
        log_k = np.log(np.maximum(mask.sum(1), 0.5))
        gone = drawn(mask, gamma * log_k, round(rate * mask.sum()))
        kept = mask & ~gone
        grown = drawn(~kept, beta * log_k, int(gone.sum()))
        for name, part in zip(COUNTS, (mask, kept, grown, gone & grown, young, young & gone), strict=True):
            counts[name].append(part.sum(1).astype(np.int16))
        mask, young = kept | grown, grown
    return {name: np.stack(rows) for name, rows in counts.items()}


def observation(of: dict[str, np.ndarray]) -> Watched:
    config = RunConfig(hidden=(NEURONS, 5), train_limit=256, epochs=UPDATES)
    return Watched(config=config, steps_per_epoch=10, steps=10 * np.arange(1, UPDATES + 1),
                       prune_rates=np.full(UPDATES, 0.1), counts={f"fc1/in/{name}": rows for name, rows in of.items()},
                       moment_steps=np.array([0]), neurons={},
                       shapes={"fc1": (NEURONS, PLACES), "fc2": (5, NEURONS), "fc3": (10, 5)})


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5])
def test_a_known_kernel_is_recovered(beta: float) -> None:
    frame = attachment.exponents(observation(process(beta, gamma=0.0)))
    attach = attachment.pooled(frame.assign(seed=0), "attachment", "attachment_information", draws=300)
    assert abs(attach.value - beta) < 0.06 and attach.low - 0.03 < beta < attach.high + 0.03
    prune = attachment.pooled(frame.assign(seed=0), "pruning", "pruning_information", draws=300)
    assert abs(prune.value) < 0.06


@pytest.mark.parametrize("gamma", [-1.0, 0.4])
def test_a_known_pruning_is_recovered(gamma: float) -> None:
    frame = attachment.exponents(observation(process(0.0, gamma))).assign(seed=0)
    assert abs(attachment.pooled(frame, "pruning", "pruning_information", draws=50).value - gamma) < 0.06


def test_survival_by_degree_makes_lasting_attachment_preferential() -> None:
    frame = attachment.exponents(observation(process(0.0, gamma=-1.0, rate=0.5))).assign(seed=0)
    attach, lasting = (attachment.pooled(frame, kind, f"{kind}_information", draws=50).value
                       for kind in ("attachment", "lasting"))
    assert abs(attach) < 0.06 and lasting > 0.1


def test_information_is_one_over_the_variance() -> None:
    chance, k = np.random.default_rng(0), np.arange(1, 101)
    found = [attachment.exponent(chance.multinomial(500, k / k.sum()), np.ones(100), k) for _ in range(400)]
    values = np.array([each.value for each in found])
    assert abs(values.mean() - 1) < 4 * values.std() / 20
    assert np.isclose(values.std(), np.mean([each.information for each in found]) ** -0.5, rtol=0.15)


def test_nothing_is_made_up_where_degrees_say_nothing() -> None:
    for events, degree in ((np.zeros(4), np.arange(4)), (np.ones(4), np.full(4, 7)), (np.array([9, 0]), [0, 5])):
        found = attachment.exponent(events, np.ones(len(degree)), degree)
        assert np.isnan(found.value) and found.information == 0
    separated = attachment.exponent([0, 0, 8], np.ones(3), [1, 2, 3])  # the likelihood has no maximum
    assert np.isnan(separated.value)


def test_chance_is_hypergeometric() -> None:
    kept, grown = np.array([[5, 0, 18, 20]]), np.array([[0, 6, 4, 0]])
    drawn = stats.multivariate_hypergeom([15, 20, 2, 0], 10)  # 10 of 37 free places
    expected = attachment.expected_growth(kept, grown, places=20)
    assert np.allclose(expected, drawn.mean())
    lost = attachment.expected_loss([[4, 0, 6]], [[5, 0, 0]])
    assert np.allclose(lost, [[stats.hypergeom(10, k, 5).mean() if k else 0 for k in (4, 0, 6)]])  # 5 of 10 connections
    assert not attachment.expected_loss(np.zeros((1, 3)), np.zeros((1, 3))).any()


def test_the_kernel_adds_up_and_shows_the_exponent() -> None:
    of = process(1.0, 0.0)
    table = attachment.kernel(observation(of))
    assert table["attachment"].sum() == of["grown"].sum()
    assert np.isclose(table["attachment_chance"].sum(), of["grown"].sum())
    assert table["pruning"].sum() == (of["degree"] - of["kept"]).sum()
    assert table["neurons"].sum() == NEURONS * UPDATES and table["degree"].sum() == of["degree"].sum()
    late = table[(table["phase"] == "late") & (table["attachment"] > 50)]
    ratio = late["attachment"] / late["attachment_chance"]
    slope = np.polyfit(np.log(late["degree"] / late["neurons"]), np.log(ratio), 1, w=np.sqrt(late["attachment"]))[0]
    assert abs(slope - 1) < 0.1


@given(st.integers(2, 400))
def test_phases_cover_every_update_once(updates: int) -> None:
    phases = attachment.phase_updates(updates)
    assert list(phases) == list(attachment.PHASES)
    assert sorted(np.concatenate(list(phases.values()))) == list(range(updates))


def test_an_interval_has_the_width_of_the_scatter() -> None:
    chance = np.random.default_rng(1)
    covered = []
    for _ in range(60):
        frame = pd.DataFrame({"seed": np.repeat(range(5), 80), "step": np.tile(range(80), 5), "w": 1.0})
        frame["v"] = 2 + chance.normal(0, 0.3, 5)[frame["seed"]] + chance.normal(0, 1, 400)
        found = attachment.pooled(frame, "v", "w", draws=200)
        assert found.seeds == 5 and np.isclose(found.value, frame["v"].mean())
        covered.append(found.low < 2 < found.high)
    assert 0.75 < np.mean(covered) <= 1  # five seeds: a percentile bootstrap covers less than its 95 %
    nothing = attachment.pooled(frame.assign(v=np.nan), "v", "w", draws=10)
    assert np.isnan(nothing.value) and nothing.seeds == 0


def hand_made() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor], Dataset]:
    """Two inputs, hidden 3 and 1, two classes. Neuron 0 is off, neuron 1 constant (no inputs), neuron 2 fires."""
    weights = {"fc1": torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 0.0]]), "fc2": torch.tensor([[0.0, 1.0, 1.0]]),
               "fc3": torch.tensor([[1.0], [-1.0]])}
    biases = {"fc1": torch.tensor([0.0, 3.0, 0.0]), "fc2": torch.zeros(1), "fc3": torch.zeros(2)}
    images = torch.tensor([[0, 0], [255, 0]], dtype=torch.uint8).reshape(2, 1, 1, 2)
    both = ImageSet(images, torch.tensor([0, 1]))
    return weights, biases, {name: weight != 0 for name, weight in weights.items()}, Dataset(
        name="", train=both, validation=both, test=both, classes=2, class_names=("a", "b"), mean=(0.0,), std=(1.0,),
        image_shape=(1, 1, 2), sha256="")


def test_activation_by_hand() -> None:
    found = watched.measure(*hand_made(), images=2)  # pixels become 0 and 1
    assert found["fc1/activation"].tolist() == [0, 3, 0.5] and found["fc1/spread"].tolist() == [0, 0, 0.5]
    assert found["fc1/in_degree"].tolist() == [2, 0, 1] and found["fc1/out_degree"].tolist() == [0, 1, 1]
    assert np.allclose(watched.scores(found["fc1/activation"]), [0, 3 / 3.5 * 3, 0.5 / 3.5 * 3])
    assert not watched.scores(np.zeros(3)).any()
    # dE/dh2 = mean of (softmax - label) @ (1, -1); h2 = 3 and 4, logits (h2, -h2).
    p = 1 / (1 + np.exp(-2 * np.array([3.0, 4.0])))  # of class 0
    slope = np.array([2 * (p[0] - 1), 2 * p[1]]) / 2
    per_place = np.array([0.0, slope[1]])  # neuron 2 sees pixel values (0, 0) and (1, 0)
    assert np.allclose(found["fc1/gradient"][2], np.sqrt((per_place[1] ** 2 + 0) / 2))
    assert np.allclose(found["fc1/update"], [0, 0, abs(slope[1])])


def test_counts_and_correlations_of_a_moment() -> None:
    every = pd.DataFrame({"step": 5, "epoch": 1.0, "layer": "fc1", "nodes": "hidden 1", "neuron": range(4),
                          "in_degree": [0, 3, 5, 9], "degree": [1, 4, 6, 12], "score": [0, 0.05, 2, 1.95],
                          "spread": [0, 0.1, 0.2, 0.1], "gradient": [4.0, 3, 2, 1], "update": [0.0, 1, 2, 3],
                          "grown": [0.0, 1, 2, 3], "lost": [0.0, 1, 1, 1]})
    row = dormancy.moments(every, metrics.Thresholds(low=4, high=6, mean_degree=1.0)).iloc[0]
    assert (row["low"], row["high"], row["constant"]) == (2, 3, 1)
    assert (row["score_0"], row["score_0.025"], row["score_0.1"], row["both_0.1"]) == (1, 1, 2, 2)
    assert (row["degree_gradient"], row["degree_update"], row["grown_in_degree"]) == (-1, 1, 1)
    assert np.isclose(row["grown_score"], stats.spearmanr([0, 1, 2, 3], every["score"]).statistic)
    assert np.isnan(row["grown_score_given_in_degree"])  # in-degree decides all
    assert np.isnan(dormancy.spearman([1, 1], [1, 2]))


def test_partial_correlation_is_that_of_residuals() -> None:
    chance = np.random.default_rng(0)
    c = chance.normal(size=500)
    a, b = c + chance.normal(size=500), c - 0.3 * chance.normal(size=500)
    rest = [values - np.polyval(np.polyfit(c, values, 1), c) for values in (a, b)]
    r = np.corrcoef([a, b, c])
    assert np.isclose(dormancy.partial(r[0, 1], r[0, 2], r[1, 2]), np.corrcoef(rest)[0, 1])


def test_random_growth_explores_what_chance_says() -> None:
    chance, n, places, rates = np.random.default_rng(0), 400, 4000, np.linspace(0.5, 0, 30)
    shares = []
    for _ in range(20):
        mask = np.zeros(places, bool)
        mask[:n] = True
        tried = mask.copy()
        series = [tried.mean()]
        for rate in rates:
            pruned = chance.choice(np.flatnonzero(mask), round(rate * n), replace=False)
            mask[pruned] = False
            mask[chance.choice(np.flatnonzero(~mask), len(pruned), replace=False)] = True
            tried |= mask
            series.append(tried.mean())
        shares.append(series)
    expected = exploration.by_chance(n, places, rates)
    assert np.isclose(expected[0], 0.1) and np.allclose(np.mean(shares, axis=0), expected, atol=0.005)
    assert exploration.by_chance(10, 10, [0.5]).tolist() == [1, 1]  # a dense layer


def test_rank_correlation_and_its_interval() -> None:
    x = np.arange(40.0)
    rho, low, high = exploration.rank_correlation(x, x + np.random.default_rng(0).normal(0, 10, 40), draws=300)
    assert low < rho < high and rho > 0.5 and low > 0


def test_only_runs_of_one_experiment_are_compared() -> None:
    like = RunConfig(dataset="cifar10", grow="random")
    configs = [like, like.but(seed=3), like.but(grow="momentum", augment="flip"), like.but(prune="none", grow="none"),
               like.but(prune="set"), like.but(sparsity=0.9), like.but(update_order="instead_of_step"), like,
               like.but(sparsity=0.0, prune="none", grow="none")]
    records = [SimpleNamespace(config=config, key=config.key) for config in configs]
    assert exploration.comparable(records, like) == [records[7], *records[1:4]]


# ---- small cases by hand


def few(**counts: list[list[int]]) -> dict[str, np.ndarray]:
    """The six counts of three neurons at some updates; what is not given is 0."""
    rows = len(next(iter(counts.values())))
    return {name: np.array(counts.get(name, np.zeros((rows, 3), int)), np.int16) for name in COUNTS}


def test_what_lasts_is_known_at_the_next_update() -> None:
    of = few(degree=[[5, 3, 2], [6, 3, 1], [4, 4, 2]], kept=[[4, 2, 2], [3, 3, 1], [4, 3, 0]],
             grown=[[2, 1, 0], [1, 1, 1], [0, 1, 2]], young=[[0, 0, 0], [2, 1, 0], [1, 1, 1]],
             young_lost=[[0, 0, 0], [1, 0, 0], [0, 1, 1]])
    found = attachment.outcomes(of, 10)
    events, chance = found["lasting"]
    assert events.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    # 2 of 3 grown connections last, then 1 of 3; at first 6, 8 and 8 places are free, then 7, 7 and 9.
    assert np.allclose(chance, [[2 * 6 / 22, 2 * 8 / 22, 2 * 8 / 22], [7 / 23, 7 / 23, 9 / 23], [0, 0, 0]])
    assert found["pruning"][0].tolist() == [[1, 1, 0], [3, 0, 0], [0, 1, 2]]
    assert np.allclose(found["pruning"][1], [[1, 0.6, 0.4], [1.8, 0.9, 0.3], [1.2, 1.2, 0.6]])
    assert found["infancy"][0].tolist() == of["young_lost"].tolist()
    assert np.allclose(found["infancy"][1], [[0, 0, 0], [2 / 3, 1 / 3, 0], [2 / 3, 2 / 3, 2 / 3]])
    assert found["settled"][0].tolist() == [[1, 1, 0], [2, 0, 0], [0, 0, 1]]
    assert np.allclose(found["settled"][1], [[1, 0.6, 0.4], [2 * 4 / 7, 2 * 2 / 7, 2 * 1 / 7], [3 / 7, 3 / 7, 1 / 7]])


@pytest.mark.parametrize(("side", "places"), [("in", 20), ("out", 3)])
def test_places_are_those_of_the_other_side(side: str, places: int) -> None:
    """A layer of 3 neurons over 20: a neuron has 20 places below it, an input has 3 above it."""
    of = few(degree=[[1, 1, 2]], kept=[[1, 0, 2]], grown=[[1, 2, 0]])
    seen = Watched(config=RunConfig(hidden=(3, 5)), steps_per_epoch=10, steps=np.array([10]), prune_rates=np.ones(1),
                   counts={f"fc1/{side}/{name}": rows for name, rows in of.items()}, moment_steps=np.array([0]),
                   neurons={}, shapes={"fc1": (3, 20), "fc2": (5, 3), "fc3": (10, 5)})
    free = np.array([places - 1, places, places - 2]) * 3 / (3 * places - 3)
    table = attachment.kernel(seen)
    assert table["low"].tolist() == [1, 2] and table["nodes"].eq("hidden 1" if side == "in" else "input").all()
    assert np.allclose(table["attachment_chance"], [free[0] + free[1], free[2]])
    assert table["attachment"].tolist() == [3, 0] and table["neurons"].tolist() == [2, 1]
    row = attachment.exponents(seen).iloc[0]
    assert (row["step"], row["epoch"], row["grown"]) == (10, 1, 3)
    lost = few(degree=[[1, 2, 2]], kept=[[1, 1, 1]], grown=[[1, 1, 0]])
    other = replace(seen, counts={f"fc1/{side}/{name}": rows for name, rows in lost.items()})
    expected = attachment.exponent([1, 1, 0], attachment.expected_growth([1, 1, 1], [1, 1, 0], places), [1, 2, 2])
    assert attachment.exponents(other)["attachment"].iloc[0] == pytest.approx(expected.value)


def test_errors_of_a_ratio_by_hand() -> None:
    assert attachment.ratio_error([1, 2, 3], [1, 1, 1]) == pytest.approx(np.sqrt(3))  # 2 from the mean, times 3 / 2
    assert attachment.ratio_error([1, 2, 3, 0], [2, 2, 2, 0]) == pytest.approx(np.sqrt(3))  # a fourth that cannot be
    assert attachment.ratio_error([4], [9]) == 2
    assert attachment.ratio_error([2, 4], [1, 2]) == 0


def test_neurons_are_told_with_the_update_that_follows() -> None:
    """Three neurons above four inputs, at the start and before the updates at steps 10 and 20."""
    first = few(degree=[[3, 2, 4], [4, 1, 2]], kept=[[1, 2, 3], [4, 0, 1]], grown=[[4, 0, 3], [0, 5, 1]])
    sent = few(degree=[[9, 9, 9]] * 2, kept=[[8, 7, 6]] * 2, grown=[[9, 8, 7]] * 2)
    second = {name: rows[:, :1] for name, rows in few(degree=[[1, 0, 0]] * 2).items()}
    measures = {"activation": [[1, 2, 3], [0, 2, 4], [1, 1, 1]], "spread": [[1, 1, 4], [2, 2, 2], [0, 1, 2]],
                "gradient": [[1, 2, 3]] * 3, "update": [[4, 5, 6]] * 3,
                "in_degree": [[3, 2, 4], [3, 2, 4], [4, 1, 2]], "out_degree": [[1, 0, 1], [1, 1, 0], [0, 1, 1]]}
    parts = {"fc1/in": first, "fc1/out": sent, "fc2/in": second}
    seen = Watched(config=RunConfig(hidden=(3, 1)), steps_per_epoch=5, steps=np.array([10, 20]),
                   prune_rates=np.ones(2), moment_steps=np.array([0, 10, 20]),
                   counts={f"{part}/{name}": rows for part, of in parts.items() for name, rows in of.items()},
                   neurons={f"fc1/{name}": np.array(rows, np.float32) for name, rows in measures.items()}
                   | {f"fc2/{name}": np.ones((3, 1), np.float32) for name in measures},
                   shapes={"fc1": (3, 4), "fc2": (1, 3), "fc3": (2, 1)})
    found = dormancy.neurons(seen)
    one = {step: group for step, group in found[found["layer"] == "fc1"].groupby("step")}
    assert one[0][["grown", "lost"]].isna().all(axis=None)  # no update follows
    assert one[10]["grown"].tolist() == [4, 0, 3] and one[10]["lost"].tolist() == [2, 0, 1]
    assert one[20]["grown"].tolist() == [0, 5, 1] and one[20]["lost"].tolist() == [0, 1, 1]
    assert one[10]["degree"].tolist() == [4, 3, 4] and one[20]["in_degree"].tolist() == [4, 1, 2]
    assert one[10]["score"].tolist() == [0, 1, 2] and one[0]["spread"].tolist() == [0.5, 0.5, 2]
    assert one[10]["epoch"].eq(2).all() and one[10]["nodes"].eq("hidden 1").all()
    assert one[10]["gradient"].tolist() == [1, 2, 3] and one[10]["update"].tolist() == [4, 5, 6]


def test_neurons_are_shown_at_a_quarter_and_at_the_end() -> None:
    every = pd.DataFrame({"step": np.repeat([0, 20, 40, 60, 100], 2), "neuron": [0, 1] * 5})
    assert dormancy.shown(every)["step"].tolist() == [20, 20, 100, 100]


def ran(**changes: object) -> SimpleNamespace:
    """What `explored` reads of a run: two layers of 100 and 50 places, 20 and 50 connections, two updates."""
    said = {"key": "k", "config": RunConfig(hidden=(9, 5), seed=3), "shapes": {"fc1": (5, 20), "fc2": (10, 5)},
            "connections": {"fc1": 20, "fc2": 50}, "steps": np.array([0, 4, 8]), "epochs_at": np.array([0.0, 1, 2]),
            "explored": {"fc1": np.array([20, 40, 55]), "fc2": np.array([50, 50, 50])},
            "prune_rates": np.array([np.nan, 0.5, 0.1]), "val_accuracy": np.array([7.0, 8]),
            "test_accuracy": np.array([1.0, 2])}
    return SimpleNamespace(**said | changes)


def test_exploration_of_a_run_by_hand() -> None:
    table = exploration.explored([ran()])
    assert table["percent"].tolist() == pytest.approx([70 / 1.5, 90 / 1.5, 105 / 1.5])
    # Ten grow on 90 free places, then two on 82: of 80 untried ones 80 * 8 / 9 and of those 40 in 41 stay so.
    untried = np.array([80, 80 * 8 / 9, 80 * 8 / 9 * 40 / 41])
    assert table["chance"].to_numpy() == pytest.approx((150 - untried) / 1.5)
    assert table["accuracy"].eq(8).all() and table["seed"].eq(3).all() and table["epoch"].tolist() == [0, 1, 2]
    static = ran(config=RunConfig(hidden=(9, 5), prune="none", grow="none"))
    ends = ran(steps=np.array([0, 8]), epochs_at=np.array([0.0, 2]), prune_rates=np.array([np.nan, 0.1]),
               explored={"fc1": np.array([20, 55]), "fc2": np.array([50, 50])})
    for run in (static, ends):  # of a record of both ends nobody knows how often it was rewired
        assert exploration.explored([run])["chance"].isna().all()


def test_activity_is_measured_on_validation_images_and_gradients_on_training_images() -> None:
    weights, biases, masks, dataset = hand_made()
    other = ImageSet(dataset.train.images // 5, dataset.train.labels)
    plain = watched.measure(weights, biases, masks, dataset, images=2)
    for part, changed in (("train", {"gradient"}), ("validation", {"activation"}), ("test", set())):
        found = watched.measure(weights, biases, masks, replace(dataset, **{part: other}), images=2)
        differ = {name for name in ("activation", "gradient")
                  if not np.array_equal(found[f"fc1/{name}"], plain[f"fc1/{name}"])}
        assert differ == changed, part
