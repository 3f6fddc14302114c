"""Every mistake that a command line, a config, a notebook parameter or a data file can hold: one sentence, exit code 2,
nothing written. Made systematically: every key times values that no key of its kind may have, every command times
flags that it does not know or cannot read."""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import numpy as np

from regrow.config import CHOICES, RunConfig
from regrow.datasets import DATASETS
from regrow.errors import RegrowError
from torture.promises import Stage, Tally
from torture.said import Said, command

TINY = ("hidden=20,10", "train_limit=256", "epochs=2", "batch_size=64", "update_interval=2")
REAL = 40  # every so many mistakes, one is made by a process of its own

_NOT_NUMBERS = ("", "ten", "1e", "0x10", "1;2", "nan", "inf", "None", "--", "1_0_")
_BELOW = {"sparsity": ("-0.1", "1", "1.0", "1.5", "1e300"), "prune_rate": ("-0.5", "1.01", "50"),
          "growth_beta": ("-0.1", "1", "2"), "switch_at": ("0", "1", "-1"), "update_until": ("0", "-0.2", "1.5"),
          "momentum": ("-0.9", "1", "9"), "lr": ("0", "-0.1"), "lr_decay": ("0", "-1"), "weight_decay": ("-1e-4",),
          "epochs": ("0", "-1", "1.5"), "batch_size": ("0", "-128"), "update_interval": ("0", "-400", "0.5"),
          "train_limit": ("-1", "0.5"), "seed": ("-1", "1.0"), "hidden": ("0", "20,-1", "20,,10", "20.5", "20;10"),
          "lr_milestones": ("0,0.5", "0.75,0.5", "0.5,1", "half")}

CLASHES: tuple[tuple[str, ...], ...] = (
    ("sparsity=0", "grow=momentum"), ("preset=dense", "grow=momentum"), ("preset=dense", "prune=magnitude"),
    ("sparsity=1.0",), ("epochs=0",), ("preset=static", "grow=random"), ("prune=none",), ("grow=none",),
    ("momentum=0",), ("momentum=0", "nesterov=false", "grow=momentum", "growth_momentum=sgd_buffer"),
    ("amp=true", "dtype=float64"), ("model=vgg16", "hidden=30"), ("stem=cifar",), ("model=convnet", "stem=cifar"),
    ("model=rbm-big", "dataset=cifar10"), ("model=rbm-small", "image_format=rgb32"), ("model=rbm-small", "amp=true"),
    ("grow=random>random",), ("grow=random>none",), ("grow=random>gradient>momentum",), ("grow=>random",),
    ("preset=rigl", "preset=set"), ("preset=rigle",), (*TINY[:-1], "update_interval=9"),
    (*TINY[:-1], "update_interval=400"), (*TINY, "epochs=3"), (*TINY, "update_until=0.1"),
    ("update_interval=1000000",), ("train_limit=10801",), ("train_limit=999999999",),
    ("model=rbm-small", "update_interval=100000"), ("epochs=1", "update_interval=86"))


@dataclass(frozen=True)
class Mistake:
    """A command line that must be refused; `{folder}` in it stands for an empty folder of the mistake's own."""

    kind: str
    argv: tuple[str, ...]
    file: tuple[str, bytes] | None = None  # name and contents of a file that lies in the folder's data root


def mistakes(seed: int = 0) -> list[Mistake]:
    """All of them, in a random order in which every kind comes early."""
    kinds = [list(dict.fromkeys(made())) for made in (_configs, _clashes, _command_lines, _data_files, _number_files,
                                                      _parameters)]
    chance = random.Random(seed)
    places = [((n + chance.random()) / len(made), mistake) for made in kinds
              for n, mistake in enumerate(chance.sample(made, len(made)))]
    ordered = [mistake for _, mistake in sorted(places, key=lambda place: place[0])]
    return list({(mistake.argv, mistake.file): mistake for mistake in ordered}.values())  # some are of two kinds


def _train(kind: str, *words: str, file: tuple[str, bytes] | None = None, more: Sequence[str] = ()) -> Mistake:
    return Mistake(kind, ("train", *words, "--store", "{folder}/store", "--data", "{folder}/data", *more), file)


def _configs() -> Iterator[Mistake]:
    for name, kind in get_type_hints(RunConfig).items():
        if name in CHOICES:
            first = next(iter(CHOICES[name]))
            bad: tuple[str, ...] = ("", first[:-1] + "?", first.upper(), "0", "../" + first)
        elif kind is bool:
            bad = ("", "perhaps", "2", "yes!")
        else:
            bad = (*_NOT_NUMBERS[:4], *_BELOW.get(name, ())) if kind in (int, float) else _BELOW[name]
            if kind is float:
                bad += ("nan", "-inf")
        yield from (_train("configs", f"{name}={value}") for value in bad)
        yield _train("configs", f"{name[:-1]}{'' if name.endswith('s') else 'ss'}=1")  # a key that does not exist
    for word in ("epochs", "=3", "=", "epochs=3=4", " epochs=3", "Epochs=3", "preset=", "__class__=1", "key=0"):
        yield _train("configs", word)


def _clashes() -> Iterator[Mistake]:
    yield from (_train("clashes", *words) for words in CLASHES)


def _command_lines() -> Iterator[Mistake]:
    store = ("--store", "{folder}/store")
    commands = ("doctor", "models", "train", "plan", "run", "status", "notebooks", "ship", "report", "claims", "tails")
    for name in commands:
        yield from (Mistake("command lines", (name, flag)) for flag in ("--no-such-option", "--jsn", "-z"))
        yield Mistake("command lines", (name[:-1] + "x",))
    for name in ("doctor", "train", "plan", "run", "status", "notebooks", "ship", "claims"):
        yield Mistake("command lines", (name, "--store"))  # without its value
        yield Mistake("command lines", (name, "--store", ""))
    for name in ("plan", "run", "status", "notebooks", "report"):
        yield from (Mistake("command lines", (name, "--profile", profile)) for profile in ("papre", "", "QUICK"))
    for name in ("plan", "run", "status", "ship", "notebooks"):
        yield from (Mistake("command lines", (name, "--only", wanted, *store))
                    for wanted in ("fig99", "tabel4", "fig05,fig", ",", ""))
    for device in ("gpu", "cuda:99", "cuda:-1", "cpu:0", ""):
        yield _train("command lines", *TINY, more=("--device", device))
    for engine in ("spars", "", "jax"):
        yield _train("command lines", *TINY, more=("--engine", engine))
    yield _train("command lines", "model=resnet50", more=("--engine", "sparse"))
    yield from (Mistake("command lines", ("run", "--jobs", jobs, *store)) for jobs in ("-1", "many", "1.5", ""))
    yield from (Mistake("command lines", ("notebooks", "--jobs", jobs)) for jobs in ("-2", "x"))
    yield from (Mistake("command lines", ("notebooks", "--from", name)) for name in ("99", "fig99", ""))
    yield from (Mistake("command lines", ("models", "--density", d)) for d in ("0", "-1", "1.01", "nan", "inf", "x"))
    yield from (Mistake("command lines", ("models", "--classes", c)) for c in ("1", "0", "-5", "ten"))
    yield from (Mistake("command lines", words) for words in ((), ("",), ("--profile", "quick"), ("regrow", "run"),
                                                              ("run", "replay"), ("run", "--profile", "replay")))
    for number in ("0", "-1", "x", "nan"):
        yield Mistake("command lines", ("torture", "--minutes", number))


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # an array of objects is pickled here, and must be refused
    return buffer.getvalue()


class _Bomb:
    """Unpickled, it would make a file."""

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        return (_open_for_writing, ("regrow-unpickled-this",))


def _open_for_writing(name: str) -> str:
    Path(name).write_text("")
    return name


def _zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def _arrays(shape: tuple[int, ...], train: int = 40, test: int = 12) -> dict[str, np.ndarray]:
    return {"x_train": np.zeros((train, *shape), np.uint8), "y_train": np.arange(train) % 10,
            "x_test": np.zeros((test, *shape), np.uint8), "y_test": np.arange(test) % 10}


def _data_files() -> Iterator[Mistake]:
    for name in ("mnist", "cifar10"):
        channels, height, width = DATASETS[name].shape
        shape = (height, width) if channels == 1 else (height, width, channels)
        good = _arrays(shape)
        whole = _npz(**good)
        bomb = pickle.dumps(_Bomb())
        bad: list[bytes] = [b"", b"hello", whole[:100], whole[:len(whole) // 2], whole[:-30], bomb,
                            whole[:400] + b"\xff" * 64 + whole[464:], b"PK\x05\x06" + bytes(18),
                            struct.pack(">HBB3I", 0, 8, 3, 40, height, width), _npz(x=np.arange(3)),
                            _zip(x_train=bomb, y_train=bomb, x_test=bomb, y_test=bomb),
                            _zip(**{key: b"\x93NUMPY\x01\x00\xff\xff" for key in good})]
        objects = np.array([_Bomb()] * 40, object)
        changes: list[dict[str, np.ndarray]] = [
            {"x_train": objects}, {"y_train": objects}, {"x_train": good["x_train"][:, 1:]},
            {"x_train": good["x_train"].astype(np.float32)}, {"y_train": good["y_train"][:-1]},
            {"y_train": good["y_train"] + 1}, {"y_train": good["y_train"] - 1}, {"y_train": good["y_train"] * 0.5},
            {"y_test": good["y_test"][:, None]}, {"x_test": good["x_test"].reshape(12, -1)},
            {"x_test": good["x_test"][:0], "y_test": good["y_test"][:0]},
            {"x_train": good["x_train"][:9], "y_train": good["y_train"][:9]},
            {"x_train": np.array("text")}, {"y_train": np.array(3)}]
        bad += [_npz(**good | change) for change in changes]
        bad += [_npz(**{key: array for key, array in good.items() if key != left_out}) for left_out in good]
        yield from (_train("data files", f"dataset={name}", "hidden=20,10", "batch_size=8", "epochs=1",
                           "update_interval=2", file=(f"{name}.npz", content)) for content in bad)


def _number_files() -> Iterator[Mistake]:
    contents = (b"", b"# nothing\n", b"one two", b"1 2 x", b"\xff\xfe\x00", b"1.5\n2.5\n", b"-1 -2 -3", b"3 3 3 3",
                b"nan inf", pickle.dumps([1, 2, 3]), b"1" * 400)
    for content in contents:
        yield Mistake("number files", ("tails", "{folder}/data/numbers.txt"), ("numbers.txt", content))
    numbers = "\n".join(str(n) for n in range(1, 60)).encode()
    for flags in (("--xmin", "x"), ("--xmin", "0"), ("--xmin", "1000"), ("--xmin", "-3"), ("--xmax", "0"),
                  ("--xmax", "x"), ("--xmin", "20", "--xmax", "10")):
        yield Mistake("number files", ("tails", "{folder}/data/numbers.txt", *flags), ("numbers.txt", numbers))
    yield Mistake("number files", ("tails", "{folder}/data/absent.txt"))
    yield Mistake("number files", ("tails", "{folder}"))


def _parameters() -> Iterator[Mistake]:
    """For the cell of parameters; paths are in the mistake's folder, where `data/file` is a file."""
    file = ("file", b"mine")
    for profile in ("papre", "", "QUICK", "quick ", "full"):
        yield Mistake("notebook parameters", ("--parameters", profile, "{folder}/store", "{folder}/out"))
    yield Mistake("notebook parameters", ("--parameters", "paper", "{folder}/store", "{folder}/out"))  # has no records
    for place in ("{folder}/data/file", "{folder}/data/file/below"):
        yield Mistake("notebook parameters", ("--parameters", "quick", place, "{folder}/out"), file)
        yield Mistake("notebook parameters", ("--parameters", "replay", "{folder}/store", place), file)


def notebook(parameters: Sequence[str], folder: Path) -> Said:
    """What a notebook with these parameters (profile, store, out) ends with, as the runner would tell it."""
    import pandas as pd

    from regrow_companion import session

    profile, store, out = parameters
    try:
        book = session.start("12", profile=profile, store=store, out=out)
        records = book.records("fig12")
        book.save_table(pd.DataFrame({"n": [1]}), "fig12", caption="One.", records=records)
    except RegrowError as error:
        return Said(2, "", f"regrow: {error}\n")
    except Exception as error:
        return Said(1, "", "", f"{type(error).__name__}: {error}")
    return Said(0, "", "")


def what_broke(said: Said, folder: Path, before: set[Path]) -> str:
    """Which promise the answer to a mistake broke; empty if none."""
    lines = said.err.splitlines()
    if "Traceback" in said.err or said.raised:
        return f"a traceback ({said.raised or lines[-1]})"
    if said.code != 2:
        return f"exit code {said.code}"
    if len(lines) != 1 or not re.fullmatch(r"regrow: \S.*\.", lines[0]):
        return f"not one sentence: {said.err!r}"
    if said.out:
        return f"printed on stdout: {said.out[:80]!r}"
    written = {path for path in folder.rglob("*") if path.is_file()} - before
    return f"wrote {sorted(path.name for path in written)}" if written else ""


def run(stage: Stage) -> Tally:
    """Make the mistakes, most in this process and a sample of them in real ones."""
    tally = Tally("bad input", planned=stage.planned)
    every = mistakes(stage.seed)[:stage.planned]
    for number, mistake in enumerate(every):
        if stage.over:
            break
        folder = stage.folder / f"mistake{number}"
        (folder / "data").mkdir(parents=True)
        if mistake.file is not None:
            (folder / "data" / mistake.file[0]).write_bytes(mistake.file[1])
        before = {path for path in folder.rglob("*") if path.is_file()}
        argv = [word.replace("{folder}", str(folder)) for word in mistake.argv]
        said = (notebook(argv[1:], folder) if argv[:1] == ["--parameters"] else
                in_process(argv, folder) if number % REAL == REAL // 2 else command(argv, folder))
        tally.tried += 1
        tally.count(mistake.kind)
        if trouble := what_broke(said, folder, before):
            tally.broken.append(f"{' '.join(mistake.argv)}: {trouble}")
    return tally


def in_process(argv: Sequence[str], folder: Path) -> Said:
    """The same in a process of its own, in that folder."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = os.pathsep.join(os.path.abspath(path) for path in paths if path)
    places = {"PYTHONPATH": absolute, "REGROW_STORE": str(folder / "default-store")}
    done = subprocess.run([sys.executable, "-m", "regrow", *argv], cwd=folder, env=os.environ | places,
                          capture_output=True, text=True, timeout=120)
    return Said(done.returncode, done.stdout, done.stderr)
