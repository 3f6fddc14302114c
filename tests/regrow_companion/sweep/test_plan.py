"""The plan: counts without measuring, hours from step times, and never a number that was not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from regrow.config import RunConfig
from regrow.store import Store
from regrow_companion import cli, study
from regrow_companion.sweep import plan, step_times
from regrow_companion.sweep.step_times import StepTimes, Times
from regrow_companion.sweep.task import divided

STEP = Times(step=0.01, averaged_step=0.01, update=0.0, evaluated_image=0.0)


@pytest.fixture
def times(tmp_path: Path) -> Path:
    """A file with 10 ms a step for whatever Figure 12 and Table 3 need, but not for Table 7."""
    configs = study.distinct(["fig12", "table3"], "paper")
    kinds = step_times._to_measure(divided(configs, "cpu", "auto"), "cpu")
    path = tmp_path / "times.json"
    StepTimes("a processor", "cpu", 2, 33.0, dict.fromkeys(kinds, STEP)).save(path)
    return path


def said(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert cli.main([str(word) for word in argv]) == 0
    return capsys.readouterr().out


def test_hours_of_what_is_left(tmp_path, times, capsys):
    configs = study.runs("fig12", "paper")
    store = Store(tmp_path / "s")
    path = store.record_path(configs[0].key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a record")
    argv = ("plan", "--only", "fig12,fig05,table3", "--store", store.root, "--hardware", times, "--workers", "1,4")
    answer = json.loads(said(capsys, *argv, "--json"))
    first, again, third = answer["needs"]
    steps = 14 * 105_600 * 0.01 / 3600
    assert (first["left"], first["done"], again["left"]) == (14, 1, 0) and again["hours_left"] == 0
    assert first["hours_left"] == pytest.approx(steps)
    assert answer["hours_left"] == pytest.approx(steps + third["hours_left"]) and answer["left"] == 114
    one, four = answer["schedules"]
    assert one["hours"] == pytest.approx(answer["hours_left"]) and one["efficiency"] == pytest.approx(1)
    assert answer["hours_left"] / 4 <= four["hours"] <= answer["hours_left"] / 4 * 1.1
    assert answer["measured"] == {"hardware": "a processor", "device": "cpu", "jobs": 2, "seconds": 33.0}
    out = said(capsys, *argv)
    assert f"{answer['hours_left']:.1f} CPU-hours by step times of a processor, 2 at once, measured in 33 s" in out
    assert re.search(r"^4 +\d+:\d\d:\d\d +9\d %", out, re.M) or re.search(r"^4 +\d+:\d\d:\d\d +100 %", out, re.M)


def test_what_was_not_measured_has_no_hours(tmp_path, times, capsys):
    argv = ("plan", "--only", "fig12,table7", "--store", tmp_path / "s", "--hardware", times)
    answer = json.loads(said(capsys, *argv, "--json"))
    assert answer["needs"][0]["hours_left"] > 0 and answer["needs"][1]["hours_left"] is None
    assert answer["hours_left"] is None and answer["schedules"] == []
    out = said(capsys, *argv)
    assert "Not all of what is left was measured" in out and "not measured" in out
    out = said(capsys, "plan", "--only", "fig12", "--store", tmp_path / "s", "--no-measure")
    assert re.search(r"fig12 .* not measured", out) and "step times" not in out


@pytest.mark.parametrize(("options", "sentence"), [
    (("--save-times", "times.json"), "leaves no step times for --save-times"),
    (("--workers", "4"), "leaves no step times for"), (("--jobs", "-1"), "--jobs must be 1 or more, not -1")])
def test_options_that_would_do_nothing_are_refused(options, sentence, tmp_path, capsys):
    argv = ["plan", "--only", "fig12", "--store", str(tmp_path), "--no-measure", *options]
    assert cli.main(argv) == 2 and sentence in capsys.readouterr().err


def test_gpus_that_runs_share(tmp_path, capsys):
    """Two at once on a GPU halve the GPU-hours of each."""
    configs = study.runs("table3", "paper")
    tasks = divided(configs, "cuda", "auto")
    kinds = step_times._to_measure(tasks, "cuda")
    for jobs in (1, 2):
        StepTimes("a GPU", "cuda", jobs, 1.0, dict.fromkeys(kinds, STEP)).save(tmp_path / f"{jobs}.json")
    hours = [json.loads(said(capsys, "plan", "--only", "table3", "--store", tmp_path / "s", "--json", "--hardware",
                             tmp_path / f"{jobs}.json")) for jobs in (1, 2)]
    assert hours[0]["hours_of"] == "GPU-hours" and hours[0]["hours_left"] == pytest.approx(2 * hours[1]["hours_left"])
    batches = sum(len(task) for task in tasks if len(task) > 1)
    assert batches == 20, "the MLPs train together"
    assert "GPU-hours" in said(capsys, "plan", "--only", "table3", "--store", tmp_path / "s", "--hardware",
                               tmp_path / "1.json")


def test_measures_here(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(step_times, "PROBE_SECONDS", 0.01)
    file = tmp_path / "times.json"
    out = said(capsys, "plan", "--profile", "quick", "--only", "fig12", "--store", tmp_path / "s", "--jobs", "1",
               "--save-times", file)
    assert re.search(r"What is left takes \d\S* CPU-hours by step times of .*1 at once", out)
    assert said(capsys, "plan", "--profile", "quick", "--only", "fig12", "--store", tmp_path / "s", "--hardware", file)


@pytest.mark.parametrize(("argv", "named"), [
    (["--hardware", "gpu"], "--hardware"), (["--hardware", "no-such.json"], "--save-times"),
    (["--workers", "1,x"], "--workers"), (["--workers", "0"], "--workers"), (["--jobs", "-1"], "--jobs")])
def test_mistakes(argv, named, capsys, tmp_path):
    assert cli.main(["plan", "--only", "fig12", "--store", str(tmp_path / "s"), *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and named in err and len(err.splitlines()) == 1


def test_every_key_can_be_typed(capsys, tmp_path):
    """Also where a value is the default of another data set, such as augment=none."""
    out = said(capsys, "plan", "--only", "ablations,fig16,table8", "--store", tmp_path / "s", "--no-measure", "--keys")
    lines = [line.split() for line in out.splitlines() if re.match(r"[0-9a-f]{16} waiting", line)]
    assert len(lines) == len(study.distinct(["ablations", "fig16", "table8"], "paper"))
    for key, _, *words in lines:
        assert RunConfig.from_strings(words).key == key


def test_nothing_left_is_nothing_to_measure(tmp_path, capsys, monkeypatch):
    store = Store(tmp_path / "s")
    for config in study.runs("fig12", "quick"):
        path = store.record_path(config.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a record")
    monkeypatch.setattr(plan.step_times, "measure", None)
    assert "0 left" in said(capsys, "plan", "--profile", "quick", "--only", "fig12", "--store", store.root)


def test_a_batch_is_counted_once_and_not_for_each_of_its_runs(tmp_path, capsys):
    tasks = divided(study.runs("table3", "paper"), "cuda", "auto")
    times = StepTimes("a GPU", "cuda", 1, 1.0, dict.fromkeys(step_times._to_measure(tasks, "cuda"), STEP))
    times.save(tmp_path / "times.json")
    answer = json.loads(said(capsys, "plan", "--only", "table3", "--store", tmp_path / "s", "--json", "--hardware",
                             tmp_path / "times.json"))
    assert any(len(task) > 1 for task in tasks)
    assert answer["hours_left"] == pytest.approx(sum(times.of(task) for task in tasks) / 3600)
