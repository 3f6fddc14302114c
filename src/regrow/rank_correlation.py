"""Kendall's tau-b between the degrees of all neurons at different times (Appendix I, Fig. 20)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Rows of signs multiplied at once: small enough to stay in cache, large enough for the matrix product.
BLOCK = 2048


def kendall_matrix(series: ArrayLike) -> NDArray[np.float64]:
    """Tau-b between every two rows of `series` [T, n]: the T x T matrix of Fig. 20, as scipy.stats.kendalltau gives.

    A row is turned into a vector of signs sign(x_i - x_j), one for each pair of neurons i < j and 0 for a tie. Tau-b is
    the cosine of the angle between two such vectors: their product counts concordant minus discordant pairs, their
    squared lengths count the pairs not tied. So the matrix is a Gram matrix, found in exact whole numbers block by
    block; the blocks take about 6 T (n + 2048) bytes. NaN where a row is constant. Raises ValueError for NaN in
    `series` or a wrong number of axes.
    """
    values = np.asarray(series)
    if values.ndim != 2:
        raise ValueError(
            f"Rank correlation over time needs an array [times, neurons], not one of shape {values.shape}."
        )
    if np.isnan(values).any():
        raise ValueError("Rank correlation needs numbers only, but the series contains NaN.")
    times, neurons = values.shape
    # Ranks instead of values: differences cannot overflow, whatever the dtype of the series.
    dtype = np.int16 if neurons < 2**15 else np.int32
    ranks = np.empty((neurons, times), dtype=dtype)
    for time, row in enumerate(values):
        ranks[:, time] = np.unique(row, return_inverse=True)[1]

    gram = np.zeros((times, times))
    differences = np.empty((BLOCK + neurons, times), dtype=dtype)
    signs = np.empty(differences.shape, dtype=np.float32)  # sums of +-1 stay exact below 2**24
    filled = 0
    for i in range(neurons - 1):
        pairs = neurons - 1 - i
        np.subtract(ranks[i + 1 :], ranks[i], out=differences[filled : filled + pairs])
        filled += pairs
        if filled >= BLOCK or pairs == 1:
            block = signs[:filled]
            np.clip(differences[:filled], -1, 1, out=block, casting="unsafe")
            gram += block.T @ block
            filled = 0

    lengths = np.sqrt(np.diag(gram))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN we want for constant rows
        tau = gram / lengths[:, None] / lengths
    return np.clip(tau, -1.0, 1.0)
