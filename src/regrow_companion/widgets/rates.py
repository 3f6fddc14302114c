"""How the learning rate and the prune rate go down together (Section 5.1, Eq. 5)."""

from __future__ import annotations

import numpy as np

from regrow import cost, schedule
from regrow.config import RunConfig
from regrow_companion.widgets.description import Control, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, axes, paper, pixels, ticks

MILESTONES = ((0.5, 0.75), (0.3, 0.6, 0.9), (0.9,))
LINE, NOW = "#000000", "#CC79A7"


def draw(lr: float, milestones: int, p0: float, shape: str, interval: int, until: float, percent: int) -> View:
    """Both schedules over 300 epochs of CIFAR-10; `percent` of training is where the values are read."""
    config = RunConfig(dataset="cifar10", lr=lr, lr_milestones=MILESTONES[milestones], prune_rate=p0,
                       prune_schedule=shape, update_interval=interval, update_until=until)
    total = cost.total_steps(config)
    per_epoch = total // config.epochs
    rates = [schedule.learning_rate(config, epoch) for epoch in range(config.epochs)]
    updates = np.array(schedule.update_steps(config, total))
    pruned = np.array([schedule.prune_rate(config, int(step), total) for step in updates])
    step = round(total * percent / 100)
    with paper(7, 3.6) as fig:
        top = axes(fig, (0.1, 0.56, 0.88, 0.34), ylabel="learning rate", room=(0.25, 0.48))
        bottom = axes(fig, (0.1, 0.13, 0.88, 0.34), xlabel="epoch", ylabel="pruned p(t)", room=(0.25, 0.48))
        top.stairs(rates, np.arange(config.epochs + 1), baseline=None, color=LINE, linewidth=1.6)
        if updates.size:
            bottom.plot(updates / per_epoch, pruned, "o-", color=LINE, markersize=2.5, linewidth=0.8)
        ticks(top, "y", (1e-3, 1e-2, 0.1, 1), log=True)
        ticks(bottom, "y", (0, 0.25, 0.5, 0.75, 1))
        top.set_ylim(3e-5, 2)
        bottom.set_ylim(-0.04, 1.04)
        for ax in (top, bottom):
            ticks(ax, "x", range(0, config.epochs + 1, 50))
            ax.set_xlim(0, 1.005 * config.epochs)
            ax.axvline(step / per_epoch, color=NOW, linewidth=1.6)
        top.plot([step / per_epoch], [_rate(config, step, per_epoch)], "o", color=NOW, clip_on=False)
        bottom.plot([step / per_epoch], [_pruned(config, step, total)], "o", color=NOW, clip_on=False)
        fig.suptitle(f"{config.epochs} epochs, {len(updates)} topology updates", y=0.985)
        done = updates <= step
        return View(pixels(fig),
                    "Above the learning rate of every epoch, below the prune rate of every topology update.",
                    f"After {percent} % of training, epoch {step / per_epoch:.0f}: learning rate "
                    f"{_rate(config, step, per_epoch):.2g}, an update there would prune "
                    f"{100 * _pruned(config, step, total):.0f} % of the connections. {int(done.sum())} of "
                    f"{len(updates)} updates are done; together they have replaced {pruned[done].sum():.1f} times as "
                    f"many connections as the network has, of {pruned.sum():.1f} in the whole run"
                    + (f", {100 * pruned[done].sum() / pruned.sum():.0f} %." if pruned.sum() else "."))


def _rate(config: RunConfig, step: int, per_epoch: int) -> float:
    return schedule.learning_rate(config, min(step // per_epoch, config.epochs - 1))


def _pruned(config: RunConfig, step: int, total: int) -> float:
    frozen = step > config.update_until * total
    return 0.0 if frozen else schedule.prune_rate(config, step, total)


def schedules() -> Panel:
    """Learning-rate steps and the decay of the prune rate for a run of 300 epochs; the start is the paper's."""
    return Panel(Widget(draw, {
        "lr": Control("learning rate", [(f"{r:g}", r) for r in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)], RunConfig.lr,
                      live_only=True),
        "milestones": Control("its steps at", [(", ".join(f"{100 * m:.0f} %" for m in marks), i)
                                               for i, marks in enumerate(MILESTONES)], 0, menu=True, live_only=True),
        "until": Control("update until", [(f"{100 * u:.0f} %", u) for u in (0.25, 0.5, 0.75, 1.0)],
                         RunConfig.update_until, live_only=True),
        "p0": Control("first prune rate", [(f"{p:g}", p) for p in (0.2, 0.5, 0.8)], RunConfig.prune_rate),
        "shape": Control("its decay", [(name, name) for name in ("cosine", "linear", "constant")], "cosine", menu=True),
        "interval": Control("update every", [(f"{s} steps", s) for s in (100, 400, 1600)], RunConfig.update_interval),
        "percent": Control("training done", [(f"{p} %", p) for p in (0, 10, 25, 50, 75, 90, 100)], 50),
    }, plays="percent"))
