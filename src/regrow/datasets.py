"""What is known about each data set, and how its arrays are read: package, .npz files, official files, downloads."""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from filelock import FileLock

from regrow.config import nearest
from regrow.errors import ConfigError, DataError
from regrow.files import place

KEYS = ("x_train", "y_train", "x_test", "y_test")
EMBEDDED = "fashion_mnist_small"  # the data set that ships with the package
NETWORK_TIMEOUT = 20.0  # seconds without an answer before a download is given up


@dataclass(frozen=True)
class Facts:
    """Published facts of a data set. `train` and `validation` together are its official training images."""

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]  # (C, H, W) of a raw image
    mean: tuple[float, ...]  # per channel, of pixels / 255
    std: tuple[float, ...]
    train: int
    validation: int
    test: int
    official: str = ""  # class in torchvision.datasets that reads and downloads the official files

    @property
    def classes(self) -> int:
        return len(self.class_names)


_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
_CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""

DATASETS: dict[str, Facts] = {
    "cifar10": Facts(_CIFAR10, (3, 32, 32), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616),
                     45_000, 5_000, 10_000, "CIFAR10"),
    "cifar100": Facts(tuple(_CIFAR100.split()), (3, 32, 32), (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762),
                      45_000, 5_000, 10_000, "CIFAR100"),
    "mnist": Facts(_DIGITS, (1, 28, 28), (0.1307,), (0.3081,), 54_000, 6_000, 10_000, "MNIST"),
    "fashion_mnist": Facts(_CLOTHES, (1, 28, 28), (0.2860,), (0.3530,), 54_000, 6_000, 10_000, "FashionMNIST"),
    EMBEDDED: Facts(_CLOTHES, (1, 28, 28), (0.2860,), (0.3530,), 10_800, 1_200, 2_000),
}


# Constants of SNFS's public code and its descendants: the mean is CIFAR-10's, the standard deviations are too small.
_SNFS = (DATASETS["cifar10"].mean, (0.2023, 0.1994, 0.2010))


def constants(name: str, normalise: str = "own") -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, of pixels / 255, that normalise a data set: one for each of its channels.

    normalise: as in choices.CHOICES. With "cifar10" a grey image gets three of each, for the three channels that a
    network for colour sees.
    """
    facts = known(name)
    match normalise:
        case "own":
            return facts.mean, facts.std
        case "snfs":
            return _SNFS
        case "half":
            return (0.5,) * facts.shape[0], (0.5,) * facts.shape[0]
        case "cifar10":
            return DATASETS["cifar10"].mean, DATASETS["cifar10"].std
    raise DataError(f"There are no constants {normalise!r}{nearest(normalise, ('own', 'snfs', 'half', 'cifar10'))}.")


@dataclass(frozen=True, eq=False)
class RawArrays:
    """A data set in official order: x uint8 [N, H, W] or [N, H, W, 3], y int64 [N]."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def sha256(self) -> str:
        """Of the bytes of x_train, y_train, x_test, y_test, all as uint8: the same wherever the data came from."""
        digest = hashlib.sha256()
        for key in KEYS:
            digest.update(np.ascontiguousarray(getattr(self, key), dtype=np.uint8).data)
        return digest.hexdigest()


def data_root() -> Path:
    """Where data sets are looked for and downloaded to: $REGROW_DATA, or ~/.cache/regrow/data.

    Raises ConfigError if the home folder is not known.
    """
    return place(os.environ.get("REGROW_DATA") or "~/.cache/regrow/data",
                 "set REGROW_DATA to the folder with the data sets, written in full")


def known(name: str) -> Facts:
    """Facts of the named data set. Raises DataError that names the nearest one there is."""
    if name not in DATASETS:
        raise DataError(f"There is no data set {name!r}{nearest(name, DATASETS)}.")
    return DATASETS[name]


def read(name: str, root: Path | str | None = None, download: bool = True) -> RawArrays:
    """Read a data set: <root>/<name>.npz if there is one, else the official files, downloaded if need be and allowed.

    The embedded set always comes from the package. Raises DataError for a missing, truncated or foreign file, and for
    arrays that do not fit the data set.
    """
    facts = known(name)
    if name == EMBEDDED:
        with as_file(files("regrow") / "assets" / f"{name}.npz") as path:
            return _checked(facts, _read_npz(path), path)
    root = data_root() if root is None else place(root)
    brought = root / f"{name}.npz"
    if brought.exists():
        return _checked(facts, _read_npz(brought), brought)
    return _checked(facts, _read_official(name, root, download), root)


def stamp(name: str, root: Path | None = None) -> tuple[tuple[str, int, int, int, int], ...]:
    """What tells whether the files that `read` would read are others than before: path, size, times and inode of each.

    () where there is none yet, and for the set of the package, which is the same everywhere.
    """
    facts = known(name)
    if name == EMBEDDED:
        return ()
    root = (data_root() if root is None else place(root)).absolute()
    tops = [brought] if (brought := root / f"{name}.npz").exists() else [
        top for top in root.glob("*") if top.name.lower().replace("-", "").startswith(facts.official.lower())]
    files_there = [path for top in tops for path in (top, *top.rglob("*")) if path.is_file()]
    states = [(str(path), path.stat()) for path in sorted(files_there)]
    return tuple((path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for path, state in states)


def at_hand(name: str, root: Path | None = None) -> str | None:
    """RawArrays.sha256 of what `read` would read without a download, read once per process while the files stay.

    None if that cannot be read, and for the set of the package.
    """
    try:
        files_there = stamp(name, root)
    except (ConfigError, OSError):
        return None
    return _sha256_of(name, root, files_there) if files_there else None


@lru_cache(maxsize=64)
def _sha256_of(name: str, root: Path | None, files_there: tuple[tuple[str, int, int, int, int], ...]) -> str | None:
    try:
        return read(name, root, download=False).sha256()
    except (DataError, OSError, ImportError):
        return None


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            missing = [key for key in KEYS if key not in stored.files]
            arrays = {key: stored[key] for key in KEYS if key not in missing}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # numpy hands other files out as bytes
            raise TypeError("something in it is no array")
    except Exception as error:  # a foreign file can break the reader in any way
        raise DataError(f"{path} is truncated or is not an .npz file of plain arrays ({_reason(error)}): write it "
                        "again with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...).") from error
    if missing:
        raise DataError(f"{path} has no {' and no '.join(missing)}: it must hold {', '.join(KEYS)}.")
    return arrays


def _read_official(name: str, root: Path, download: bool) -> dict[str, np.ndarray]:
    reader = getattr(torchvision().datasets, DATASETS[name].official)
    try:
        return _official_arrays(reader, root, download=False)
    except Exception as error:  # absent, damaged, still packed, or being unpacked by another process at this moment
        if not download and not _archives_are_sound(reader, root):
            raise _unavailable(name, reader, root, error, "downloading is off") from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"), _network_timeout(NETWORK_TIMEOUT), _archives_stay_inside():
            with suppress(Exception):  # another process may have fetched it in the meantime
                return _official_arrays(reader, root, download=False)
            print(f"Fetching {name} into {root}", file=sys.stderr)
            return _official_arrays(reader, root, download=True)
    except Exception as error:  # no network, no permission, full disk, damaged files
        raise _unavailable(name, reader, root, error, f"could not be downloaded ({_reason(error)})") from error


def _unavailable(name: str, reader: Any, root: Path, error: Exception, why: str) -> DataError:
    folder = root / getattr(reader, "base_folder", reader.__name__)
    remedy = f"put {name}.npz with {', '.join(KEYS)} into {root}, or use dataset={EMBEDDED}, which needs no file."
    if any(path.is_file() for path in folder.rglob("*")):
        return DataError(f"The files of {name} in {folder} are incomplete, damaged or foreign ({_reason(error)}): "
                         f"name another folder with --data to fetch them anew, {remedy}")
    return DataError(f"{name} is not in {root} and {why}: {remedy}")


def _official_arrays(reader: Any, root: Path, download: bool) -> dict[str, np.ndarray]:
    # Reading CIFAR means unpickling, which is safe only because torchvision compares every file's MD5 before.
    arrays = {}
    for part in ("train", "test"):
        images = reader(root, train=part == "train", download=download)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = np.asarray(images.data), np.asarray(images.targets)
    return arrays


def _archives_are_sound(reader: Any, root: Path) -> bool:
    """True if all official archives lie there with the right MD5: `download=True` then only unpacks."""
    if hasattr(reader, "tgz_md5"):
        archives = [(root / reader.filename, reader.tgz_md5)]
    else:
        archives = [(root / reader.__name__ / "raw" / file, md5) for file, md5 in reader.resources]
    return all(torchvision().datasets.utils.check_integrity(path, md5) for path, md5 in archives)


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """A machine whose network swallows packets gets its sentence after `seconds`, not after many minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _archives_stay_inside() -> Iterator[None]:
    """No member of a tar file is written outside the folder it is unpacked into, not even through a link.

    The checksum is compared before; this is for the day that someone makes another file with the same one.
    """
    before = getattr(tarfile.TarFile, "extraction_filter", None)
    if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
        tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        if hasattr(tarfile, "data_filter"):
            tarfile.TarFile.extraction_filter = before


def _checked(facts: Facts, arrays: Mapping[str, np.ndarray], source: Path) -> RawArrays:
    channels, height, width = facts.shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    for part, least in (("train", 10), ("test", 1)):  # of 10 training images the last tenth is one
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != shape:
            raise DataError(f"x_{part} in {source} must be uint8 of shape (N, {', '.join(map(str, shape))}), "
                            f"not {x.dtype} of shape {x.shape}.")
        if y.dtype.kind not in "iu" or y.ndim != 1:
            raise DataError(f"y_{part} in {source} must be whole numbers of shape (N,), "
                            f"not {y.dtype} of shape {y.shape}.")
        if len(x) != len(y):
            raise DataError(f"{source} has {len(x)} images in x_{part} but {len(y)} labels in y_{part}: "
                            "each image needs one label.")
        if len(x) < least:
            raise DataError(f"{source} has {len(x)} images in x_{part}: at least {least} needed.")
        if y.min() < 0 or y.max() >= facts.classes:
            raise DataError(f"y_{part} in {source} has labels from {y.min()} to {y.max()}: "
                            f"the classes are numbered 0 to {facts.classes - 1}.")
    return RawArrays(*(np.ascontiguousarray(arrays[key], np.int64 if key.startswith("y") else np.uint8)
                       for key in KEYS))  # an array saved in Fortran's order is read in it, which no loop takes


def _reason(error: Exception) -> str:
    """The first sentence of an error, on one line. Later ones give remedies that are not ours, such as unpickling."""
    return " ".join(str(error).split()).partition(". ")[0].rstrip(".") or type(error).__name__


_declared: list[Any] = []  # a torch.library.Library takes its operators with it when it is collected


def torchvision() -> ModuleType:
    """The torchvision package; its data sets, transforms and models work, its compiled operators need not.

    A CUDA wheel cannot load its compiled operators beside a CPU torch, and then fails to describe two of them. The
    remedy is to declare just those two. Importing takes about two seconds, so call this only where it is needed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _declared or "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    import torch  # here, since most readers of this module's facts need none

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return importlib.import_module("torchvision")
