"""A growth rule from the literature that the paper did not try: connect where topology says that a link is missing."""

from __future__ import annotations

from torch import Tensor

from regrow.rules import LayerState, growth


@growth("l3")
def l3_score(layer: LayerState) -> Tensor:
    """The number of paths of length three between the two ends, each over the root of its inner degrees' product.

    Kovacs et al., "Network-based prediction of protein interactions" (2019); RA-L3 in the Cannistraci-Hebb family of
    link predictors, with which Zhang et al. (ICLR 2024) grow sparse networks. It reads the mask alone: no gradient, no
    chance. Equal scores go to the lower index, as everywhere.
    """
    mask = layer.mask.flatten(1).to(layer.weight.dtype)  # every position of a filter is an input of its own
    outputs, inputs = (mask.sum(axis).clamp(min=1).rsqrt() for axis in (1, 0))  # of the degrees
    return ((mask * inputs) @ (mask * outputs[:, None]).T @ mask).reshape(layer.mask.shape)
