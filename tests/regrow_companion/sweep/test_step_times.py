"""Step times: what is measured is what a run does, and what was not measured is said to be unknown."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from regrow import cost, schedule
from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow_companion import study
from regrow_companion.sweep import step_times
from regrow_companion.sweep.step_times import StepKind, StepTimes, Times, kinds_of
from regrow_companion.sweep.task import divided

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)
ONE = Times(step=2.0, averaged_step=3.0, update=10.0, evaluated_image=0.5)


def known(*configs: RunConfig, times: Times = ONE, device: str = "cpu") -> StepTimes:
    kinds = {kind for config in configs for _, kind in kinds_of((config,), device)}
    return StepTimes("a processor", device, 1, 1.0, dict.fromkeys(kinds, times))


def test_a_run_by_hand():
    """8 steps, 4 updates, all of them within the window of momentum growth, 2 epochs of 1,200 + 2,000 images."""
    evaluated = 2 * 3200 * 0.5
    assert cost.total_steps(TINY) == 8 and len(schedule.update_steps(TINY, 8)) == 4
    same = Times(2.0, 2.0, 10.0, 0.5)
    assert known(TINY, times=same).of((TINY,)) == 8 * 2 + 4 * 10 + evaluated
    momentum = TINY.but(grow="momentum")
    assert known(momentum).of((momentum,)) == 8 * 3 + 4 * 10 + evaluated
    static = TINY.but(prune="none", grow="none")
    assert known(static, times=same).of((static,)) == 8 * 2 + evaluated


def test_a_switched_run_is_some_of_both():
    first, second = TINY.but(grow="random"), TINY.but(grow="momentum")
    times = {kinds_of((first,), "cpu")[0][1]: Times(1, 1, 0, 0), kinds_of((second,), "cpu")[0][1]: Times(5, 5, 0, 0)}
    measured = StepTimes("a processor", "cpu", 1, 1.0, times)
    assert measured.of((TINY.but(grow="random>momentum", switch_at=0.25),)) == 8 * (0.25 * 1 + 0.75 * 5)


def test_what_was_not_measured_is_unknown():
    assert known(TINY).of((TINY.but(sparsity=0.8),)) is None
    assert known(TINY).of((TINY.but(grow="random>gradient"),)) is None
    assert known(TINY).of((TINY.but(seed=4, prune="random", init="er"),)) is not None


def test_the_paper_needs_few_probes():
    configs = study.distinct(study.NEEDS, "paper")
    for device, most in (("cpu", 65), ("cuda", 28)):
        tasks = divided(configs, device, "auto")
        kinds = step_times._to_measure(tasks, device)
        assert len(kinds) <= most and len(set(kinds)) == len(kinds)
        measured = StepTimes("all", device, 1, 1.0, dict.fromkeys(kinds, ONE))
        assert all(measured.of(task) for task in tasks), "every run of the paper can be told"
    assert {1, 16} <= {kind.runs for kind in kinds if kind.engine == "batched"}


def test_batches_between_one_and_the_largest():
    runs = tuple(TINY.but(seed=seed) for seed in range(4))
    (_, kind), = kinds_of(runs, "cuda")
    assert kind.engine == "batched" and kind.runs == 4
    low, high = Times(1, 1, 0, 0), Times(4, 4, 0, 0)
    measured = StepTimes("a GPU", "cuda", 1, 1.0, {StepKind(kind.config, "batched", 1): low,
                                                   StepKind(kind.config, "batched", 7): high})
    assert measured.of(runs) == pytest.approx(8 * 2.5) and measured.of(runs[:1]) == 8
    assert measured.of(tuple(TINY.but(seed=seed) for seed in range(8))) is None


@pytest.mark.parametrize("options", [{}, {"grow": "momentum"}, {"sparsity": 0.0, "prune": "none", "grow": "none"},
                                     {"model": "convnet", "hidden": (1024, 512), "batch_size": 8},
                                     {"model": "rbm-small", "hidden": (1024, 512), "batch_size": 8}], ids=str)
def test_really_steps(options, monkeypatch):
    monkeypatch.setattr(step_times, "PROBE_SECONDS", 0.01)
    config = TINY.but(**options)
    before = torch.get_num_threads()
    measured = step_times.measure([(config,)])
    (times,) = measured.times.values()
    assert times.step > 0 and times.averaged_step > 0 and times.evaluated_image > 0
    assert (times.update > 0) is config.is_dynamic
    assert measured.of((config,)) > cost.total_steps(config) * times.step * 0.9
    assert torch.get_num_threads() == before and measured.hardware and measured.device == "cpu"


def test_a_step_whose_gradients_are_averaged_is_timed_by_itself(monkeypatch):
    """Before an update they are, at the first step after one they need not be."""
    numbers: list[int] = []
    monkeypatch.setattr(step_times, "_each", lambda step, number, device: numbers.append(number) or 1.0 * number)
    config = TINY.but(hidden=(20, 10), update_interval=3, train_limit=1024)
    random, momentum = (step_times.probe(StepKind(config.but(grow=rule), "sparse"), "cpu")
                        for rule in ("random", "momentum"))
    assert (random.step, random.averaged_step) == (1, 1) and (momentum.step, momentum.averaged_step) == (1, 2)
    assert numbers == [1, 1, 2]


@pytest.mark.parametrize("rule", ["random", "momentum"])
def test_what_compiles_the_first_time_is_not_timed(rule, monkeypatch):
    """On a fresh machine the kernels of an evaluation compile for seconds, once: not for every image of every epoch."""
    clock, done = [0.0], set()

    class Compiles:
        def work(self, what: str) -> None:
            clock[0] += 1 if what in done else 100
            done.add(what)

        def batches(self, epoch, start):
            return iter([("images", "labels")] * 1000)

        def backward(self, images, labels, number):
            self.work("dense gradients" if number > 1 and rule == "momentum" else "gradients")

        def step(self): pass
        def update(self, number): self.work("update")
        def accuracy(self, images): self.work("evaluation")

    monkeypatch.setattr(step_times.train, "start", lambda *_: SimpleNamespace(engine=Compiles()))
    monkeypatch.setattr(step_times.time, "process_time", lambda: clock[0])
    times = step_times.probe(StepKind(TINY.but(grow=rule, update_interval=4), "sparse"), "cpu")
    assert times == Times(step=1, averaged_step=1, update=1, evaluated_image=1 / step_times.EVALUATED)


def test_a_batch_really_steps(monkeypatch):
    """As on a GPU, but on this processor."""
    monkeypatch.setattr(step_times, "PROBE_SECONDS", 0.01)
    times = step_times.probe(StepKind(TINY, "batched", 5), "cpu")
    assert times.step > 0 and times.update > 0


def test_saved_and_read(tmp_path):
    measured = known(TINY, TINY.but(grow="momentum"), RunConfig(model="vgg16", dataset="cifar100"))
    measured.save(tmp_path / "times.json")
    assert step_times.load(tmp_path / "times.json") == measured
    with pytest.raises(RegrowError, match="Cannot write"):
        measured.save(tmp_path / "times.json" / "times.json")
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(RegrowError, match=r"mine.json is there already and was not written"):
        measured.save(tmp_path / "mine.json")
    assert (tmp_path / "mine.json").read_text() == "{}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "another"}', '{"format": "regrow step times 1"}',
                                  '{"format": "regrow step times 1", "times": [{"engine": "dense"}]}', "\x00"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "times.json").write_text(text)
    with pytest.raises(RegrowError, match="holds no step times"):
        step_times.load(tmp_path / "times.json")
    with pytest.raises(RegrowError, match="cannot be read"):
        step_times.load(tmp_path / "none.json")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_gpu_to_measure_on():
    with pytest.raises(RegrowError, match="no CUDA device here"):
        step_times.measure([(TINY,)], "cuda")


def test_batches_of_older_files_had_a_seed_for_every_run(tmp_path):
    path, kind = tmp_path / "times.json", StepKind(TINY, "batched", 5, 2)
    StepTimes("a GPU", "cuda", 1, 1.0, {kind: ONE}).save(path)
    said = json.loads(path.read_text())
    del said["times"][0]["seeds"]
    path.write_text(json.dumps(said))
    assert list(step_times.load(path).times) == [StepKind(TINY, "batched", 5, 5)]


def test_the_file_is_plain_json(tmp_path):
    known(TINY).save(tmp_path / "times.json")
    said = json.loads((tmp_path / "times.json").read_text())
    assert said["hardware"] == "a processor" and said["times"][0]["step"] == 2.0


def test_what_the_selftest_wrote_is_read_as_strictly_and_not_written_over(tmp_path):
    measured, path = known(TINY), tmp_path / "gpu.json"
    said = {**measured.to_dict(), "format": "regrow selftest 1", "checks": [], "versions": {"torch": "2"}}
    path.write_text(json.dumps(said))
    assert step_times.load(path) == measured
    with pytest.raises(RegrowError, match="was not written by plan --save-times"):
        measured.save(path)
    assert json.loads(path.read_text()) == said
    for wrong in ({"times": [{"engine": "dense"}]}, {"format": "regrow selftest 0"}, {"device": None, "times": {}}):
        path.write_text(json.dumps({name: value for name, value in (said | wrong).items() if value is not None}))
        with pytest.raises(RegrowError, match="'selftest --out FILE' write such files"):
            step_times.load(path)


def test_a_batch_is_stepped_as_the_sweep_trains_it(monkeypatch):
    """Its seeds share their images, so a batch with a seed for every run would be another."""
    begun: list[tuple[RunConfig, ...]] = []
    start = step_times.train.start_together

    def started(configs, dataset, device):
        begun.append(tuple(configs))
        return start(configs, dataset, device)

    monkeypatch.setattr(step_times, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(step_times.train, "start_together", started)
    runs = [TINY.but(seed=seed, grow=rule, sparsity=sparsity, update_until=0.5)
            for seed in (3, 4) for rule in ("random", "gradient", "momentum") for sparsity in (0.9, 0.95)]
    (task,) = divided(runs, "cpu", "batched")
    measured = step_times.measure([task], engine="batched")
    assert begun == [tuple(runs), (runs[0],)] or begun == [(runs[0],), tuple(runs)]
    assert sorted((kind.runs, kind.seeds) for kind in measured.times) == [(1, 1), (12, 2)]
    assert measured.of(task, "batched") > measured.of(task[:1], "batched") > 0


def test_the_batch_with_as_many_seeds_counts(tmp_path):
    few = tuple(TINY.but(seed=seed, sparsity=sparsity) for seed in range(2) for sparsity in (0.9, 0.95))
    many = tuple(TINY.but(seed=seed) for seed in range(4))
    kinds = step_times._to_measure([few, many], "cuda")
    seconds = {1: 1.0, 2: 2.0, 4: 4.0}
    measured = StepTimes("a GPU", "cuda", 1, 1.0, {kind: Times(*2 * [seconds[kind.seeds]], 0, 0) for kind in kinds})
    assert [measured.of(task) for task in (few, many, many[:1])] == [8 * 2, 8 * 4, 8]
    measured.save(tmp_path / "times.json")
    assert step_times.load(tmp_path / "times.json").of(few) == 8 * 2


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RegrowError, match="no CUDA device 3 here"):
        step_times.measure([(TINY,)], "cuda:3")
