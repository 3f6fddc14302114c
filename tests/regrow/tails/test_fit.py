"""Fits against igraph (plfit), powerlaw and brute force; every wrong input is one sentence."""

from __future__ import annotations

import warnings
from decimal import Decimal
from fractions import Fraction

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from regrow.errors import ConfigError, DataError, RegrowError
from regrow.tails.fit import PAPER_XMIN, TailFit, fit_tail, fit_tails, select_xmin
from regrow.tails.goodness import matched_p, sample, sampler

RNG_SETS = 20


def random_set(seed: int) -> tuple[np.ndarray, int]:
    """A power-law tail on a body, or a wide log-normal: alpha, xmin and size differ from seed to seed.

    Nothing steep: plfit ends its search early enough for alpha = 5 and forty values to be wrong by 1e-5.
    """
    rng = np.random.default_rng(seed)
    xmin, n = int(rng.integers(1, 60)), int(rng.integers(400, 1500))
    if seed % 4 == 3:
        return np.exp(rng.normal(3, 1.5, n)).astype(int) + 1, xmin
    tail = sample(rng.uniform(1.7, 3.3), xmin, n, rng)
    return np.concatenate([tail[tail < 10**7], rng.integers(1, xmin + 5, n // 2)]), xmin


def degree_sequences() -> dict[str, np.ndarray]:
    graphs = {"barabasi_albert": nx.barabasi_albert_graph(2000, 3, seed=1), "les_miserables": nx.les_miserables_graph(),
              "powerlaw_cluster": nx.powerlaw_cluster_graph(1500, 4, 0.3, seed=2)}
    return {name: np.array([d for _, d in graph.degree()]) for name, graph in graphs.items()}


def brute_D(x: np.ndarray, fit: TailFit) -> float:
    """Eq. 19 literally: both distribution functions at every integer from xmin to far beyond the data."""
    tail = np.sort(x[(x >= fit.xmin) & (x <= (fit.xmax or x.max()))])
    ks = np.arange(fit.xmin, (fit.xmax or 3 * int(tail.max())) + 1)
    if fit.xmax is None:
        law = 1 - special.zeta(fit.alpha, ks + 1) / special.zeta(fit.alpha, fit.xmin)
    else:
        law = np.cumsum(ks.astype(float) ** -fit.alpha)
        law /= law[-1]
    return float(np.abs(np.searchsorted(tail, ks, side="right") / tail.size - law).max())


@pytest.fixture(scope="module")
def igraph():
    return pytest.importorskip("igraph")


# ---- exactness ----


@pytest.mark.parametrize("seed", range(RNG_SETS))
def test_equals_plfit_on_random_sets(seed: int, igraph) -> None:
    x, xmin = random_set(seed)
    for fit, theirs in ((fit_tail(x, xmin), igraph.power_law_fit(x.tolist(), xmin=xmin, p_precision=0.5)),
                        (select_xmin(x)[0], igraph.power_law_fit(x.tolist(), p_precision=0.5))):
        assert fit.xmin == theirs.xmin
        assert fit.alpha == pytest.approx(theirs.alpha, rel=1e-6)
        assert fit.D_observed == pytest.approx(theirs.D, abs=1e-6)
        assert fit.log_likelihood == pytest.approx(theirs.L, abs=1e-4)


@pytest.mark.parametrize("name", degree_sequences())
def test_equals_plfit_on_degrees(name: str, igraph) -> None:
    x = degree_sequences()[name]
    fit, theirs = select_xmin(x)[0], igraph.power_law_fit(x.tolist(), p_precision=0.5)
    assert fit.xmin == theirs.xmin and fit.alpha == pytest.approx(theirs.alpha, abs=1e-5)
    assert fit.D_observed == pytest.approx(theirs.D, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(theirs.L, abs=1e-4)


@pytest.mark.parametrize(("alpha", "xmin", "xmax"), [(2.4, 12, None), (3.46, 110, None), (2.2, 110, 800)])
def test_equals_powerlaw_where_it_is_not_clipped(alpha: float, xmin: int, xmax: int | None) -> None:
    import powerlaw

    x = sample(alpha, xmin, 900, np.random.default_rng(7), xmax)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = powerlaw.Fit(x, discrete=True, xmin=xmin, xmax=xmax, estimate_discrete=False, verbose=0,
                              parameter_ranges={"alpha": [1.0, None]}).power_law
    assert fit_tail(x, xmin, xmax).alpha == pytest.approx(theirs.alpha, abs=1e-3)
    if xmax is None:
        assert fit_tail(x, xmin).D_observed == pytest.approx(theirs.D, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 200), min_size=2, max_size=40), st.integers(1, 60),
       st.one_of(st.none(), st.integers(100, 300)))
def test_D_is_the_supremum_over_every_integer(values: list[int], xmin: int, xmax: int | None) -> None:
    x = np.array(values)
    inside = x[(x >= xmin) & (x <= (xmax or 200))]
    if np.unique(inside).size < 2:
        return
    fit = fit_tail(x, xmin, xmax)
    assert abs(fit.D - brute_D(x, fit)) < 1e-12
    assert 0 <= fit.D - fit.D_observed <= np.unique(inside, return_counts=True)[1].max() / fit.n_tail + 1e-12


@pytest.mark.parametrize("xmax", [None, 800])
def test_no_other_exponent_is_more_likely(xmax: int | None) -> None:
    x = sample(2.2, 110, 700, np.random.default_rng(0), xmax)

    def cost(alpha: float) -> float:
        beyond = 0.0 if xmax is None else special.zeta(alpha, xmax + 1)
        return len(x) * np.log(special.zeta(alpha, 110) - beyond) + alpha * np.log(x).sum()

    fit = fit_tail(x, 110, xmax)
    best = optimize.minimize_scalar(cost, bounds=(1.5, 4), method="bounded", options={"xatol": 1e-10})
    assert fit.alpha == pytest.approx(best.x, abs=1e-6) and fit.log_likelihood == pytest.approx(-best.fun, abs=1e-8)
    step = 1e-3  # the information is the curvature of the log-likelihood
    curvature = (cost(fit.alpha + step) - 2 * cost(fit.alpha) + cost(fit.alpha - step)) / step**2
    assert fit.sigma == pytest.approx(1 / np.sqrt(curvature), rel=1e-5)
    assert fit.sigma_simple == pytest.approx((fit.alpha - 1) / np.sqrt(700), rel=1e-12)


def test_alpha_scatters_by_sigma() -> None:
    fits = [fit_tail(sample(2.5, 110, 600, np.random.default_rng(i))) for i in range(300)]
    assert np.mean([fit.alpha for fit in fits]) == pytest.approx(2.5, abs=0.015)
    assert np.std([fit.alpha for fit in fits]) == pytest.approx(fits[0].sigma, rel=0.15)


def test_ignoring_the_upper_end_biases_alpha() -> None:
    """The README's trap: exponent 2.2 cut at 800 looks like 2.6."""
    x = sample(2.2, 110, 20_000, np.random.default_rng(1), 800)
    assert fit_tail(x).alpha > 2.5 and fit_tail(x, xmax=800).alpha == pytest.approx(2.2, abs=0.06)


def test_survival_and_log_pmf_are_the_law() -> None:
    for xmax in (None, 400):
        fit = fit_tail(sample(2.5, 50, 300, np.random.default_rng(2), xmax), 50, xmax)
        k = np.arange(50, 400)
        steps = fit.survival(k) - fit.survival(k + 1)
        np.testing.assert_allclose(np.exp(fit.log_pmf(k)), steps, rtol=1e-9)
        assert fit.survival([3, 50]).tolist() == [1.0, 1.0]
        assert xmax is None or fit.survival(401) == 0


@pytest.mark.parametrize("xmax", [None, 400])
def test_survival_is_a_step_function_and_nothing_lies_outside(xmax: int | None) -> None:
    fit = fit_tail(sample(2.5, 50, 300, np.random.default_rng(2), xmax), 50, xmax)
    assert fit.survival([49.2, -3, -np.inf, 50]).tolist() == [1, 1, 1, 1]
    np.testing.assert_array_equal(fit.survival([50.01, 50.5, 51, 99.9]), fit.survival([51, 51, 51, 100]))
    beyond = [np.inf, *([400.5, 401, 1e12] if xmax else [])]
    assert not fit.survival(beyond).any() and (fit.log_pmf(beyond) == -np.inf).all()
    assert (fit.log_pmf([49, 0, -1, 50.5]) == -np.inf).all() and fit.log_pmf([50, 60]).max() < 0
    for of in (fit.survival, fit.log_pmf):
        assert np.isnan(of([np.nan, 60])).tolist() == [True, False] and of([[60, 70]]).shape == (1, 2)


def test_laws_of_one_value() -> None:
    low, high = fit_tail([110] * 60), fit_tail([200] * 60, 110, 200)
    assert low.survival([110, 111]).tolist() == [1, 0] and high.survival([150, 200, 201]).tolist() == [1, 1, 0]
    assert np.exp(low.log_pmf([110, 111])).tolist() == [1, 0] and np.exp(high.log_pmf([150, 200])).tolist() == [0, 1]


# ---- many tails at once ----


def test_a_batch_is_its_rows_one_by_one() -> None:
    rng = np.random.default_rng(4)
    rows = [np.concatenate([sample(2 + u / 5, 110, 300 - 20 * u, rng), np.zeros(20 * u, int)]) for u in range(10)]
    rows.append(np.zeros(300, int))
    fits = fit_tails(np.array(rows))
    assert len(fits) == 11 and fits.n_tail.tolist() == [*range(300, 100, -20), 0]
    for u in range(10):
        assert fits[u] == fit_tail(rows[u])
    assert np.isnan(fits.alpha[10]) and fits.flags[10] == ("empty", "few") and "No value" in fits[10].remarks[0]
    with pytest.raises(DataError, match="same length"):
        fit_tails([[1, 2], [3]])
    with pytest.raises(DataError, match=r"\[times, n\]"):
        fit_tails([1, 2, 3])


# ---- choosing xmin ----


def test_the_curve_holds_every_candidate() -> None:
    x = degree_sequences()["barabasi_albert"]
    fit, curve = select_xmin(x)
    assert curve.xmin.tolist() == np.unique(x)[:-2].tolist()
    for i in (0, 3, len(curve.xmin) - 1):
        one = fit_tail(x, int(curve.xmin[i]))
        assert (one.alpha, one.n_tail) == pytest.approx((curve.alpha[i], curve.n_tail[i]), rel=1e-9)
        assert (one.D, one.D_observed) == pytest.approx((curve.D[i], curve.D_observed[i]), abs=1e-12)
    assert fit.xmin == curve.xmin[np.argmin(curve.D_observed)] and fit == fit_tail(x, fit.xmin)


def test_powerlaw_chooses_the_same_xmin() -> None:
    import powerlaw

    x, _ = random_set(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = powerlaw.Fit(x, discrete=True, verbose=0, estimate_discrete=False,
                              parameter_ranges={"alpha": [1.0, None]})
    assert select_xmin(x)[0].xmin == theirs.xmin


def test_xmin_is_found_where_the_tail_begins() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.poisson(25, 3000), sample(2.4, 40, 2000, rng)])
    assert 36 <= select_xmin(x)[0].xmin <= 60
    assert select_xmin(np.append(x, [0, 0]))[0].alpha == select_xmin(x)[0].alpha, "zeros are no candidates"
    assert select_xmin(x, 200)[0].xmax == 200


# ---- doubts are flagged, mistakes refused ----


def test_flags_say_what_is_doubtful() -> None:
    assert fit_tail(sample(2.5, 110, 60, np.random.default_rng(0))).flags == ()
    few = fit_tail(sample(2.5, 110, 49, np.random.default_rng(0)))
    assert few.flags == ("few",) and "49 values" in few.remarks[0]
    steep = fit_tail(np.repeat([110, 111, 112], 40))
    assert steep.flags == ("outside",) and steep.alpha > 8 and "1.5 to 8" in steep.remarks[0]
    flat = fit_tail(np.arange(110, 200), 110, 199)
    assert "outside" in flat.flags and flat.alpha < 0.1


@pytest.mark.parametrize(("values", "xmax", "alpha"), [([110] * 60, None, np.inf), ([200] * 60, 200, -np.inf),
                                                       ([150] * 60, None, None)])
def test_equal_values_are_degenerate(values: list[int], xmax: int | None, alpha: float | None) -> None:
    fit = fit_tail(values, xmax=xmax)
    assert "degenerate" in fit.flags and any("All 60 values" in remark for remark in fit.remarks)
    if alpha is not None:
        assert fit.alpha == alpha and fit.D == 0 and fit.log_likelihood == 0 and np.isnan(fit.sigma)


def test_values_that_crowd_at_the_upper_end() -> None:
    fit = fit_tail([3583] * 3 + [3584] * 100, 110, 3584)
    assert fit.alpha == -np.inf and "degenerate" in fit.flags and np.isnan(fit.D)
    assert any("crowd at its upper end" in remark for remark in fit.remarks)


def test_zeros_are_values_below_xmin() -> None:
    tail = [110, 130, 170, 111]
    with_dead = fit_tail([0, 0, 3, *tail])
    assert with_dead.alpha == fit_tail(tail).alpha and (with_dead.n, with_dead.n_tail) == (7, 4)


def test_whole_numbers_may_come_as_floats() -> None:
    assert fit_tail([110.0, 120.0, 140.0]) == fit_tail([110, 120, 140]) == fit_tail(np.array([110, 120, 140], np.int16))


MISTAKES = [  # values, options, what the sentence must say
    ([1, 2, 3], {}, "tail is empty"),
    ([], {}, "no values at all"),
    ([0, 0, 0], {}, "tail is empty"),
    ([0, 1, 2], {"xmin": 0}, "xmin must be 1 or more"),
    ([5, -3, 7], {"xmin": 1}, "-3"),
    ([5.5, 7], {"xmin": 1}, "5.5"),
    ([5, np.nan], {"xmin": 1}, "NaN"),
    ([5, np.inf], {"xmin": 1}, "inf"),
    ([5, 2**60], {"xmin": 1}, "2 ** 53"),
    (["a", "b"], {"xmin": 1}, "whole numbers"),
    ([[1, 2], [3, 4]], {"xmin": 1}, "one sequence"),
    ([5, 6, 7], {"xmin": 5, "xmax": 4}, "xmax = 4 lies below xmin = 5"),
    ([5, 6, 7], {"xmin": 2.5}, "xmin must be a whole number"),
    ([5, 6, 7], {"xmin": np.nan}, "xmin must be a whole number"),
    ([5, 600, 700], {"xmin": 50, "xmax": 500}, "xmin = 50 to xmax = 500"),
]


@pytest.mark.parametrize(("values", "options", "said"), MISTAKES, ids=[said for _, _, said in MISTAKES])
def test_a_mistake_is_one_sentence(values: list, options: dict, said: str) -> None:
    with pytest.raises(RegrowError) as caught:
        fit_tail(values, **options)
    message = str(caught.value)
    assert said in message and message.endswith(".") and "\n" not in message
    assert message[0].isupper() or message.startswith(("xmin ", "xmax "))


X = [1, 1, 1, 2, 2, 3, 4, 8]
READ = {  # as people bring them
    "object": np.array(X, object), "values of a dictionary": dict(enumerate(X)).values(), "generator": (k for k in X),
    "bfloat16": torch.tensor(X, dtype=torch.bfloat16), "gradient": torch.tensor(X, dtype=torch.float32,
                                                                                requires_grad=True),
    "sparse": torch.tensor(X).to_sparse(), "list of tensors": list(torch.tensor(X)), "tuple": tuple(X),
    "Int64": pd.Series(X, dtype="Int64"), "Series": pd.Series(X, index=range(5, 13)),
    "column": pd.DataFrame({"k": X})["k"],
    "Decimal": [Decimal(k) for k in X], "uint64": np.array(X, np.uint64), "float16": np.array(X, np.float16),
    "masked": np.ma.masked_equal([*X, 99], 99), "nothing masked": np.ma.array(X), "map": map(int, X),
    "fractions": [Fraction(k) for k in X], "mixed": [np.int8(1), 1.0, *X[2:]],
}


@pytest.mark.parametrize("kind", READ)
def test_whole_numbers_of_every_kind_are_read(kind: str) -> None:
    assert fit_tail(READ[kind], 1) == fit_tail(X, 1)


REFUSED = {
    "text": (["1", "2"], "text such as 1"), "one text": ("123", "one sequence"),
    "truth": ([True, False], "truth values"),
    "complex": ([1j, 2], "complex128"), "dates": (np.array(["2020-01-01"], "M8[D]"), "2020-01-01"),
    "one number": (5, "not 5"), "nothing": (None, "not None"), "ragged": ([[1, 2], [3]], "same length"),
    "NA": (pd.Series([1, None], dtype="Int64"), "among them; leave missing values out"),
    "None": ([1, None, 2], "None is among them"), "huge": ([1, 2**63], "up to 2 .. 53"),
    "very huge": ([1, 10**400], "2 .. 53"), "dictionary": ({1: 2}, "pass its values"), "set": ({1, 2}, "only once"),
    "object": (object(), "a object"), "Decimal": ([Decimal("1.5"), 2], "1.5 is among them"),
    "mixed": (np.array([1, "a"], object), "'a' is among them"), "masked in a list": ([1, np.ma.masked], "missing"),
    "masked rows": (np.ma.masked_equal([[1, 2]], 1), "Masked|one sequence"), "lists": (np.array([[1], [2, 3]], object),
                                                                                     "a list is among them"),
    "meta": (torch.empty(3, device="meta"), "cannot be made an array"),
    "table": (pd.DataFrame({"a": X, "b": X}), "shape"),
    "object NaN": (np.array([1, float("nan")], object), "nan is among them"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_sequence_of_whole_numbers_is_named(kind: str) -> None:
    given, said = REFUSED[kind]
    with pytest.raises(DataError, match=said) as caught:
        fit_tail(given, 1)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".") and len(str(caught.value)) < 300


@pytest.mark.parametrize(("ends", "said"), [
    ({"xmin": "auto"}, "xmin .* not 'auto'; select_xmin"), ({"xmin": (1, 3)}, "xmin .* not a tuple"),
    ({"xmax": np.inf}, "xmax .* not inf; None stands for no upper end"), ({"xmin": True}, "not True"),
    ({"xmin": 10**400}, "2 \\*\\* 53 or less"), ({"xmax": 2**60}, "2 \\*\\* 53 or less"), ({"xmin": [1]}, "not a list"),
    ({"xmax": "9"}, "not '9'"), ({"xmin": 1j}, "not 1j"), ({"xmin": np.array([1, 2])}, "not a numpy.ndarray")])
def test_ends_of_another_kind_are_named(ends: dict, said: str) -> None:
    for of, x in ((fit_tail, X), (fit_tails, [X]), (matched_p, [X])):
        with pytest.raises(ConfigError, match=said):
            of(x, **ends)
    with pytest.raises(ConfigError):
        sampler(2.5, ends.get("xmin", 1), ends.get("xmax"))


def test_ends_that_are_whole_numbers_of_other_kinds() -> None:
    for one in (1.0, np.int16(1), np.float32(1), torch.tensor(1), np.array(1), Decimal(1)):
        assert fit_tail(X, one, 9.0) == fit_tail(X, 1, 9)


def test_no_xmin_chooses_it() -> None:
    x = degree_sequences()["barabasi_albert"]
    assert fit_tail(x, None) == select_xmin(x)[0] and fit_tail(x, None, 50) == select_xmin(x, 50)[0]
    with pytest.raises(DataError, match="tail is empty"):
        fit_tail([0, 0], None)
    with pytest.raises(ConfigError, match="xmin must be a whole number, not None; select_xmin chooses one"):
        fit_tails([x], None)


@pytest.mark.parametrize(("arguments", "said"), [
    (("x", 1, 5, 0), "alpha must be a number, not 'x'"), ((2.5, 1, "5", 0), "size"),
    ((2.5, 1, -1, 0), "size must be 0 or"),
    ((2.5, 1, 5, 0), "rng must be a numpy Generator")])
def test_samples_of_other_kinds(arguments: tuple, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sample(*arguments)


def test_select_xmin_refuses_the_same() -> None:
    for values in ([], [0, 0], [1.5, 2], [3, -1]):
        with pytest.raises(DataError):
            select_xmin(values)
    with pytest.raises(ConfigError):
        select_xmin([1, 2, 3], 0)
    assert "degenerate" in select_xmin([4, 4, 4])[0].flags


def test_the_default_is_the_papers_threshold() -> None:
    assert PAPER_XMIN == 110 and fit_tail([109, 110, 111]).n_tail == 2


def test_xmin_leaves_three_distinct_values_in_the_tail() -> None:
    """Two are always near some law, and would be chosen often if they might."""
    two = 0
    for seed in range(30):
        x = np.random.default_rng(seed).integers(20, 40, 30)
        values = np.unique(x)
        D = [fit_tail(x, int(k)).D_observed for k in values[:-1]]  # the last but one leaves two
        fit, curve = select_xmin(x)
        assert fit.xmin == values[np.argmin(D[:-1])] and curve.D_observed == pytest.approx(D[:-1])
        two += D[-1] < min(D[:-1])
    assert two > 3, "otherwise this would say nothing"


@pytest.mark.parametrize("x", [[5, 5, 7], [5, 9, 9, 9]])
def test_where_there_are_only_two_the_smaller_is_the_one_candidate(x: list[int]) -> None:
    fit, curve = select_xmin(x, 20)
    assert fit.xmin == 5 and curve.alpha.tolist() == pytest.approx([fit_tail(x, 5, 20).alpha])
