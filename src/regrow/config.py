"""What a run is: every name that it may use, presets, and the frozen, hashed config."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, get_type_hints

from regrow.errors import ConfigError

# A rule registered with @regrow.pruning or @regrow.growth is added here and is then as good as a built-in one.
CHOICES: dict[str, dict[str, str]] = {
    "model": {
        "mlp": "3072-1024-512-10 as in Table 5; other sizes with hidden=300,100",
        "convnet": "three convolutions and one linear layer, Table 5",
        "resnet50": "bottleneck ResNet-50 with the ImageNet stem; stem=cifar for a 3x3 stem without pooling",
        "resnet50-cifar": "CIFAR ResNet with 6n+2 layers, n = 8",
        "resnet56": "CIFAR ResNet with 6n+2 layers, n = 9, projection shortcuts",
        "vgg16": "VGG-16 with batch normalisation and one linear layer",
        "rbm-big": "restricted Boltzmann machine, 784 visible and 1000 hidden units (Appendix D)",
        "rbm-small": "restricted Boltzmann machine, 784 visible and 250 hidden units (Appendix D)",
    },
    "dataset": {
        "cifar10": "50,000 + 10,000 colour images, 10 classes",
        "cifar100": "50,000 + 10,000 colour images, 100 classes",
        "mnist": "60,000 + 10,000 digits",
        "fashion_mnist": "60,000 + 10,000 pieces of clothing",
        "fashion_mnist_small": "12,000 + 2,000 images of Fashion-MNIST, shipped inside the package",
    },
    "image_format": {
        "auto": "rgb32 for the five nets of the paper, native for other sizes of the MLP and for RBMs",
        "rgb32": "3 x 32 x 32; grey images are padded by 2 and repeated",
        "native": "as the data set has them",
    },
    "normalise": {
        "auto": "own",
        "own": "mean and standard deviation of the data set's training images",
        "snfs": "of CIFAR-10, with the standard deviations .2023 .1994 .2010 of SNFS's code and its descendants",
        "half": ".5 and .5, as those descendants have it for Fashion-MNIST",
        "cifar10": "those of CIFAR-10, for any images",
    },
    "augment": {
        "auto": "mirror_crop_flip for CIFAR-10, crop_flip for CIFAR-100, none for grey images",
        "crop_flip": "pad with black, random crop, random horizontal flip",
        "mirror_crop_flip": "the same with the border mirrored, as SNFS's code and its descendants do on CIFAR-10",
        "flip": "random horizontal flip alone",
        "none": "images as they are",
    },
    "evaluation": {
        "plain": "as they are",
        "as_training": "cropped and flipped at random too, each image once for a run: one transform for all images",
    },
    "padding": {
        "auto": "none for the ConvNet, same for all others",
        "none": "no border: the ConvNet's maps are 30, 15, 13, 6 and 4 wide, as Table 5 reads in PyTorch's order",
        "same": "one pixel all round, so that only pooling and strides make maps smaller",
    },
    "stem": {
        "imagenet": "7x7 convolution with stride 2 and a max-pool",
        "cifar": "3x3 convolution with stride 1",
    },
    "init": {
        "erk": "Erdos-Renyi-Kernel: density of a layer ~ sum(shape) / prod(shape)",
        "er": "Erdos-Renyi: density ~ (n_in + n_out) / (n_in n_out)",
        "erk_printed": "Table 2's formula as printed: density ~ (n_in + n_out) / (n_in n_out w h)",
        "uniform": "the same density in every layer",
    },
    "prune": {
        "none": "no pruning (static mask or dense network)",
        "magnitude": "the fraction p of the active weights nearest zero",
        "set": "the fraction p of the positive and of the negative active weights nearest zero (SET)",
        "set_legacy": "SET as a widespread bug has it: about half of the active weights, whatever p is",
        "random": "a fraction p of the active weights, drawn at random",
    },
    "grow": {
        "none": "no growth (static mask or dense network)",
        "random": "anywhere (SET)",
        "gradient": "where the dense gradient is largest (RigL)",
        "momentum": "where the running average of the dense gradient is largest (SNFS, Eq. 10)",
        "l3": "where most paths of length three end (a link predictor, not in the paper)",
    },
    "prune_schedule": {
        "cosine": "p0 (1 + cos(pi t / T)) / 2, Eq. 5",
        "constant": "p0",
        "linear": "p0 (1 - t / T)",
    },
    "update_order": {
        "after_step": "optimizer step, then prune and grow with the same batch's gradient taken before that step",
        "instead_of_step": "the topology update replaces the optimizer step (RigL)",
    },
    "regrown_weight": {
        "zero": "every grown connection starts at 0",
        "keep": "a connection pruned and regrown in the same update keeps its weight",
    },
    "grown_buffer": {
        "zero": "a grown connection starts without optimizer momentum",
        "keep": "the optimizer's momentum buffer is left as it is",
    },
    "growth_momentum": {
        "ema": "Eq. 10: our own running average of the dense gradient",
        "sgd_buffer": "the optimizer's own momentum buffer, fed with the dense gradient",
    },
    "dtype": {"float32": "single precision", "float64": "double precision, for checks"},
}

# How other codes call a key of a run, and what is written here.
KEYS_ELSEWHERE = {
    "density": "sparsity, which is 1 - density", "learning_rate": "lr", "wd": "weight_decay", "l2": "weight_decay",
    "drop_fraction": "prune_rate", "prune_fraction": "prune_rate", "death_rate": "prune_rate", "zeta": "prune_rate",
    "growth": "grow", "pruning": "prune", "method": "preset, or prune and grow", "delta_t": "update_interval",
    "update_frequency": "update_interval", "t_end": "update_until", "arch": "model", "network": "model", "net": "model",
    "data": "dataset", "batch": "batch_size", "bs": "batch_size", "layers": "hidden", "sizes": "hidden",
    "width": "hidden", "n_epochs": "epochs", "num_epochs": "epochs", "steps": "epochs", "iterations": "epochs",
    "optimizer": "lr, momentum, nesterov and weight_decay of SGD", "scheduler": "lr_milestones and lr_decay",
    "lr_schedule": "lr_milestones and lr_decay", "gamma": "lr_decay", "mixed_precision": "amp", "bf16": "amp",
    "allow_tf32": "tf32", "beta": "growth_beta", "normalize": "normalise", "augmentation": "augment",
    "distribution": "init"}
RULES_ELSEWHERE = {"rigl": "gradient", "set": "random", "snfs": "momentum"}

# Files of the user's with rules (see rules.load_own), separated as in PATH.
OWN_RULES = "REGROW_RULES"
# What they register: it takes part in every study, after the paper's rules.
OWN: dict[str, list[str]] = {"prune": [], "grow": []}
# "grow NAME" or "prune NAME" -> what gives the digest of the code of a rule that is not ours, and of what it uses, as
# that is now; part of the key of a run that uses it.
FINGERPRINTS: dict[str, Callable[[], str]] = {}
_held: list[dict[str, str]] = []  # digests that stay as they are for now

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "rigl": {"grow": "gradient", "prune_rate": 0.3, "update_order": "instead_of_step", "update_until": 0.75,
             "regrown_weight": "keep"},
    "set": {"prune": "set", "grow": "random", "prune_rate": 0.3, "prune_schedule": "constant",
            "regrow_pruned": False},
    "snfs": {"grow": "momentum", "growth_momentum": "sgd_buffer"},
    "static": {"prune": "none", "grow": "none"},
    "dense": {"sparsity": 0.0, "prune": "none", "grow": "none"},
}

# Ways to compute the same steps; which one a run had is provenance and not part of its key.
ENGINES: dict[str, str] = {
    "auto": "the fastest that fits",
    "dense": "any network on any device",
    "compiled": "dense, through torch.compile",
    "sparse": "all but resnet50 on the CPU, work proportional to connections",
    "batched": "many runs of one MLP at once, for GPUs",
}


# Raise this when the same config would give another result than before: every key changes with it.
RESULT_VERSION = 1


def _key(default: Any, help: str, absent: Any = None) -> Any:
    """`absent`: what runs recorded before there was this key did; None: the default."""
    return field(default=default, metadata={"help": help, "absent": default if absent is None else absent})


class Strategy:
    """How a network is wired, and rewired while it trains: what a run's config shares with the settings of `sparsify`.

    The fields are theirs; RunConfig says what they mean. `sparsity` is None where layers are given one by one.
    """

    sparsity: float | None
    init: str
    prune: str
    grow: str
    switch_at: float
    prune_rate: float
    prune_schedule: str
    update_interval: int
    update_until: float
    update_order: str
    regrow_pruned: bool
    regrown_weight: str
    grown_buffer: str
    growth_momentum: str
    growth_beta: float
    seed: int

    @property
    def is_dynamic(self) -> bool:
        """True if the topology is rewired during training."""
        return self.prune != "none"

    @property
    def grow_phases(self) -> tuple[str, str]:
        """The growth rule of the first and of the second part of training (equal unless switched)."""
        first, _, second = self.grow.partition(">")
        return first, second or first


@dataclass(frozen=True, kw_only=True)
class RunConfig(Strategy):
    """One run. Defaults are the paper's setting (Section 5.1) on the data set that ships with the package.

    Raises ConfigError, in one sentence that names the nearest right key or value, for anything impossible.
    """

    model: str = _key("mlp", "network")
    hidden: tuple[int, ...] = _key((1024, 512), "hidden layers of the MLP")
    stem: str = _key("imagenet", "first layer of resnet50")
    padding: str = _key("auto", "border of zeros around what a 3x3 convolution sees", absent="same")
    dataset: str = _key("fashion_mnist_small", "images")
    image_format: str = _key("auto", "how images enter the network")
    normalise: str = _key("auto", "constants that images are normalised with", absent="own")
    augment: str = _key("auto", "training augmentation")
    crop_pad: int = _key(4, "pixels on each side before a random crop")
    evaluation: str = _key("plain", "validation and test images")
    train_limit: int = _key(0, "use only this many training images (0: all)")
    sparsity: float = _key(0.95, "fraction of the maskable weights that is absent; 0 is dense")
    init: str = _key("erk", "how connections are spread over the layers")
    prune: str = _key("magnitude", "which connections go")
    grow: str = _key("gradient", "where new ones come; 'random>gradient' switches at switch_at")
    switch_at: float = _key(0.5, "fraction of training at which a strategy such as random>gradient switches")
    prune_rate: float = _key(0.5, "p0, the fraction pruned at the first update")
    prune_schedule: str = _key("cosine", "how p decays")
    update_interval: int = _key(400, "optimizer steps between topology updates")
    update_until: float = _key(1.0, "fraction of training after which the topology is frozen")
    update_order: str = _key("after_step", "order at an update step")
    regrow_pruned: bool = _key(True, "a connection just pruned may grow again in the same update")
    regrown_weight: str = _key("zero", "value of a connection pruned and regrown at once")
    grown_buffer: str = _key("zero", "optimizer momentum of a grown connection")
    growth_momentum: str = _key("ema", "what momentum growth ranks")
    growth_beta: float = _key(0.9, "beta of Eq. 10")
    epochs: int = _key(300, "passes over the training images")
    batch_size: int = _key(128, "images a step")
    lr: float = _key(0.1, "first learning rate")
    lr_milestones: tuple[float, ...] = _key((0.5, 0.75), "fractions of training at which lr drops")
    lr_decay: float = _key(0.1, "factor at each milestone")
    momentum: float = _key(0.9, "SGD momentum")
    nesterov: bool = _key(True, "Nesterov momentum")
    weight_decay: float = _key(5e-4, "L2 penalty on all parameters")
    dtype: str = _key("float32", "precision")
    amp: bool = _key(False, "mixed precision: the network's passes in bfloat16 where autocast allows it")
    tf32: bool = _key(False, "on a GPU, products and convolutions with 10 bits of mantissa instead of 23, and faster")
    seed: int = _key(0, "one seed; every purpose gets a generator of its own from it")

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _checked_type(f.name, getattr(self, f.name)))
        _check_names(self)
        _check_numbers(self)
        _check_clashes(self)
        if self.image_format == "auto":
            object.__setattr__(self, "image_format", "native" if self.is_small else "rgb32")
        if self.augment == "auto":
            usual = {"cifar10": "mirror_crop_flip", "cifar100": "crop_flip"}
            object.__setattr__(self, "augment", usual.get(self.dataset, "none"))
        if self.normalise == "auto":
            object.__setattr__(self, "normalise", "own")
        if self.padding == "auto":
            object.__setattr__(self, "padding", "none" if self.model == "convnet" else "same")
        _check_images(self)

    @property
    def is_small(self) -> bool:
        """True for networks that are not one of the paper's five: grey images then enter as they are."""
        return self.is_rbm or (self.model == "mlp" and self.hidden != (1024, 512))

    @property
    def is_rbm(self) -> bool:
        """True for the Boltzmann machines of Appendix D, which are no classifiers."""
        return self.model.startswith("rbm")

    @property
    def is_dense(self) -> bool:
        return self.sparsity == 0

    @property
    def evaluation_augment(self) -> str:
        """What happens to validation and test images: a name of `augment`."""
        return self.augment if self.evaluation == "as_training" else "none"

    @property
    def method(self) -> str:
        """What figures call this run: 'dense', 'static', or the growth rule such as 'momentum' or 'random>gradient'."""
        if self.is_dense:
            return "dense"
        return self.grow if self.is_dynamic else "static"

    @property
    def key(self) -> str:
        """Content address of the run: 16 hex digits of everything that can change its result.

        Only values that differ from the defaults are hashed, so a field added later leaves older keys as they are;
        where its default is not what runs did before, what they did is left out instead. The code of a rule that
        somebody registered counts as well: another code is another run.
        """
        changed = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.metadata["absent"]}
        named = [f"prune {self.prune}", *(f"grow {rule}" for rule in self.grow_phases)]
        held = _held[-1] if _held else {}
        own = {rule: held.get(rule) or held.setdefault(rule, FINGERPRINTS[rule]())
               for rule in named if rule in FINGERPRINTS}
        text = json.dumps([RESULT_VERSION, changed, *([own] if own else [])], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-ready values."""
        return json.loads(json.dumps(asdict(self)))

    def but(self, **changes: Any) -> RunConfig:
        """A copy with some fields changed, checked again. Resolved 'auto' values stay resolved."""
        return replace(self, **changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Build from a mapping; unknown keys are refused with the nearest right one."""
        for name in values:
            if name not in _TYPES:
                raise _no_key(name)
        return cls(**values)

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> RunConfig:
        """Build from what a file says of a finished run: a key that it does not name did not exist at that time."""
        added = {f.name: f.metadata["absent"] for f in fields(cls) if f.metadata["absent"] != f.default}
        return cls.from_dict(added | {name: tuple(value) if isinstance(value, list) else value
                                      for name, value in values.items()})

    @classmethod
    def from_strings(cls, words: Iterable[str]) -> RunConfig:
        """Build from 'key=value' words as typed on a command line; preset=NAME may stand among them."""
        values: dict[str, Any] = {}
        base: dict[str, Any] | None = None
        for word in words:
            name, equals, text = word.partition("=")
            if not equals:
                raise ConfigError(f"{word!r} is not of the form key=value, for example epochs=10.")
            if name == "preset":
                if base is not None:
                    raise ConfigError("There is more than one preset: name one, and set single keys beside it.")
                base = preset(text)
            elif name not in _TYPES:
                raise _no_key(name, text)
            elif name in values and values[name] != _parsed(name, text):
                raise ConfigError(f"{name} is given twice, and not the same: {word} comes after another value.")
            else:
                values[name] = _parsed(name, text)
        return cls.from_dict((base or {}) | values)


@contextmanager
def same_keys() -> Iterator[None]:
    """Meanwhile a rule's digest is what it was when a key first asked: rules may change what they use as they run."""
    _held.append(_held[-1] if _held else {})
    try:
        yield
    finally:
        _held.pop()


def preset(name: str) -> dict[str, Any]:
    """The values of a named preset (a copy). Raises ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}{nearest(name, PRESETS)}.")
    return dict(PRESETS[name])


def nearest(word: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' or the list of what there is, to put into a sentence that refuses a name.

    Capitals, dashes and dots make no difference.
    """
    known = list(known)
    plain = {_plain(name): name for name in reversed(known)}
    close = get_close_matches(_plain(str(word)), plain, n=1, cutoff=0.6)
    return f" (did you mean {plain[close[0]]!r}?)" if close else f" (there are {', '.join(known)})"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower() or name


def _no_key(name: str, text: str = "") -> ConfigError:
    """The sentence that refuses a key, typed with the value `text`, with what it is called here."""
    if name == "density" and re.fullmatch(r"0?\.\d+", text):
        return ConfigError(f"There is no key 'density': write sparsity={1 - float(text):.12g}.")
    if (ours := KEYS_ELSEWHERE.get(str(name).lower())) is not None:
        return ConfigError(f"There is no key {name!r}: write {ours}.")
    return ConfigError(f"There is no key {name!r}{nearest(name, [*_TYPES, 'preset'])}.")


_TYPES: dict[str, Any] = {f.name: get_type_hints(RunConfig)[f.name] for f in fields(RunConfig)}


def _checked_type(name: str, value: Any) -> Any:
    kind = _TYPES[name]
    if kind is float and type(value) is int and abs(value) < 1e300:
        value = float(value)
    if kind is float and value == 0:
        value = 0.0  # -0.0 is the same run
    if kind in (tuple[int, ...], tuple[float, ...]) and isinstance(value, list | tuple):
        item = int if kind == tuple[int, ...] else float
        if all(type(v) in (int, float) and math.isfinite(v) and item(v) == v for v in value):
            return tuple(item(v) for v in value)
    elif kind in (int, float, str, bool) and type(value) is kind:
        return value
    wanted = {int: "a whole number", float: "a number", str: "a name", bool: "true or false"}
    raise ConfigError(f"{name} must be {wanted.get(kind, 'numbers like 300,100')}, not {value!r}.")


def _parsed(name: str, text: str) -> Any:
    kind = _TYPES[name]
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind in (tuple[int, ...], tuple[float, ...]):
            item = int if kind == tuple[int, ...] else float
            return tuple(item(part) for part in text.split(","))
        return kind(text)
    except (ValueError, KeyError):
        return _checked_type(name, text)  # raises the sentence


def check_strategy(strategy: Strategy) -> None:
    """Raise ConfigError, in one sentence, for a name, a number or a pair of rules that no strategy can have.

    Numbers are brought to their types.
    """
    for name in Strategy.__annotations__:
        if name != "sparsity":
            object.__setattr__(strategy, name, _checked_type(name, getattr(strategy, name)))
    _check_names(strategy)
    _check_strategy_numbers(strategy)
    _check_pair(strategy)


def _check_pair(strategy: Strategy) -> None:
    if (strategy.prune == "none") != (strategy.grow == "none"):
        raise ConfigError(f"prune={strategy.prune} with grow={strategy.grow} would change the number of connections: "
                          "set both, or both to none (preset=static).")


def _check_names(config: Strategy) -> None:
    for name, choices in CHOICES.items():
        if not hasattr(config, name):
            continue
        values = getattr(config, name).split(">") if name == "grow" else [getattr(config, name)]
        for value in values:
            if value not in choices:
                ours = RULES_ELSEWHERE.get(value.lower()) if name == "grow" else None
                raise ConfigError(f"There is no {name} {value!r}{nearest(value, choices)}." if ours is None else
                                  f"There is no grow {value!r}: write grow={ours}, or preset={value.lower()} for all "
                                  "that goes with it.")
        if len(values) > 2 or (len(values) == 2 and "none" in values):
            raise ConfigError(f"grow={config.grow} must name one rule, or two like random>gradient.")
        if len(values) == 2 and values[0] == values[1]:
            raise ConfigError(f"grow={config.grow} switches to the same rule: write grow={values[0]}.")


def _need(ok: bool, config: Strategy, name: str, what: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {what}, not {getattr(config, name)}.")


def _check_strategy_numbers(config: Strategy) -> None:
    for name in ("prune_rate", "growth_beta", "switch_at", "update_until"):
        _need(math.isfinite(getattr(config, name)), config, name, "a finite number")
    _need(0 <= config.prune_rate <= 1, config, "prune_rate", "between 0 and 1")
    _need(0 <= config.growth_beta < 1, config, "growth_beta", "at least 0 and below 1")
    _need(0 < config.switch_at < 1, config, "switch_at", "between 0 and 1")
    _need(0 < config.update_until <= 1, config, "update_until", "above 0 and at most 1")
    _need(config.update_interval >= 1, config, "update_interval", "at least 1")
    _need(config.seed >= 0, config, "seed", "at least 0")


def _check_numbers(config: RunConfig) -> None:
    for name in ("sparsity", "lr", "lr_decay", "momentum", "weight_decay"):
        _need(math.isfinite(getattr(config, name)), config, name, "a finite number")
    _need(0 <= config.sparsity < 1, config, "sparsity", "at least 0 and below 1")
    _check_strategy_numbers(config)
    _need(0 <= config.momentum < 1, config, "momentum", "at least 0 and below 1")
    for name in ("lr", "lr_decay"):
        _need(getattr(config, name) > 0, config, name, "above 0")
    _need(config.weight_decay >= 0, config, "weight_decay", "at least 0")
    for name in ("epochs", "batch_size"):
        _need(getattr(config, name) >= 1, config, name, "at least 1")
    _need(config.train_limit >= 0, config, "train_limit", "at least 0")
    _need(1 <= config.crop_pad <= 16, config, "crop_pad", "between 1 and 16")
    _need(len(config.hidden) > 0 and all(n > 0 for n in config.hidden), config, "hidden", "one or more sizes above 0")
    _need(all(0 < m < 1 for m in config.lr_milestones) and list(config.lr_milestones) == sorted(config.lr_milestones),
          config, "lr_milestones", "rising fractions between 0 and 1")


def _check_images(config: RunConfig) -> None:
    """What clashes once 'auto' is resolved."""
    if config.normalise == "snfs" and config.dataset != "cifar10":
        raise ConfigError(f"normalise=snfs has constants of CIFAR-10 alone: use own, half or cifar10 for dataset="
                          f"{config.dataset}.")
    if config.is_rbm and config.normalise != "own":
        raise ConfigError("The RBMs take grey levels between 0 and 1 as they are: leave normalise out.")
    if config.normalise == "cifar10" and config.image_format == "native" and not config.dataset.startswith("cifar"):
        raise ConfigError("normalise=cifar10 has constants for three channels, and a grey image as the data set has it "
                          "has one: add image_format=rgb32, or use normalise=own or half.")
    if config.evaluation == "as_training" and config.augment == "none":
        raise ConfigError("evaluation=as_training with augment=none changes nothing: set augment, or leave evaluation "
                          "out.")
    if config.crop_pad != 4 and config.augment in ("none", "flip"):
        raise ConfigError(f"crop_pad is for random crops and means nothing with augment={config.augment}: set "
                          "augment=crop_flip or mirror_crop_flip.")
    if config.is_rbm and config.evaluation != "plain":
        raise ConfigError("The RBMs have no accuracy to evaluate: leave evaluation out.")


def _check_clashes(config: RunConfig) -> None:
    if config.is_dense and (config.prune, config.grow) != ("none", "none"):
        raise ConfigError("A dense run (sparsity=0) has nothing to prune or grow: add prune=none grow=none, "
                          "or write preset=dense.")
    _check_pair(config)
    if config.nesterov and config.momentum == 0:
        raise ConfigError("Nesterov momentum needs momentum above 0: set momentum=0.9, or nesterov=false.")
    if config.growth_momentum == "sgd_buffer" and "momentum" in config.grow_phases and config.momentum == 0:
        raise ConfigError("growth_momentum=sgd_buffer needs an optimizer with momentum above 0.")
    if config.amp and config.dtype != "float32":
        raise ConfigError("amp=true is mixed single precision: leave dtype=float64 out.")
    if config.tf32 and config.dtype != "float32":
        raise ConfigError("tf32=true shortens single precision: leave dtype=float64 out.")
    if config.hidden != (1024, 512) and config.model != "mlp":
        raise ConfigError(f"hidden sets the sizes of the MLP and means nothing for model={config.model}.")
    if config.padding == "none" and config.model != "convnet":
        raise ConfigError(f"padding=none is for model=convnet and means nothing for model={config.model}.")
    if config.stem != "imagenet" and config.model != "resnet50":
        raise ConfigError(f"stem is for model=resnet50 and means nothing for model={config.model}.")
    if config.is_rbm and config.dataset.startswith("cifar"):
        raise ConfigError("The RBMs take grey images: use dataset=mnist or fashion_mnist.")
