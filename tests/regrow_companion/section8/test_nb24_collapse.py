"""A run that breaks is found out at the right update, and second runs say what it depended on."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from regrow import data, train
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.engines.dense import DenseEngine
from regrow.schedule import update_steps
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb24_collapse as collapse

CHANCE = math.log(10)
TINY = RunConfig(model="convnet", dataset="fashion_mnist_small", train_limit=640, batch_size=64, epochs=4, lr=0.02,
                 update_interval=4, sparsity=0.5, grow="gradient", growth_momentum="ema", amp=False)


def watched(means: list[float], interval: int = 5) -> collapse.Watch:
    """A run of one epoch whose loss has these means between updates."""
    steps = interval * len(means)
    watch = collapse.Watch(CHANCE, frozenset(range(interval, steps, interval)))
    engine = SimpleNamespace(loss=0.0, state=lambda: {"step": torch.tensor(run.step)})
    run: Any = SimpleNamespace(engine=engine, step=0, steps_per_epoch=steps + 1)
    for run.step in range(1, steps + 1):
        engine.loss += means[(run.step - 1) // interval]
        watch.look(run)
    watch.close()
    return watch


def test_the_update_after_which_the_loss_left_is_found_with_the_states_around_it() -> None:
    watch = watched([2.0, 1.5, 1.2, math.nan, math.nan])
    assert watch.left == 3 and len(watch.means) == 5
    # Update 3 comes after step 15; the loss of steps 16 to 20 is no number. An update's step is still of the old ones.
    assert int(watch.states[collapse.BEFORE]["step"]) == 14 and int(watch.states[collapse.AFTER]["step"]) == 15


def test_guessing_counts_as_left_only_while_it_lasts_and_after_something_was_learned() -> None:
    assert watched([2.0, 2.4, 2.4, 1.0]).left is None
    assert watched([2.4, 2.4, 2.4]).left is None
    assert watched([2.0, 2.4, 1.5, 2.4, 2.4]).left == 3


def test_a_run_that_is_gone_for_good_is_not_followed_to_its_end() -> None:
    with pytest.raises(collapse._Enough):
        watched([1.0, *[math.nan] * (collapse.STAYS + 3)])


def test_second_runs_tell_what_a_break_depended_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the third update breaks the network, so that the same network without it goes on learning."""
    monkeypatch.setattr(collapse, "chosen_engine", lambda config, device: "dense")
    monkeypatch.setattr(collapse, "GUESSING", 5.0)  # so short a training is hardly better than guessing
    breaks, update = update_steps(TINY, total_steps(TINY))[2], DenseEngine.update

    def breaking(engine: DenseEngine, step: int) -> None:
        update(engine, step)
        if step == breaks and engine.config.lr == TINY.lr:
            for weight in engine.topology.weights.values():
                with torch.no_grad():
                    weight.mul_(1e20)

    monkeypatch.setattr(DenseEngine, "update", breaking)
    tables, _ = collapse.perform(collapse.Collapse(TINY), None, lambda step: None)
    losses, second = tables["losses"], tables["second"].set_index(["from", "changed"])["collapsed"]
    assert losses["loss"].isna().idxmax() == 3 and np.isfinite(losses["loss"][:3]).all()
    assert dict(second[collapse.BEFORE]) == {
        "nothing": True, "random growth": True, "no rewiring": False, "a tenth of the learning rate": False,
        "other batches": True}
    assert second[collapse.AFTER].all()
    channels = tables["channels"].set_index(["when", "layer"])
    assert list(channels.loc[collapse.BEFORE].index) == ["conv1", "conv2", "conv3"]
    assert (channels["silent"][collapse.BEFORE] < channels["channels"][collapse.BEFORE]).all()
    assert (channels["silent"]["at the end"] == channels["channels"]["at the end"]).all()


def test_channels_without_connections_are_counted() -> None:
    dataset = data.load_for(TINY)
    state = train.start(TINY, dataset, "cpu", "dense").engine.state()
    state["mask/conv2"] = state["mask/conv2"].clone()
    state["mask/conv2"][3] = False
    state["mask/conv2"][:, 5] = False
    frame = collapse.channel_rows(TINY, dataset, state, "dense", "now").set_index("layer")
    assert frame.loc["conv2", "without inputs"] == 1 and frame.loc["conv1", "without outputs"] == 1
    assert list(frame["channels"]) == [32, 64, 128]


def test_what_is_planned_and_kept() -> None:
    paper = collapse.planned("paper")
    assert len(paper) == 24 and {case.run.grow for case in paper[:10]} == {"gradient"}
    assert {case.run.prune for case in paper[:20]} == {"magnitude"} and {case.run.dataset for case in paper[20:]} == {
        "cifar10"}
    assert [case.run.prune for case in paper[20:]] == ["set", "random"] * 2, "Figure 13's, after those of Table 4"
    assert {case.run.model for case in paper} == {"convnet"} and len({case.key for case in paper}) == 24
    assert len(collapse.planned("quick")) == 1
    assert isinstance(collapse.EXPERIMENT, cases.Experiment)
