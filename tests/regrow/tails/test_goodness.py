"""p-values: calibrated under the null, as large as igraph's, reproducible, and worthless without refitting."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from scipy import stats

from regrow.errors import ConfigError, DataError
from regrow.tails.fit import TailFit, fit_tail, fit_tails, select_xmin
from regrow.tails.goodness import NULLS, RULES, goodness_of_fit, sample


def null_p(count: int, alpha: float, n: int, xmax: int | None, null: str = "tail", n_sets: int = 400) -> np.ndarray:
    rng, ps = np.random.default_rng(11), []
    for i in range(count):
        x = np.concatenate([sample(alpha, 110, n, rng, xmax), rng.integers(0, 110, n)])
        ps.append(goodness_of_fit(x, fit_tail(x, 110, xmax), n_sets, null, ("calibration", i)).p)
    return np.array(ps)


@pytest.mark.parametrize(("alpha", "n", "xmax", "null"), [(2.5, 400, None, "tail"), (3.4, 700, None, "tail"),
                                                          (2.2, 400, 1034, "tail"), (2.5, 400, None, "semi")])
def test_p_is_uniform_if_the_law_is_true(alpha: float, n: int, xmax: int | None, null: str) -> None:
    """So the usual rule rejects a tenth of true power laws, and the paper's 95 %."""
    p = null_p(300, alpha, n, xmax, null)
    assert 0.05 <= np.mean(p < RULES["usual"]) <= 0.16
    assert 0.91 <= np.mean(p < RULES["paper"]) <= 0.98
    assert p.mean() == pytest.approx(0.5, abs=0.06)


def test_another_law_is_rejected() -> None:
    x = np.random.default_rng(0).poisson(126, 1000)
    tested = goodness_of_fit(x, fit_tail(x), 500)
    assert tested.p == 0 and 0 < tested.p_error < 0.005
    assert not tested.verdict_usual and not tested.verdict_paper
    assert tested.D_sqrt_n == tested.D * np.sqrt(tested.n_tail) > 2


def test_p_rises_merely_because_the_tail_gets_shorter() -> None:
    """One log-normal tail, at two sizes: surely no power law with 1,200 values, often enough one with 75."""
    x = np.exp(np.random.default_rng(1).normal(4.0, 1.0, 40_000)).astype(int)
    x = x[x >= 110]
    medians = []
    for n in (1200, 75):
        parts = x[:7 * n].reshape(7, n)
        medians.append(np.median([goodness_of_fit(part, fit_tail(part), 200, key=i).p for i, part in enumerate(parts)]))
    assert medians[0] == 0 and medians[1] > 0.05


def test_without_refitting_p_would_be_too_large() -> None:
    """Eq. 20 refits every synthetic set; measured against the law they were drawn from, they lie farther away."""
    x = sample(2.5, 110, 400, np.random.default_rng(2))
    fit = fit_tail(x)
    refitted = goodness_of_fit(x, fit, 300).distances
    rng, unfitted = np.random.default_rng(3), []
    for _ in range(300):
        k, seen = np.unique(sample(fit.alpha, 110, 400, rng), return_counts=True)
        unfitted.append(np.abs(np.cumsum(seen) / 400 - (1 - fit.survival(k + 1))).max())
    assert np.mean(unfitted) > 1.15 * refitted.mean()


def test_p_of_a_chosen_xmin_is_igraphs() -> None:
    """igraph chooses xmin anew for every synthetic set, so it is the oracle for null="reselect"."""
    igraph = pytest.importorskip("igraph")
    x = np.array([d for _, d in nx.barabasi_albert_graph(300, 3, seed=5).degree()])
    tested = goodness_of_fit(x, select_xmin(x)[0], 4000, "reselect")
    theirs = igraph.power_law_fit(x.tolist(), p_precision=0.02).p  # of 625 sets
    spread = np.sqrt(theirs * (1 - theirs) / 625)
    assert abs(tested.p - theirs) < 3.5 * np.hypot(tested.p_error, spread)
    assert select_xmin(x)[0].D_observed == tested.D and np.unique(tested.xmins).size > 3


def test_the_synthetic_sets_scatter_as_the_fit_says() -> None:
    x = sample(2.5, 110, 500, np.random.default_rng(4))
    fit = fit_tail(x)
    for null in ("tail", "semi"):
        tested = goodness_of_fit(x, fit, 2000, null)
        assert tested.alphas.mean() == pytest.approx(fit.alpha, abs=4 * fit.sigma / np.sqrt(2000) + 0.01)
        assert tested.alphas.std() == pytest.approx(fit.sigma, rel=0.1)
        assert (tested.xmins == 110).all() and tested.n_sets == 2000


def test_the_same_key_gives_the_same_p_whatever_the_chunks(monkeypatch) -> None:
    x = np.concatenate([sample(2.5, 40, 200, np.random.default_rng(5)), np.arange(40)])
    fit = select_xmin(x)[0]
    for null in NULLS:
        first = goodness_of_fit(x, fit, 300, null, ("a1b2", "fc1", 7))
        monkeypatch.setattr("regrow.tails.goodness.CHUNK", 1000)
        again = goodness_of_fit(x, fit, 300, null, ("a1b2", "fc1", 7))
        monkeypatch.undo()
        assert np.array_equal(first.distances, again.distances) and first.p == again.p
        assert not np.array_equal(first.distances, goodness_of_fit(x, fit, 300, null, ("a1b2", "fc1", 8)).distances)


def test_verdicts_name_their_false_rejection_rates() -> None:
    x = sample(2.5, 110, 400, np.random.default_rng(6))
    tested = goodness_of_fit(x, fit_tail(x), 400)
    usual, paper = tested.verdicts
    assert "10 %" in usual and "95 %" in paper
    assert tested.verdict_usual == usual.startswith("not") and tested.verdict_paper == paper.startswith("not")
    assert tested.p == np.mean(tested.distances > tested.D), "Eq. 20"


def test_work_does_not_grow_with_the_values() -> None:
    """Two thousand values of any size, xmin chosen anew in every set, once took all memory and never ended."""
    for scale in (50_000, 10**9, 10**12):
        x = np.floor(scale * (1 - np.random.default_rng(2).random(2000)) ** (-1 / 1.3))
        x = x[x <= 2**53].astype(np.int64)
        chosen = goodness_of_fit(x, fit_tail(x, None), 200, "reselect")
        goodness_of_fit(x, fit_tail(x, scale), 200)
        assert chosen.xmins.min() >= scale, scale


def test_a_fit_of_other_data_is_not_tested() -> None:
    x, other = (sample(2.5, 110, 300, np.random.default_rng(seed)) for seed in (8, 9))
    x, fit = np.append(x, [3, 0]), fit_tail(np.append(x, [3, 0]))
    shuffled = np.random.default_rng(0).permutation(x)
    rebuilt = TailFit(**{name: getattr(fit, name) for name in TailFit.__dataclass_fields__})
    assert goodness_of_fit(shuffled, rebuilt, 50).p == goodness_of_fit(x, fit, 50).p
    assert goodness_of_fit(x, fit_tails([x, x])[1], 50).p == goodness_of_fit(x, fit, 50).p
    one_more = x.copy()
    one_more[0] += 1
    for wrong in (np.append(other, [3, 0]), one_more, np.append(x[:-1], 110)):
        with pytest.raises(DataError, match="The fit is of 302 other values"):
            goodness_of_fit(wrong, fit, 50)
    for no_fit in (select_xmin(x), None, 2.5):
        with pytest.raises(ConfigError, match="fit must be a TailFit"):
            goodness_of_fit(x, no_fit, 50)


@pytest.mark.parametrize(("options", "said"), [
    ({"n_sets": "many"}, "n_sets must be a whole number, not 'many'"), ({"n_sets": 2.5}, "not 2.5"),
    ({"n_sets": None}, "not None"), ({"null": None}, "no null None"), ({"null": ["tail"]}, "no null"),
    ({"key": None}, "key must be .* not None"), ({"key": [1, 2]}, "not a list"), ({"key": (1, object())}, "not a obj"),
])
def test_arguments_of_another_kind(options: dict, said: str) -> None:
    x = sample(2.5, 110, 100, np.random.default_rng(7))
    with pytest.raises(ConfigError, match=said):
        goodness_of_fit(x, fit_tail(x), **options)


def test_it_tells_how_far_it_is(monkeypatch) -> None:
    x, told = sample(2.5, 110, 100, np.random.default_rng(7)), []
    monkeypatch.setattr("regrow.tails.goodness.CHUNK", 1000)
    goodness_of_fit(x, fit_tail(x), 25, tell=told.append)
    assert told == [10, 20, 25]


def test_what_cannot_be_tested_is_refused() -> None:
    x = sample(2.5, 110, 100, np.random.default_rng(7))
    fit = fit_tail(x)
    with pytest.raises(DataError, match="All 30 values of the tail are equal"):
        goodness_of_fit([110] * 30, fit_tail([110] * 30))
    with pytest.raises(DataError, match="fit is of 100 values, but 99"):
        goodness_of_fit(x[1:], fit)
    with pytest.raises(ConfigError, match="no null 'tial'"):
        goodness_of_fit(x, fit, null="tial")
    with pytest.raises(ConfigError, match="1 synthetic set or more"):
        goodness_of_fit(x, fit, 0)
    with pytest.raises(ConfigError, match="select_xmin chooses"):
        goodness_of_fit(x, fit_tail(x, int(np.sort(x)[-5])), null="reselect")


def test_semi_lets_the_size_of_the_tail_vary() -> None:
    """Three of 300 values are in the tail, so that in every twentieth set none is: 0.99 ** 300 = 4.9 %."""
    x = np.array([1] * 297 + [110, 200, 500])
    empty = {null: np.isnan(goodness_of_fit(x, fit_tail(x), 2000, null).alphas).mean() for null in ("tail", "semi")}
    assert empty["tail"] == 0 and 0.03 < empty["semi"] < 0.07


@pytest.mark.parametrize(("x", "xmin"), [([2, 2, 3], 2), ([1, 1, 2], 1)])
def test_sets_as_far_as_the_data_are_not_farther(x: list[int], xmin: int) -> None:
    """A quarter of the sets are the very data again."""
    check_ties(x, fit_tail(x, xmin))


def test_a_tie_is_one_with_an_upper_end_too() -> None:
    """Of [3, 3, 4, 5] up to 6: there the sets that equal the data come out farther by rounding."""
    check_ties([3, 3, 4, 5], fit_tail([3, 3, 4, 5], 3, 6), 0.05)


def check_ties(x: list[int], fit: TailFit, least: float = 0.15) -> None:
    tested = goodness_of_fit(x, fit, 2000)
    assert np.isclose(tested.distances, tested.D, rtol=1e-9).mean() > least
    assert tested.p == np.mean(tested.distances > tested.D * (1 + 1e-9))


def test_verdicts_at_the_edge() -> None:
    x = sample(2.5, 110, 100, np.random.default_rng(6))
    tested = goodness_of_fit(x, fit_tail(x), 50)
    edges = {p: replace(tested, p=p) for p in (0.1, 0.10001, 0.94999, 0.95)}
    assert [found.verdict_usual for found in edges.values()] == [False, True, True, True]
    assert [found.verdict_paper for found in edges.values()] == [False, False, False, True]


def test_reselected_sets_are_those_of_the_description() -> None:
    """Tail from the law, all else from the values outside the tail on either side of it, xmin anew; one by one."""
    rng = np.random.default_rng(8)
    x = np.concatenate([sample(2.5, 10, 200, rng, 60), [5] * 4 + [6] * 3 + [7] * 2 + [8, 9], [900] * 300])
    fit = select_xmin(x, 60)[0]
    assert (fit.xmin, fit.n_tail) == (10, 200)
    tested, found = goodness_of_fit(x, fit, 1000, "reselect"), []
    for _ in range(400):
        size = rng.binomial(fit.n, fit.n_tail / fit.n)
        rest = rng.choice(x[(x < 10) | (x > 60)], fit.n - size)
        again = select_xmin(np.append(sample(fit.alpha, 10, size, rng, 60), rest), 60)[0]
        found.append((again.D_observed, again.xmin))
    for ours, theirs in zip((tested.distances, tested.xmins), zip(*found, strict=True), strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > 0.02
