"""`python -m regrow plan`: what the figures and tables need, what of it is left, and what that costs here.

Also how long many runs take on several equal workers when the longest starts first, as a sweep does it.
"""

from __future__ import annotations

import heapq
import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow import cost
from regrow.config import RunConfig
from regrow.errors import ConfigError
from regrow_companion import study
from regrow_companion.console import clock, print_json, print_table
from regrow_companion.study import needs_of, store_of
from regrow_companion.sweep import heartbeat, step_times
from regrow_companion.sweep.drive import default_jobs
from regrow_companion.sweep.status import statuses
from regrow_companion.sweep.step_times import StepTimes
from regrow_companion.sweep.task import Task, divided, typed


@dataclass(frozen=True)
class Schedule:
    """Runs assigned to workers; times in the unit of the runs'."""

    loads: tuple[float, ...]  # when each worker is done

    @property
    def makespan(self) -> float:
        """When the last worker is done."""
        return max(self.loads)

    @property
    def efficiency(self) -> float:
        """The share of the workers' time until then in which they work; 1 for no work at all."""
        return sum(self.loads) / (len(self.loads) * self.makespan) if self.makespan else 1.0


def longest_first(seconds: Sequence[float], workers: int) -> Schedule:
    """Every run goes to the worker that is free first, the longest run first (Graham's LPT rule).

    Its makespan is at most 4/3 - 1/(3 workers) of the best possible one. Raises ValueError without a worker.
    """
    if workers < 1:
        raise ValueError(f"There must be a worker, not {workers}.")
    free = [0.0] * workers
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + run)
    return Schedule(tuple(sorted(free, reverse=True)))


def lower_bound(seconds: Sequence[float], workers: int) -> float:
    """No schedule is shorter than its longest run, nor than all runs spread evenly."""
    return max(sum(seconds) / workers, max(seconds, default=0.0))


UNKNOWN = "not measured"


def print_plan(arguments: Namespace) -> int:
    """Print the runs behind every figure and table, done and left, and the hours of what is left.

    A run that several need counts where it is first needed.
    """
    workers = _workers(arguments.workers)
    if arguments.jobs < 0:
        raise ConfigError(f"--jobs must be 1 or more, not {arguments.jobs}.")
    if arguments.no_measure and (arguments.save_times or workers):
        raise ConfigError("--no-measure leaves no step times for --save-times or --workers: leave it out.")
    needs, store = needs_of(arguments), store_of(arguments)
    every = study.distinct(needs, arguments.profile)
    stand = dict(zip(every, statuses(store, every, heartbeat.read(store.root)), strict=True))
    left = [config for config in every if stand[config] != "done"]
    measured = None if arguments.no_measure or not left else _measured(arguments, left)
    device = measured.device if measured else "cpu"
    tasks = divided(left, device, "auto")
    seconds: dict[RunConfig, float | None] = dict.fromkeys(left)
    taken = {task: measured.of(task) if measured else None for task in tasks}
    for task, total in taken.items():
        seconds |= dict.fromkeys(task, None if total is None else total / len(task))

    rows: list[dict[str, Any]] = []
    seen: set[RunConfig] = set()
    for need in needs:
        configs = study.runs(need, arguments.profile)
        new = [config for config in configs if config not in seen]
        seen |= set(configs)
        rows.append({"need": need, "title": study.NEEDS[need].title, "runs": len(configs), "new": len(new),
                     "done": sum(stand[config] == "done" for config in configs),
                     "left": sum(stand[config] != "done" for config in new),
                     "steps": sum(cost.total_steps(c) for c in new), "multiply_adds": sum(map(cost.multiply_adds, new)),
                     "hours_left": _hours([seconds[c] for c in new if c in seconds], measured),
                     "keys": [config.key for config in configs]})
    hours = _hours(list(seconds.values()), measured)
    schedules = _schedules(taken, measured, workers)
    if arguments.json:
        print_json({"profile": arguments.profile, "distinct": len(every), "done": len(every) - len(left),
                    "left": len(left), "hours_left": hours, "hours_of": _unit(device) if measured else None,
                    "measured": _about(measured), "schedules": schedules, "needs": rows,
                    "configs": {config.key: config.to_dict() for config in every}})
        return 0
    print_table(("id", "runs", "not above", "done", "left", "steps", "PFLOP", f"{_unit(device)} left", "what"),
                [(r["need"], r["runs"], r["new"], r["done"], r["left"], f"{r['steps']:,}",
                  f"{2 * r['multiply_adds'] / 1e15:,.1f}", _shown(r["hours_left"]), r["title"]) for r in rows])
    print(f"\n{len(every)} distinct runs, {len(every) - len(left)} done, {len(left)} left. 'not above': runs that no "
          "earlier line lists; left, steps, PFLOP (masked-dense arithmetic) and hours count those only.")
    if measured is not None:
        _print_cost(measured, hours, schedules, list(taken.values()))
    if arguments.keys:
        for config in every:
            print(config.key, stand[config], " ".join(typed(config)))
    return 0


def _measured(arguments: Namespace, left: Sequence[RunConfig]) -> StepTimes:
    """Step times of this machine, or those of a file."""
    hardware = str(arguments.hardware)
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", hardware):
        return step_times.load(Path(hardware))
    jobs = arguments.jobs or (default_jobs() if hardware == "cpu" else 1)
    found = step_times.measure(divided(left, hardware, "auto"), hardware, jobs)
    if arguments.save_times is not None:
        found.save(arguments.save_times)
    return found


def _hours(seconds: Sequence[float | None], measured: StepTimes | None) -> float | None:
    """Core-hours, or GPU-hours where `jobs` runs share a GPU; None if any of them was not measured."""
    if measured is None or None in seconds:
        return None
    total = sum(second for second in seconds if second is not None)
    return total / 3600 / (measured.jobs if measured.device != "cpu" else 1)


def _schedules(taken: dict[Task, float | None], measured: StepTimes | None,
               workers: Sequence[int]) -> list[dict[str, Any]]:
    """The sweep on so many cores or GPUs, longest first; nothing if a task was not measured."""
    seconds = [second for second in taken.values() if second is not None]
    if measured is None or not seconds or len(seconds) < len(taken):
        return []
    shared = measured.jobs if measured.device != "cpu" else 1
    found = []
    for number in workers or [measured.jobs if measured.device == "cpu" else 1]:
        made = longest_first(seconds, number * shared)
        bound = lower_bound(seconds, number * shared)
        found.append({"workers": number, "hours": made.makespan / 3600, "efficiency": made.efficiency,
                      "at_least_hours": bound / 3600})
    return found


def _print_cost(measured: StepTimes, hours: float | None, schedules: Sequence[dict[str, Any]],
                taken: Sequence[float | None]) -> None:
    unit = "cores" if measured.device == "cpu" else "GPUs"
    side = f"{measured.jobs} at once" if measured.device == "cpu" else f"{measured.jobs} at once on a GPU"
    total = "Not all of what is left was measured:" if hours is None else \
        f"What is left takes {_shown(hours)} {_unit(measured.device)}"
    print(f"{total} by step times of {measured.hardware}, {side}, measured in {measured.seconds:.0f} s. Another "
          "machine, or this one when it is busy, differs.")
    if schedules:
        print()
        print_table((unit, "until all is done", "efficiency", "at least"),
                    [(s["workers"], clock(3600 * s["hours"]), f"{100 * s['efficiency']:.0f} %",
                      clock(3600 * s["at_least_hours"])) for s in schedules])
        longest = max(second for second in taken if second is not None)
        print(f"{len(taken)} runs or batches, the longest first; it takes {clock(longest)}.")


def _about(measured: StepTimes | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    return {"hardware": measured.hardware, "device": measured.device, "jobs": measured.jobs,
            "seconds": round(measured.seconds, 1)}


def _unit(device: str) -> str:
    return "CPU-hours" if device == "cpu" else "GPU-hours"


def _shown(hours: float | None) -> str:
    if hours is None:
        return UNKNOWN
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.3f}"


def _workers(text: str | None) -> list[int]:
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(f"--workers must be numbers such as 1,4,16, not {text!r}.")
    return [int(word) for word in words]
