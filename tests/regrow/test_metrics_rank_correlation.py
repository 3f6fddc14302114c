"""Kendall's tau-b matrix against scipy's pairwise function."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import kendalltau

from regrow import metrics
from regrow.metrics import kendall_matrix


def oracle(series: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns about constant rows and a single neuron
        return np.array([[kendalltau(a, b).statistic for b in series] for a in series])


def test_hand_computed():
    # Rows 0 and 1 differ in one pair of six; row 2 ties one pair: 5 / sqrt(6 * 5).
    tau = kendall_matrix(np.array([[1, 2, 3, 4], [1, 2, 4, 3], [1, 2, 3, 3]]))
    np.testing.assert_allclose(tau[0], [1, 4 / 6, 5 / np.sqrt(30)], atol=1e-15)
    np.testing.assert_allclose(tau, tau.T, atol=0)


@given(
    arrays(
        np.int16,
        array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=7),
        elements=st.sampled_from([-(2**15), -1, 0, 1, 2, 2**15 - 1]),  # few values: many ties; extremes: overflow
    )
)
@settings(max_examples=100, deadline=None)
def test_equals_scipy_with_ties_and_constant_rows(series):
    np.testing.assert_allclose(kendall_matrix(series), oracle(series), rtol=0, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("block", [1, 64, 2048])
def test_equals_scipy_on_degrees_that_drift(block, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK", block)  # many blocks, a last one that is not full, one block
    rng = np.random.default_rng(0)
    series = np.maximum(60 + rng.integers(-9, 10, (12, 150)).cumsum(axis=0), 10)
    series[:, :40] = 10  # dormant neurons
    tau = kendall_matrix(series)
    np.testing.assert_allclose(tau, oracle(series), rtol=0, atol=1e-12)
    assert tau.dtype == np.float64 and np.diag(tau) == pytest.approx(1.0, abs=1e-12)


def test_equals_scipy_for_as_many_neurons_as_in_the_paper():
    rng = np.random.default_rng(1)
    series = rng.pareto(1.5, (4, 1536)) * 40 // 1
    np.testing.assert_allclose(kendall_matrix(series), oracle(series), rtol=0, atol=1e-12)


def test_real_numbers_and_infinities_are_ranked():
    series = np.array([[0.1, -np.inf, 3.5, np.inf], [1e300, -1e300, 0.0, 1.0]])
    np.testing.assert_allclose(kendall_matrix(series), oracle(series), rtol=0, atol=1e-12)


@pytest.mark.parametrize("neurons", [0, 1])
def test_no_pair_of_neurons_means_nan(neurons):
    assert np.isnan(kendall_matrix(np.ones((3, neurons)))).all()


def test_wrong_series_are_refused():
    with pytest.raises(ValueError, match=r"\[times, neurons\]"):
        kendall_matrix(np.zeros(5))
    with pytest.raises(ValueError, match="NaN"):
        kendall_matrix(np.array([[1.0, np.nan]]))
