"""How long a run takes here, from a handful of real steps: one short probe for every kind of network and engine.

Steps are timed on random images, since what a pixel holds does not change how long it takes; updates and the evaluation
after every epoch are timed as well and counted as often as a run needs them.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from regrow import cost, files, provenance, schedule, train
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet
from regrow.datasets import known
from regrow.determinism import generator, one_thread
from regrow.engines import Measured, chosen_engine
from regrow.engines.sparse import window
from regrow.errors import RegrowError, left_alone
from regrow.train import check_device
from regrow_companion.sweep.task import Task, described

PROBE_SECONDS = 0.25  # of each kind, but a whole step: slow networks, which dominate the cost, get the most
MOST_STEPS = 200
EVALUATED = 256  # images


@dataclass(frozen=True)
class StepKind:
    """Runs whose steps take equally long: a stand-in for their configs, the engine, and how many train together.

    Runs of one seed share their images, so `seeds` of a batch counts. `task` is a batch as the sweep trains it, which
    is what the probe steps; kinds are equal whatever it is.
    """

    config: RunConfig
    engine: str
    runs: int = 1
    seeds: int = 1
    task: Task = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Times:
    """Seconds of a batch of runs, or of one."""

    step: float
    averaged_step: float  # one whose dense gradients enter momentum growth's running average
    update: float
    evaluated_image: float


def probe_all(kinds: Sequence[StepKind], device: str) -> dict[StepKind, Times]:
    """Each kind in turn, on one thread of a CPU as in training."""
    with one_thread() if device == "cpu" else nullcontext():
        return {kind: probe(kind, device) for kind in kinds}


def probe(kind: StepKind, device: str) -> Times:
    """Step one engine, or one batch: plain steps, steps before an update, the update, an evaluation."""
    together = _together(kind)
    config = kind.config if kind.engine != "batched" else train.shared(together[0])
    dataset = random_images(config, _enough(config), EVALUATED, device)
    run = (train.start_together(together, dataset, device) if kind.engine == "batched" else
           train.start(config, dataset, device, kind.engine))
    engine, interval = run.engine, config.update_interval
    data = (batch for epoch in count() for batch in engine.batches(epoch, start=0))

    def step(number: int) -> None:
        engine.backward(*next(data), number)
        engine.step()

    def evaluate(images: ImageSet) -> object:
        return engine.measures() if isinstance(engine, Measured) else engine.accuracy(images)

    # The first call of everything compiles and fills caches, which would count as often as a run makes it: not timed,
    # nor is it in `_each`.
    plain = averaged = _each(step, 1, device)
    update = 0.0
    if config.is_dynamic:
        if config.grow == "momentum":
            averaged = _each(step, max(1, interval - 1), device)
        for _ in range(2):
            step(interval)
            update = _timed(lambda: engine.update(interval), device)
    held = dataset.validation
    evaluate(ImageSet(held.images[:8], held.labels[:8]))
    return Times(plain, averaged, update, _timed(lambda: evaluate(held), device) / len(held))


def _each(step: Callable[[int], None], number: int, device: str) -> float:
    """Seconds per step, after one that is not timed: as many as fit into the time for a probe, one at least."""
    step(number)
    first = _timed(lambda: step(number), device)
    more = min(MOST_STEPS, int(PROBE_SECONDS / max(first, 1e-6)))

    def steps() -> None:
        for _ in range(more):
            step(number)

    return _timed(steps, device) / more if more else first


def _timed(what: Callable[[], object], device: str) -> float:
    """Seconds: on a CPU those that this process had it, so that others on the machine disturb little."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    wait_for(device)
    began = clock()
    what()
    wait_for(device)
    return clock() - began


def wait_for(device: str) -> None:
    """Until a GPU has done what it was given; nothing on a CPU."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def _together(kind: StepKind) -> Task:
    """The runs of a batch: those of the sweep, else as many with as many seeds."""
    seeds = (number % kind.seeds for number in range(kind.runs))
    return kind.task or tuple(kind.config.but(seed=seed) for seed in seeds)


def _enough(config: RunConfig) -> int:
    """Images for some batches and, in as many epochs as the config has, for an update."""
    steps = ceil(config.update_interval / config.update_until / config.epochs)  # of an epoch, so that one comes
    return max(4 * config.batch_size, EVALUATED, steps * config.batch_size)


def random_images(config: RunConfig, number: int, held: int, device: str) -> Dataset:
    """Images that a run could be trained on, each a pattern of its class under noise; the first `held` for evaluation.
    """
    facts, chance = known(config.dataset), generator("random images", 0)
    labels = torch.randint(0, facts.classes, (number,), generator=chance)
    patterns = torch.randint(0, 128, (facts.classes, *facts.shape), generator=chance, dtype=torch.uint8)
    pixels = torch.randint(0, 128, (number, *facts.shape), generator=chance, dtype=torch.uint8) + patterns[labels]
    every, few = (ImageSet(pixels[:n].to(device), labels[:n].to(device)) for n in (number, min(number, held)))
    return Dataset(name="random", train=every, validation=few, test=few, classes=facts.classes,
                   class_names=facts.class_names, mean=facts.mean, std=facts.std,
                   image_shape=cost.image_shape(config), sha256="")


FORMAT = "regrow step times 1"
SELFTEST_FORMAT = "regrow selftest 1"  # the same, with more beside it
# Keys on which the time of a step does not depend: they count as if nothing had been said of them.
NO_MATTER = ("seed", "epochs", "train_limit", "init", "prune", "prune_schedule", "switch_at", "update_order",
             "regrown_weight", "update_interval", "prune_rate", "growth_beta", "lr", "normalise", "crop_pad",
             "evaluation")


@dataclass(frozen=True)
class StepTimes:
    """What was measured, and where. `jobs` processes were at it side by side, as they are in a sweep."""

    hardware: str
    device: str  # "cpu" or "cuda"
    jobs: int
    seconds: float  # that the measurement took
    times: Mapping[StepKind, Times]

    def of(self, task: Task, engine: str = "auto") -> float | None:
        """Seconds of a task; None if one of its kinds was not measured."""
        total = 0.0
        for share, kind in kinds_of(task, self.device, engine):
            found = self._found(kind)
            if found is None:
                return None
            total += share * _seconds(task[0], found)
        return total

    def _found(self, kind: StepKind) -> Times | None:
        """Measured, or on a straight line between a batch of one and the largest that was measured.

        Where several were, the one whose number of seeds is nearest counts.
        """
        alike = [other for other in self.times if (other.config, other.engine) == (kind.config, kind.engine)]
        if not alike:
            return None
        low = min(alike, key=lambda other: other.runs)
        high = max(alike, key=lambda other: (other.runs >= kind.runs, -abs(other.seeds - kind.seeds), other.runs))
        if not low.runs <= kind.runs <= high.runs:
            return None
        place = (kind.runs - low.runs) / max(1, high.runs - low.runs)
        ends = zip(asdict(self.times[low]).values(), asdict(self.times[high]).values(), strict=True)
        return Times(*(a + place * (b - a) for a, b in ends))

    def save(self, path: Path) -> None:
        """Write as JSON. Raises RegrowError if that cannot be, or if the file that is there is something else."""
        if path.exists():
            try:
                load(path, (FORMAT,))
            except RegrowError:
                raise RegrowError(left_alone(path, "plan --save-times")) from None
        try:
            files.write(path, f"{json.dumps(self.to_dict(), indent=2)}\n".encode())
        except OSError as error:
            raise RegrowError(f"Cannot write {path}: {error.strerror}.") from error

    def to_dict(self) -> dict[str, Any]:
        """What `load` reads, as JSON-ready values."""
        rows = [{**described(kind.config), "engine": kind.engine, "runs": kind.runs, "seeds": kind.seeds,
                 **asdict(times)} for kind, times in self.times.items()]
        return {"format": FORMAT, "hardware": self.hardware, "device": self.device, "jobs": self.jobs,
                "seconds": round(self.seconds, 1), "times": rows}


def load(path: Path, formats: Sequence[str] = (FORMAT, SELFTEST_FORMAT)) -> StepTimes:
    """Read what `save` or the selftest wrote. Raises RegrowError, in one sentence, for anything else."""
    try:
        said = json.loads(path.read_text())
        if said["format"] not in formats:
            raise ValueError(said["format"])
        names, times = set(Times.__dataclass_fields__), {}
        for row in said["times"]:
            config: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                      for name, value in row.items() if name not in names | {"engine", "runs", "seeds"}}
            # Files that do not say it are of batches in which every run had its own seed.
            kind = StepKind(RunConfig(**config), row["engine"], row["runs"], row.get("seeds", row["runs"]))
            times[kind] = Times(**{name: row[name] for name in names})
        return StepTimes(said["hardware"], said["device"], said["jobs"], said["seconds"], times)
    except OSError as error:
        raise RegrowError(f"{path} cannot be read ({error.strerror}): give --hardware cpu, cuda, or a file that "
                          "'plan --save-times FILE' wrote.") from error
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RegrowError(f"{path} holds no step times: 'plan --save-times FILE' and 'selftest --out FILE' write such "
                          "files.") from error


def measure(tasks: Iterable[Task], device: str = "cpu", jobs: int = 1, *, engine: str = "auto",
            apart: bool = False) -> StepTimes:
    """Step every kind among the tasks, in `jobs` processes at once; one is this process, unless `apart`.

    Raises RegrowError if there is no such device here.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise RegrowError("There is no CUDA device here to measure on: give --hardware cpu, or a file that 'plan "
                          "--hardware cuda --save-times FILE' wrote where there is one.")
    check_device(device)
    began, kinds = time.perf_counter(), _to_measure(tasks, device, engine)
    if jobs == 1 and not apart:
        found, name = [probe_all(kinds, device)], provenance.hardware(device)
    else:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(probe_all, [kinds] * jobs, [device] * jobs))
            name = pool.submit(provenance.hardware, device).result()
    means = {kind: Times(*(fmean(values) for values in zip(*(asdict(of[kind]).values() for of in found), strict=True)))
             for kind in kinds}
    return StepTimes(name, device.partition(":")[0], jobs, time.perf_counter() - began, means)


def kinds_of(task: Task, device: str, engine: str = "auto") -> list[tuple[float, StepKind]]:
    """The kinds whose steps a task makes and the share of each: two if its growth rule is switched."""
    config = task[0]
    engine = chosen_engine(config, device, engine)
    if engine == "batched":
        seeds = len({run.seed for run in task})
        alike = _alike(train.shared(config).but(sparsity=0.95), "random", engine)
        return [(1.0, StepKind(alike, engine, len(task), seeds, task))]
    first, second = config.grow_phases
    shares = {first: config.switch_at, second: 1 - config.switch_at} if first != second else {first: 1.0}
    return [(share, StepKind(_alike(config, rule, engine), engine)) for rule, share in shares.items()]


def _alike(config: RunConfig, rule: str, engine: str) -> RunConfig:
    """One config for all whose steps take equally long: what makes no or hardly any difference is left out, and so is
    how often there are updates and averaged steps, which `_seconds` counts.

    A static network steps like one that grows at random. Beside convolutions, growth is next to nothing unless it
    averages gradients, and beside dense ones so are the masks.
    """
    shape = cost.image_shape(config)
    alike: dict[str, Any] = {name: getattr(RunConfig, name) for name in NO_MATTER} | {
        "grow": rule if config.is_dynamic else "random", "augment": "none" if config.augment == "none" else "crop_flip",
        "dataset": "cifar10" if shape == (3, 32, 32) else "mnist"}
    if config.model != "mlp" and not config.is_rbm:
        alike |= {"augment": "crop_flip"}
        if engine != "sparse":
            alike |= {"sparsity": 0.95}
        if engine != "sparse" or rule != "momentum":
            alike |= {"grow": "gradient"}
    elif config.is_dense:
        alike |= {"prune": "none", "grow": "none"}
    return config.but(**alike)


def _to_measure(tasks: Iterable[Task], device: str, engine: str = "auto") -> list[StepKind]:
    """Every kind once; of what trains in batches the largest for every number of seeds, and a single run. The most
    work comes first."""
    largest: dict[tuple[RunConfig, str, int], StepKind] = {}
    for task in tasks:
        for _, kind in kinds_of(task, device, engine):
            alike = kind.config, kind.engine, kind.seeds
            if alike not in largest or largest[alike].runs < kind.runs:
                largest[alike] = kind
    single = [replace(kind, runs=1, seeds=1, task=kind.task[:1]) for kind in largest.values()]
    return sorted(dict.fromkeys([*largest.values(), *single]), key=lambda kind: -cost.multiply_adds(kind.config))


def _seconds(config: RunConfig, times: Times) -> float:
    """A whole run, or a batch of runs."""
    steps = cost.total_steps(config)
    updates = len(schedule.update_steps(config, steps))
    averaged = min(window(config.growth_beta), config.update_interval) * updates
    return (steps * times.step + averaged * (times.averaged_step - times.step) + updates * times.update
            + config.epochs * cost.evaluated_images(config) * times.evaluated_image)
