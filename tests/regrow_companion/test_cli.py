"""The command line: JSON that parses, one sentence for every mistake, and nothing written because of one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from regrow import compact
from regrow.config import RunConfig
from regrow.store import Store
from regrow_companion import claims, cli, commands, console, study

WORDS = ["hidden=20,10", "train_limit=256", "epochs=2", "batch_size=64", "update_interval=2"]
TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path, monkeypatch):
    """Default stores and data of this machine stay out of the tests."""
    monkeypatch.setenv("REGROW_STORE", str(tmp_path / "default"))
    monkeypatch.setenv("REGROW_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "interactive", lambda: False)  # pytest's notebook plugin looks like a notebook


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("trained")
    Store(store).ensure(TINY)
    return store


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, run in this process."""
    try:
        code = cli.main([str(word) for word in argv])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


# ---- train ----


def test_train_prints_what_it_made(tmp_path, capsys):
    code, out, err = said(capsys, "train", *WORDS, "--store", tmp_path / "s")
    record = Store(tmp_path / "s").get(TINY)
    assert code == 0 and err == ""
    assert re.search(rf"^key +{record.key}$", out, re.M) and str(tmp_path / "s" / "records") in out
    assert re.search(rf"^validation +{record.val_accuracy[-1]:.2f} %$", out, re.M)
    assert re.search(rf"^test +{record.test_accuracy[-1]:.2f} %", out, re.M)
    assert ("collapsed" in out) is record.collapsed
    assert re.search(r"^seconds +\d+\.\d$", out, re.M)
    for layer, count in record.connections.items():
        assert re.search(rf"^connections +{layer} {count:,}$", out, re.M)


def test_train_prints_the_measures_of_a_boltzmann_machine(tmp_path, capsys):
    words = ("model=rbm-small", "train_limit=64", "batch_size=16", "epochs=1", "update_interval=2")
    code, out, err = said(capsys, "train", *words, "--store", tmp_path / "s")
    assert code == 0 and err == "" and "%" not in out
    for name in ("free energy, training", "free energy, validation", "reconstruction error"):
        assert re.search(rf"^measure +{name} -?\d+\.\d{{4}}$", out, re.M)
    answer = json.loads(said(capsys, "train", *words, "--store", tmp_path / "s", "--json")[1])
    assert 0 < answer["reconstruction error"] < 1 and "test_accuracy" not in answer
    assert answer["connections"] == {"rbm": 9800}


def test_train_again_only_reads(trained, capsys, monkeypatch):
    from regrow import train

    monkeypatch.setattr(train, "advance", None)
    code, out, err = said(capsys, "train", *WORDS, "--store", trained, "--json")
    record, answer = Store(trained).get(TINY), json.loads(out)
    assert code == 0 and err == ""
    assert answer["key"] == record.key and answer["connections"] == record.connections
    assert answer["test_accuracy"] == pytest.approx(record.test_accuracy[-1], abs=1e-4)
    assert answer["seconds"] == record.provenance["seconds"] and answer["config"] == TINY.to_dict()


def test_train_uses_the_default_store(tmp_path, capsys):
    assert said(capsys, "train", *WORDS, "preset=static")[0] == 0
    assert len(list((tmp_path / "default" / "records").iterdir())) == 1


def test_damage_is_told_on_stderr_and_stdout_stays_json(trained, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(trained, store)
    Store(store).record_path(TINY.key).write_bytes(b"damaged")
    code, out, err = said(capsys, "train", *WORDS, "--store", store, "--json")
    assert code == 0 and json.loads(out)["key"] == TINY.key
    assert len(err.splitlines()) == 1 and "moved to" in err and err.startswith("regrow: ")


def test_keys_may_stand_between_options(trained, capsys):
    code, out, _ = said(capsys, "train", *WORDS[:2], "--json", *WORDS[2:4], "--store", trained, *WORDS[4:])
    assert code == 0 and json.loads(out)["key"] == TINY.key


def test_a_list_of_notebooks_is_of_those_asked_for(capsys):
    code, out, _ = said(capsys, "notebooks", "--list", "--only", "05,fig07", "--json")
    assert code == 0 and [entry["id"] for entry in json.loads(out)] == ["05", "10"]


# ---- mistakes ----

MISTAKES = [  # command line, what the sentence must name
    (["train", "grwo=random"], "'grow'"),
    (["train", "grow=gradeint"], "'gradient'"),
    (["train", "model=resnet65"], "'resnet56'"),
    (["train", "dataset=cifra10"], "'cifar10'"),
    (["train", "preset=rigle"], "'rigl'"),
    (["train", "prune=magnitud"], "'magnitude'"),
    (["train", "epochs=ten"], "epochs"),
    (["train", "epochs=0"], "epochs"),
    (["train", "epochs"], "key=value"),
    (["train", "sparsity=1.5"], "sparsity"),
    (["train", "lr=nan"], "lr"),
    (["train", "nesterov=perhaps"], "nesterov"),
    (["train", "sparsity=0"], "preset=dense"),
    (["train", "hidden=20,x"], "hidden"),
    (["train", *WORDS[:-1], "update_interval=9"], "update_interval"),
    (["train", *WORDS, "update_until=0.1"], "0.1"),
    (["train", *WORDS, "--store", ""], "--store"),
    (["status", "--only", ","], "--only"),
    (["torture", "--minutes", "0"], "--minutes"),
    (["train", "model=rbm-big", "dataset=mnist", "image_format=rgb32"], "RBM"),
    (["train", *WORDS, "--device", "gpu"], "cpu"),
    (["train", "train_limit=999999", *WORDS[2:]], "10800"),
    (["trian"], "did you mean 'train'"),
    (["train", "density=0.05"], "write sparsity=0.95."),
    (["train", "learning_rate=0.1"], "write lr."),
    (["train", "grow=RigL"], "write grow=gradient, or preset=rigl"),
    (["train", "dataset=CIFAR-10"], "did you mean 'cifar10'"),
    (["train", "--epochs", "1"], "without dashes: epochs=1"),
    (["train", "--seed=3", "lr=1"], "without dashes: seed=3"),
    (["train", *WORDS, "epochs=3"], "epochs is given twice"),
    (["train", *WORDS, "--store", "a", "--store", "b"], "--store is given twice"),
    (["train", *WORDS, "sparsity=0.99999"], "fc1, fc2, fc3 without a connection"),
    (["train", *WORDS, "sparsity=1e-9"], "leaves no place empty: raise it"),
    (["train", *WORDS, "prune_rate=0"], "prune_rate=0 of at most"),
    (["train", "--only", "table4"], "train has no option --only; plan, run"),
    (["run", "--epochs", "3"], "'train epochs=3' trains one"),
    (["run", "table4"], "write --only table4"),
    (["notebooks", "--list", "--only", "nonsense"], "'nonsense'"),
    ([], "COMMAND"),
    (["plan", "--profile", "papre"], "'paper'"),
    (["plan", "--only", "fig21"], "fig20"),
    (["plan", "--frofile", "paper"], "--frofile"),
    (["run", "--profile", "qiuck"], "'quick'"),
    (["run", "--profile", "replay"], "quick"),
    (["run", "--only", "tabel4"], "'table4'"),
    (["run", "--jobs", "-1"], "--jobs"),
    (["run", "--jobs", "many"], "--jobs"),
    (["run", "--address", "auto"], "--engine ray"),
    (["status", "--only", "fig99"], "fig"),
    (["status", "--profile", "quik"], "'quick'"),
    (["models", "--density", "0"], "--density"),
    (["models", "--density", "nan"], "--density"),
    (["models", "--classes", "1"], "--classes"),
    (["notebooks", "--profile", "qick"], "'quick'"),
    (["report", "--profile", "qick"], "'quick'"),
]


@pytest.mark.parametrize(("argv", "named"), MISTAKES, ids=[" ".join(m[0][:1] + m[0][-1:]) for m in MISTAKES])
def test_a_mistake_is_one_sentence(argv, named, tmp_path, capsys):
    code, out, err = said(capsys, *argv)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("regrow: ") and lines[0].endswith(".") and "Traceback" not in err
    assert named in lines[0]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "locks"]
    assert written == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_device(capsys):
    code, _, err = said(capsys, "train", *WORDS, "--device", "cuda")
    assert code == 2 and "no CUDA device" in err and len(err.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_sweep_without_its_device_leaves_the_store_as_it_was(tmp_path, capsys):
    """Else the right command would leave every run out as failed."""
    code, out, err = said(capsys, "run", "--only", "fig12", "--device", "cuda", "--store", tmp_path / "store")
    assert (code, out) == (2, "") and "no CUDA device" in err and len(err.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_a_store_that_is_a_file(tmp_path, capsys):
    (tmp_path / "store").write_text("mine")
    code, out, err = said(capsys, "train", *WORDS, "--store", tmp_path / "store")
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "cannot be written" in err and "--store" in err
    assert (tmp_path / "store").read_text() == "mine"


def test_missing_data_is_one_sentence(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar10.npz").write_bytes(b"no images")
    code, out, err = said(capsys, "train", *WORDS, "dataset=cifar10")
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "cifar10.npz" in err


def test_whatever_the_disk_refuses_is_one_sentence(capsys, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "some/file")

    monkeypatch.setattr(Store, "ensure", full)
    code, out, err = said(capsys, "train", *WORDS)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "some/file" in err and "No space" in err


def test_interrupted(capsys, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "ensure", stop)
    code, _, err = said(capsys, "train", *WORDS)
    assert code == 130 and len(err.splitlines()) == 1 and "same command" in err


@pytest.mark.parametrize("command", ["", "doctor", "models", "train", "plan", "run", "status", "notebooks", "report",
                                     "ship", "claims", "tails", "torture"])
def test_help(command, capsys):
    code, out, err = said(capsys, *command.split(), "--help")
    assert code == 0 and err == "" and "usage: python -m regrow" in out


def test_help_of_train_names_every_key_and_rule(capsys):
    out = said(capsys, "train", "--help")[1]
    for name in (*RunConfig().to_dict(), "preset=NAME", "gradient", "set_legacy", "resnet50-cifar", "rigl"):
        assert name in out


def test_version(capsys):
    from regrow import __version__

    assert said(capsys, "--version") == (0, f"regrow {__version__}\n", "")


# ---- plan, models, status, run, doctor ----


def test_plan_of_the_paper(capsys):
    code, out, err = said(capsys, "plan", "--profile", "paper", "--json", "--no-measure")
    plan = json.loads(out)
    assert code == 0 and err == "" and plan["distinct"] == 1874 and plan["done"] == 0
    assert len(plan["configs"]) == 1874 and sum(need["new"] for need in plan["needs"]) == 1874
    assert {need["need"] for need in plan["needs"]} == set(study.NEEDS)
    assert all(set(need["keys"]) <= plan["configs"].keys() and len(need["keys"]) == need["runs"]
               for need in plan["needs"])
    one = next(iter(plan["configs"].values()))
    rebuilt = RunConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()})
    assert rebuilt.key == next(iter(plan["configs"]))


def test_plan_for_people(capsys):
    code, out, _ = said(capsys, "plan", "--only", "table4,fig12", "--keys", "--no-measure")
    assert code == 0 and "table4" in out and "fig12" in out and "fig05" not in out
    keys = [line for line in out.splitlines() if re.match(r"[0-9a-f]{16} waiting", line)]
    assert len(keys) == len(study.distinct(["table4", "fig12"], "paper"))
    words = keys[-1].split()[2:]
    assert RunConfig.from_strings(words).key == keys[-1].split()[0], "the words make that very run"


def test_plan_knows_what_is_done(tmp_path, capsys):
    wanted = study.runs("fig12", "quick")[0]
    path = Store(tmp_path / "s").record_path(wanted.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"anything")
    plan = json.loads(said(capsys, "plan", "--profile", "quick", "--only", "fig12", "--store", tmp_path / "s",
                           "--json", "--no-measure")[1])
    assert plan["done"] == 1 and plan["needs"][0]["done"] == 1


def test_shipped_records_count_as_done_only_if_asked(trained, tmp_path, capsys, monkeypatch):
    """To go on with the queue on a machine that has an empty store."""
    shutil.copytree(trained / "records", tmp_path / "results" / "records")
    monkeypatch.setattr(study, "SHIPPED", tmp_path / "results")
    monkeypatch.setattr(study, "runs", lambda need, profile: (TINY,))
    asked = ("--profile", "quick", "--only", "fig13", "--store", tmp_path / "s", "--json")
    for command, more in (("status", ()), ("plan", ("--no-measure",))):
        plain = json.loads(said(capsys, command, *asked, *more)[1])
        told = json.loads(said(capsys, command, *asked, *more, "--shipped")[1])
        done = [answer.get("done", answer.get("total", {}).get("done")) for answer in (plain, told)]
        assert done == [0, 1], command
    answer = json.loads(said(capsys, "run", *asked, "--shipped")[1])
    assert (answer["trained"], answer["present"], answer["failed"]) == (0, 1, {})
    assert not list((tmp_path / "s").rglob("*.npz")), "nothing was trained, nothing copied"


def test_models_with_ten_classes(capsys):
    code, out, _ = said(capsys, "models", "--json")
    everything = json.loads(out)
    rows = {row["model"]: row for row in everything if row["classes"] == 10}
    counts = {name: (row["parameters"], row["maskable"]) for name, row in rows.items()}
    quoted, = (row for row in everything if row["classes"] == 1000)  # the paper counts the ImageNet network
    assert (quoted["model"], quoted["parameters"], quoted["maskable"]) == ("resnet50", 25_557_032, 25_502_912)
    assert code == 0 and counts == {
        "mlp": (3_676_682, 3_675_136), "convnet": (94_538, 94_304), "resnet56": (855_770, 851_504),
        "resnet50-cifar": (758_554, 754_736), "vgg16": (14_724_042, 14_715_584),
        "resnet50": (25_557_032 - 990 * 2049, 25_502_912 - 990 * 2048)}
    assert rows["mlp"]["connections"]["erk"] == {"fc1": 129_918, "fc2": 48_719, "fc3": 5_120}
    for row in rows.values():
        assert all(sum(layers.values()) == round(0.05 * row["maskable"]) for layers in row["connections"].values())


def test_models_with_a_thousand_classes(capsys):
    rows = {row["model"]: row for row in json.loads(said(capsys, "models", "--classes", "1000", "--json")[1])}
    assert (rows["resnet50"]["parameters"], rows["resnet50"]["maskable"]) == (25_557_032, 25_502_912)


def test_models_for_people(capsys):
    code, out, _ = said(capsys, "models", "--density", "0.1")
    assert code == 0 and "mlp, 10 classes: 3,676,682 parameters, 3,675,136 maskable" in out and "367,514" in out


def test_status_counts_every_state(tmp_path, capsys):
    store, configs = Store(tmp_path / "s"), study.runs("fig12", "quick")
    for path in (store.record_path(configs[0].key), store.checkpoint_path(configs[1].key)):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"anything")
    store.fail(configs[2], "no luck")
    argv = ("status", "--store", tmp_path / "s", "--only", "fig12")
    answer = json.loads(said(capsys, *argv, "--json")[1])
    expected = {"done": 1, "running": 0, "failed": 1, "interrupted": 1, "waiting": len(configs) - 3}
    assert answer["total"] == answer["needs"]["fig12"] == expected and answer["profile"] == "quick"
    code, out, _ = said(capsys, *argv)
    assert code == 0 and re.search(rf"^distinct +1 +0 +1 +1 +{len(configs) - 3}$", out, re.M)


@pytest.mark.slow
def test_run_trains_what_is_missing_and_tells_what_failed(trained, tmp_path, capsys, monkeypatch):
    store = tmp_path / "store"
    shutil.copytree(trained, store)
    bad = TINY.but(train_limit=10_801)
    monkeypatch.setattr(commands.study, "distinct", lambda needs, profile: (TINY, TINY.but(seed=1), bad))
    code, out, err = said(capsys, "run", "--store", store, "--jobs", "1", "--json")
    answer = json.loads(out)
    assert code == 1 and (answer["trained"], answer["present"]) == (1, 1) and list(answer["failed"]) == [bad.key]
    assert err == ""
    monkeypatch.setattr(commands.study, "distinct", lambda needs, profile: (TINY, TINY.but(seed=1)))
    code, out, _ = said(capsys, "run", "--store", store)
    assert code == 0 and out.startswith("0 runs trained, 2 were there, 0 failed")


@pytest.mark.slow
def test_claims_are_judged_on_shipped_records(tmp_path, capsys, monkeypatch):
    judged, judge = [], claims.evaluate
    monkeypatch.setattr(claims, "evaluate", lambda evidence: judged.extend(judge(evidence)) or judged)
    code, out, err = said(capsys, "claims", "--store", tmp_path / "s")
    assert code == 0 and err == "" and "REPRODUCED" in out and "shell-floor" in out
    monkeypatch.setattr(claims, "evaluate", lambda evidence: judged)  # half a minute once is enough
    code, out, _ = said(capsys, "claims", "--store", tmp_path / "s", "--json")
    assert code == 0 and {row["verdict"] for row in json.loads(out)} >= {"reproduced", "undecided", "not reproduced"}
    assert not (tmp_path / "s").exists()


def test_doctor_as_json(tmp_path, capsys):
    code, out, _ = said(capsys, "doctor", "--store", tmp_path / "s", "--json")
    checks = json.loads(out)
    assert {check["name"] for check in checks} == {"python", "packages", "device", "kernels", "data", "disk",
                                                    "store"}
    assert code == (0 if all(check["ok"] for check in checks) else 2)
    assert all(check["remedy"] for check in checks if not check["ok"])


@pytest.mark.slow
def test_as_a_program(tmp_path):
    """The exit codes reach the shell, and a mistake is told without the seconds that torch takes to import."""
    program = [sys.executable, "-X", "importtime", "-m", "regrow"]
    wrong = subprocess.run([*program, "train", "grwo=random"], capture_output=True, text=True, timeout=60)
    told = [line for line in wrong.stderr.splitlines() if not line.startswith("import time:")]
    assert wrong.returncode == 2 and wrong.stdout == "" and len(told) == 1
    assert "There is no key 'grwo'" in told[0] and "'grow'" in told[0]
    assert not re.search(r"\| torch$", wrong.stderr, re.M)
    good = subprocess.run([sys.executable, "-m", "regrow", "status", "--json", "--store", tmp_path / "s"],
                          capture_output=True, text=True, timeout=60)
    assert good.returncode == 0 and json.loads(good.stdout)["total"]["done"] == 0 and good.stderr == ""
    assert not (tmp_path / "s").exists(), "looking writes nothing"


# ---- paths ----


def test_a_tilde_after_an_equals_sign_is_home(tmp_path, monkeypatch, capsys):
    """Shells leave it as it is, and a folder called ~ is a trap."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code, _, err = said(capsys, "train", *WORDS, "--store=~/runs")
    assert code == 0 and list((tmp_path / "runs" / "records").glob("*.npz")) and not (tmp_path / "~").exists(), err
    code, _, err = said(capsys, "status", "--store", "~nobody-is-called-so/runs")
    assert code == 2 and "write the path in full" in err


def test_a_tilde_in_a_variable_is_home(tmp_path, monkeypatch, capsys):
    """Nobody replaces it in a unit file, a container's environment or a quoted export."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGROW_STORE", "~/runs")
    assert json.loads(said(capsys, "status", "--json")[1])["store"] == str(tmp_path / "runs")
    assert Store("~/runs").root == tmp_path / "runs"
    for variable in ("REGROW_STORE", "REGROW_DATA", "REGROW_RULES"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "~nobody-is-called-so/x")
            code, out, err = said(capsys, "train", "dataset=mnist", "hidden=30,10")
            assert code == 2 and out == "" and err.startswith("regrow: The home folder in ~nobody-is-called-so/x")
            assert err.count("\n") == 1 and variable in err, variable


def test_without_a_home_folder(tmp_path):
    """As in a service or a container whose user has no entry and no HOME: what needs none works, the rest says so."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\n\ndef absent(who):\n    raise KeyError(who)\n\npwd.getpwuid = pwd.getpwnam = absent\n")
    bare = {name: value for name, value in os.environ.items() if name not in ("HOME", "REGROW_DATA", "USERPROFILE")}

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, (str(tmp_path), bare.get("PYTHONPATH"))))
        return subprocess.run([sys.executable, "-m", "regrow", *words], capture_output=True, text=True, timeout=120,
                              env=bare | {"PYTHONPATH": path, "MPLCONFIGDIR": str(tmp_path)})

    assert ask("train", *WORDS, "--store", str(tmp_path / "s")).returncode == 0
    data = ask("train", "dataset=mnist", "hidden=30,10", "--store", str(tmp_path / "s"))
    assert data.returncode == 2 and data.stderr.endswith("set REGROW_DATA to the folder with the data sets, written in "
                                                         "full.\n") and data.stderr.count("\n") == 1
    books = ask("notebooks", "--list")  # Jupyter's packages ask for one when they are imported
    assert books.returncode == 2, books.stderr
    assert books.stderr == "regrow: The home folder is not known: set HOME to a folder that can be written.\n"


def test_with_both_streams_closed(tmp_path):
    """As some services start programs. Files must not get the numbers 1 and 2, to which libraries write."""
    words = [sys.executable, "-m", "regrow", "train", *WORDS, "--store", str(tmp_path)]
    code = subprocess.run(["bash", "-c", '"$@" >&- 2>&-', "bash", *words], timeout=120).returncode
    assert code == 0 and list((tmp_path / "records").glob("*.npz"))


def test_without_compiled_kernels_training_is_dense(tmp_path):
    """NUMBA_DISABLE_JIT=1, set for a debugger: nothing in the sparse engine could run as Python."""
    def ask(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "regrow", "train", *WORDS, "--store", str(tmp_path), *more],
                              capture_output=True, text=True, timeout=120, env=os.environ | {"NUMBA_DISABLE_JIT": "1"})

    refused = ask("--engine", "sparse")
    assert refused.returncode == 2 and refused.stderr.startswith("regrow: NUMBA_DISABLE_JIT is set"), refused.stderr
    done = ask()
    assert done.returncode == 0, done.stderr
    assert compact.load(next((tmp_path / "records").glob("*.npz"))).provenance["engine"] == "dense"


@pytest.mark.parametrize("command", ["status", "claims", "ship"])
def test_a_file_is_no_store(command, tmp_path, capsys):
    """Nothing is found in it, which would look like a store without runs."""
    (tmp_path / "runs").write_text("")
    code, out, err = said(capsys, command, "--store", tmp_path / "runs")
    assert code == 2 and "is a file, so a folder there cannot" in err and out == ""


def test_a_terminal_that_knows_no_plus_minus_gets_the_rest(tmp_path):
    """The numbers of an ASCII locale, or of a redirected old code page."""
    (tmp_path / "k.txt").write_text("\n".join(map(str, range(1, 60))))
    done = subprocess.run([sys.executable, "-m", "regrow", "tails", "k.txt", "--xmin", "3", "--sets", "5"],
                          capture_output=True, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and re.search(rb"alpha +[0-9.]+ \? [0-9.]+", done.stdout), done.stderr
