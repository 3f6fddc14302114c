"""On a GPU: the selftest's checks of agreement, precision, waiting, resuming and sweeps, each as a test."""

from __future__ import annotations

import pytest
import torch

from regrow_companion.selftest import agreement, precision, resuming, sweeping, waiting
from regrow_companion.selftest.report import Check, Skipped, Where

WHERE = Where("cuda")
CHECKS = [check for room in (agreement, precision, waiting, resuming, sweeping) for check in room.checks(WHERE)]


@pytest.mark.cuda
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_gpu(check: Check) -> None:
    try:
        found = check.look()
    except Skipped as reason:
        pytest.skip(str(reason))
    assert found.ok, f"{found.value} ({found.limit})"
