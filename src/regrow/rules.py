"""Every pruning and growth rule (Sections 4.3.2 and 4.3.3, Appendix A), and the one selection that all of them share.

A rule of one's own is a decorated function like these, in a file that REGROW_RULES names. Pruning ranks what exists:
ranking all positions, as Eq. 6 is printed, would prune nothing at 95 % sparsity, since more than half of all
weights are zero. Growth is a score for every position; RigL differs from SET by one line, SNFS by another.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regrow import fingerprint
from regrow.config import CHOICES, FINGERPRINTS, OWN, OWN_RULES, Strategy, nearest
from regrow.determinism import global_chance
from regrow.errors import ConfigError, RegrowError
from regrow.files import place


@dataclass(frozen=True)
class LayerState:
    """One layer at a topology update. All tensors have the weight's shape."""

    weight: Tensor
    mask: Tensor  # bool, True where a connection is
    generator: torch.Generator  # for rules that draw; the processor's, wherever the tensors are
    gradient: Tensor | None = None  # dE/dTheta at every position, connected or not (Eq. 9)
    average: Tensor | None = None  # its running average v (Eq. 10)
    name: str = ""  # of the layer; "" where it has none
    groups: int = 1  # of a convolution: so many networks side by side, one below the other along the first axis


PruningRule = Callable[[LayerState, float], Tensor]
GrowthScore = Callable[[LayerState], Tensor]


@dataclass(frozen=True)
class GrowthRule:
    """A score for every position; the highest ones grow. `needs` names the dense tensors that it reads."""

    score: GrowthScore
    needs: frozenset[str]


NEEDS = ("gradient", "average")
PRUNING: dict[str, PruningRule] = {}
PRUNING_NEEDS: dict[str, frozenset[str]] = {}
ELEMENTWISE: set[str] = set()  # pruning rules that look at weights alone, not at where they are
GROWTH: dict[str, GrowthRule] = {}


def pruning(name: str = "", *, elementwise: bool = False,
            needs: str | Iterable[str] = "") -> Callable[[PruningRule], PruningRule]:
    """Register `rule(layer, rate) -> bool tensor` of the connections to remove, a subset of layer.mask.

    `needs` lists 'gradient' and/or 'average' if the rule reads them. A rule that is `elementwise` depends on the
    weights of the connections alone; it is called with those weights in a row, which is faster. What a rule gets are
    copies in the processor's memory, so that a run on a GPU asks the same and draws the same. Raises ConfigError for a
    name, a need or a rule that cannot be used.
    """
    read = _needs(name, needs)
    if elementwise and read:
        raise ConfigError(f"The pruning rule {name!r} cannot be elementwise and read {' and '.join(sorted(read))}: "
                          "leave one of them out.")

    def register(rule: PruningRule) -> PruningRule:
        _register("prune", name, rule, PRUNING.get(name))
        PRUNING[name], PRUNING_NEEDS[name] = rule, read
        ELEMENTWISE.discard(name)
        if elementwise:
            ELEMENTWISE.add(name)
        return rule

    return register


def growth(name: str = "", *, needs: str | Iterable[str] = "") -> Callable[[GrowthScore], GrowthScore]:
    """Register `score(layer) -> tensor` of the weight's shape; `needs` and what is raised as for `pruning`."""
    read = _needs(name, needs)

    def register(score: GrowthScore) -> GrowthScore:
        _register("grow", name, score, GROWTH[name].score if name in GROWTH else None)
        GROWTH[name] = GrowthRule(score, read)
        return score

    return register


def needs(config: Strategy) -> set[str]:
    """The dense tensors that the rules of a run read: some of NEEDS."""
    return {need for rule in config.grow_phases for need in read_by(config.prune, rule)} if config.is_dynamic else set()


def read_by(prune: str, grow: str) -> frozenset[str]:
    """The dense tensors that a pair of rules reads."""
    return GROWTH[grow].needs | PRUNING_NEEDS.get(prune, frozenset())


_BUILT_IN = {kind: frozenset(CHOICES[kind]) for kind in OWN}
_CALLED = {"prune": ("pruning", "layer, rate"), "grow": ("growth", "layer")}


def _needs(name: str, given: str | Iterable[str] | None) -> frozenset[str]:
    if not isinstance(name, str) or not name:
        raise ConfigError("A rule needs a name: write @regrow.growth(\"my-rule\") or @regrow.pruning(\"my-rule\") "
                          "above the function.")
    listed = re.split(r"[,\s]+", given) if isinstance(given, str) else given or ()
    words = list(listed) if isinstance(listed, Iterable) else [listed]
    for word in words:
        if word and word not in NEEDS:
            raise ConfigError(f"There is no {word!r} that the rule {name!r} could need{nearest(word, NEEDS)}.")
    return frozenset(filter(None, words))


def _register(kind: str, name: str, rule: Callable[..., Any], present: Callable[..., Any] | None) -> None:
    """Refuse what a config cannot name, cannot be called, or is built in; say how any other rule is told apart."""
    called, arguments = _CALLED[kind]
    if not re.fullmatch(r"\w[^>=]*", name) or not name.isprintable() or name == "none":
        raise ConfigError(f"A rule cannot be called {name!r}: use letters, digits, - and _.")
    try:
        if not callable(rule) or isinstance(rule, type):
            raise TypeError
        inspect.signature(rule).bind(*arguments.split(", "))
    except TypeError:
        raise ConfigError(f"The {called} rule {name!r} must be a function that is called as rule({arguments}), not "
                          f"{rule!r:.100}.") from None
    except ValueError:  # no signature is known: it will turn out
        pass
    if name in _BUILT_IN[kind]:
        if present not in (None, rule):
            raise ConfigError(f"There is a built-in rule {name!r} already; give yours another name.")
    else:
        FINGERPRINTS[f"{kind} {name}"] = partial(_fingerprint, kind, name, rule)
        FINGERPRINTS[f"{kind} {name}"]()  # reads the sources as they are now
        CHOICES[kind].pop(name, None)
    about = inspect.cleandoc((rule.func if isinstance(rule, partial) else rule).__doc__ or "").partition("\n")[0]
    CHOICES[kind].setdefault(name, about or name)


def _is_ours(rule: Callable[..., Any]) -> bool:
    return isinstance(rule, FunctionType) and rule.__globals__ is globals()


_said: set[str] = set()


def _say(about: str, sentence: str) -> None:
    """A warning, once in a process for what it is about."""
    if about not in _said:
        _said.add(about)
        warnings.warn(sentence, stacklevel=3)


def _fingerprint(kind: str, name: str, rule: Callable[..., Any], file: str = "") -> str:
    digest, missed = fingerprint.of_rule(rule, file)
    if missed:
        about = f"The key of a run with the {_CALLED[kind][0]} rule {name!r} does not cover {', '.join(missed)}"
        _say(about, f"{about}: give the rule another name when it changes.")
    return digest


def scores(layer: LayerState, rule: str) -> Tensor:
    """What a growth rule says of every position, real numbers of the weight's shape. NaN counts as the smallest.

    Raises RegrowError, in one sentence that names rule and layer, for a user's rule that fails or returns anything else
    than a tensor or array of numbers of that shape; for NaN everywhere, unless there are NaN in what it read.
    """
    score = GROWTH[rule].score
    if _is_ours(score):
        return score(layer)
    who, must = f"The growth rule {rule!r}", "it must return a score for every position"
    found = _tensor(_called(who, score, layer, GROWTH[rule].needs), f"{who} returned", must, layer)
    if found.is_floating_point() and found.numel() and bool(found.isnan().all()):
        read = (layer.weight, layer.gradient, layer.average)
        if not any(bool(part.isnan().any()) for part in read if part is not None):
            raise RegrowError(f"{who} returned NaN everywhere{_at(layer)}: {must}.")
    exact = found.is_floating_point() or found.dtype in (torch.int64, torch.int32, torch.int16, torch.int8)
    return found if exact and found.element_size() > 1 else found.double()


def connections_to_prune(layer: LayerState, rate: float, rule: str) -> Tensor:
    """What a pruning rule removes, a bool tensor of the mask's shape and a subset of it. Raises as `scores`.

    Numbers that are all 0 or 1 are taken for a mask.
    """
    prune = PRUNING[rule]
    if _is_ours(prune):
        return prune(layer, rate)
    who, must = f"The pruning rule {rule!r}", "it must return a mask, True where a connection goes"
    returned = _called(who, prune, layer, PRUNING_NEEDS.get(rule, frozenset()), rate)
    found = _tensor(returned, f"{who} returned", must, layer)
    if found.dtype != torch.bool and not bool(((found == 0) | (found == 1)).all()):
        raise RegrowError(f"{who} returned numbers other than 0 and 1{_at(layer)}: {must}.")
    gone = found.bool() & layer.mask
    n, there, asked = count(gone), count(layer.mask), round(rate * count(layer.mask))
    if n == there - asked and abs(n - asked) > 1 + there // 10:
        _say(who, f"{who} removes {n} of {there} connections{_at(layer)} at a rate of {rate:.2g}, which is what should "
             f"stay: {must}.")
    return gone


def _called(who: str, rule: Callable[..., Any], layer: LayerState, read: frozenset[str], *rest: float) -> Any:
    """The answer of a user's rule, which gets copies, and of the dense tensors those that it asked for.

    The copies are on the CPU, where it may use numpy and draws what it draws in a run there. What it draws from
    layer.generator is drawn; the global generators are its own meanwhile, so that a run that is made again is the same.
    """
    chance, seed = layer.generator.clone_state(), layer.generator.initial_seed()
    dense = {need: _on_cpu(given) for need in read if (given := getattr(layer, need)) is not None}
    seen = LayerState(_on_cpu(layer.weight), _on_cpu(layer.mask), chance, **dense, name=layer.name, groups=layer.groups)
    try:
        with torch.no_grad(), global_chance((seed + len(rest)) % 2**63):
            said = rule(seen, *rest)
        if said is None and (unasked := _unasked(read, getattr(rule, "__code__", None))):
            raise TypeError(f"it reads layer.{unasked}")
    except (Exception, SystemExit) as error:
        steps = list(traceback.walk_tb(error.__traceback__))[1:]
        line = next((f", {Path(step.f_code.co_filename).name} line {number}" for step, number in reversed(steps)
                     if step.f_code.co_filename == steps[0][0].f_code.co_filename), "")
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(".: ")
        unasked = _unasked(read, getattr(rule, "__code__", None), *(step.f_code for step, _ in steps))
        if unasked and isinstance(error, AttributeError | TypeError | AssertionError):
            raise RegrowError(f"{who} reads layer.{unasked}{_at(layer)}{line} ({told}): register it with "
                              f"needs=\"{unasked}\".") from error
        raise RegrowError(f"{who} fails{_at(layer)}{line}, with {told}: mend it and run the same again.") from error
    if chance.initial_seed() == seed:  # else it was seeded anew, which others must not feel
        layer.generator.set_state(chance.get_state())
    return said


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.to("cpu", copy=True)


def _unasked(read: frozenset[str], *codes: CodeType | None) -> str:
    """A dense tensor that code names and that was not asked for; '' if there is none."""
    named = {name for code in codes if code is not None for name in code.co_names}
    return next((need for need in NEEDS if need in named and need not in read), "")


def _at(layer: LayerState) -> str:
    return f" in layer {layer.name!r}" if layer.name else ""


def _tensor(value: Any, returned: str, must: str, layer: LayerState) -> Tensor:
    """A user's answer as a plain tensor of real numbers of the mask's shape, where the mask is."""
    must = f"{_at(layer)}: {must}, as a tensor of layer.mask's shape {tuple(layer.mask.shape)}."
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and not isinstance(value, np.ma.MaskedArray):
        wide = value.dtype.kind == "f" and value.dtype.itemsize > 8
        value = torch.from_numpy(np.array(value, np.float64 if wide else value.dtype.newbyteorder("="), order="C"))
    if not isinstance(value, Tensor):
        of = f" of {value.dtype}" if isinstance(value, np.ndarray) else ""
        what = "nothing" if value is None else f"a value of type {type(value).__name__}{of}"
        raise RegrowError(f"{returned} {what}{must}")
    try:
        if value.is_complex() or value.is_quantized or value.device.type == "meta":
            raise RegrowError(f"{returned} a tensor of {value.dtype} on {value.device}{must}")
        if value.shape != layer.mask.shape:
            raise RegrowError(f"{returned} a tensor of shape {tuple(value.shape)}{must}")
        return value.detach().to_dense().as_subclass(Tensor).to(layer.mask.device)
    except RegrowError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:100]
        raise RegrowError(f"{returned} a tensor that cannot be read ({why}){must}") from error


def largest(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """Boolean tensor of exactly n positions: the largest `scores` where `among` is True.

    Equal scores: the lower flat index wins, so the choice is deterministic. NaN counts as the smallest score.
    Selection, not sorting: linear in the number of positions. Raises ValueError if there are fewer than n.
    """
    chosen = torch.zeros_like(among).flatten()
    if n > 0:
        candidates = _likely(scores, among, n)
        values = scores.flatten()[candidates].nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        threshold = values.kthvalue(len(values) - n + 1).values
        above = candidates[values > threshold]
        tied = candidates[values == threshold][: n - len(above)]
        chosen[above] = True
        chosen[tied] = True
    return chosen.reshape(among.shape)


SAMPLE = 61  # one position in 61 is looked at to guess the threshold; a prime, so that it meets every row and column


def _likely(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """Flat indices in rising order of positions that contain the n largest, ties at the threshold included.

    A sample gives a bound that a few more than n scores exceed; if it turns out too high, all positions are returned.
    """
    if among.numel() > 100_000 and n < among.numel() // 4:
        values, allowed = scores.flatten(), among.flatten()
        sample = values[::SAMPLE][allowed[::SAMPLE]]
        rank = round(1.1 * n / SAMPLE + 5 * (n / SAMPLE) ** 0.5 + 5)
        if rank <= len(sample):
            bound = sample.kthvalue(len(sample) - rank + 1).values
            candidates = positions((values > bound).logical_and_(allowed))
            if len(candidates) >= n:
                return candidates
    candidates = positions(among)
    if n > len(candidates):
        raise ValueError(f"cannot choose {n} of {len(candidates)} positions")
    return candidates


def positions(mask: Tensor) -> Tensor:
    """Flat indices where a boolean tensor is True, rising."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times faster than torch's nonzero there
    return mask.flatten().nonzero().squeeze(1)


def count(mask: Tensor) -> int:
    """How many positions of a boolean tensor are True."""
    if mask.device.type == "cpu":
        return int(np.count_nonzero(mask.numpy()))  # adding up booleans as numbers takes twenty times as long
    return int(mask.sum())


def smallest(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """As `largest`, for the n smallest scores."""
    return largest(-scores, among, n)


@pruning("magnitude", elementwise=True)
def prune_magnitude(layer: LayerState, rate: float) -> Tensor:
    """The round(rate * active) connections with the smallest |weight| (Eqs. 6 and 7)."""
    return smallest(layer.weight.abs(), layer.mask, round(rate * count(layer.mask)))


@pruning("set", elementwise=True)
def prune_set(layer: LayerState, rate: float) -> Tensor:
    """SET: of the positive and of the negative weights each, the fraction `rate` nearest zero.

    Weights that are exactly 0 are counted with the positive ones.
    """
    negative = layer.mask & (layer.weight < 0)
    positive = layer.mask & ~negative
    size = layer.weight.abs()
    return (smallest(size, positive, round(rate * count(positive)))
            | smallest(size, negative, round(rate * count(negative))))


@pruning("set_legacy", elementwise=True)
def prune_set_legacy(layer: LayerState, rate: float) -> Tensor:
    """SET as a widespread bug has it: the negative weights are sorted the wrong way.

    Of the positive weights the k = ceil(rate * active / 2) smallest go, as intended; of the negative ones all go but
    the k - 1 most negative. About half of all connections are removed, whatever the rate is. A rate of 0 removes none.
    """
    to_remove = math.ceil(rate * count(layer.mask))
    if to_remove == 0:
        return torch.zeros_like(layer.mask)
    k = math.ceil(to_remove / 2)
    negative = layer.mask & (layer.weight < 0)
    positive = layer.mask & ~negative
    kept = smallest(layer.weight, negative, min(k - 1, count(negative)))
    return smallest(layer.weight, positive, min(k, count(positive))) | (negative & ~kept)


@pruning("random", elementwise=True)
def prune_random(layer: LayerState, rate: float) -> Tensor:
    """round(rate * active) connections drawn uniformly."""
    return smallest(random_score(layer), layer.mask, round(rate * count(layer.mask)))


@growth("random")
def random_score(layer: LayerState) -> Tensor:
    """Any inactive position, all alike (Eq. 8; SET)."""
    return torch.rand(layer.mask.shape, generator=layer.generator).to(layer.mask.device)


@growth("gradient", needs="gradient")
def gradient_score(layer: LayerState) -> Tensor:
    """The magnitude of the loss's gradient at the position (Eq. 9; RigL)."""
    assert layer.gradient is not None, 'register it with needs="gradient"'
    return layer.gradient.abs()


@growth("momentum", needs="average")
def momentum_score(layer: LayerState) -> Tensor:
    """The magnitude of the running average of that gradient (Eqs. 10 and 11; SNFS)."""
    assert layer.average is not None, 'register it with needs="average"'
    return layer.average.abs()


@growth("l3")
def l3_score(layer: LayerState) -> Tensor:
    """The number of paths of length three between the two ends, each over the root of its inner degrees' product.

    Kovacs et al., "Network-based prediction of protein interactions" (2019); RA-L3 in the Cannistraci-Hebb family of
    link predictors, with which Zhang et al. (ICLR 2024) grow sparse networks. It reads the mask alone: no gradient, no
    chance. Equal scores go to the lower index, as everywhere.
    """
    found = []
    for group in layer.mask.chunk(layer.groups):
        mask = group.flatten(1).to(layer.weight.dtype)  # every position of a filter is an input of its own
        outputs, inputs = (mask.sum(axis).clamp(min=1).rsqrt() for axis in (1, 0))  # of the degrees
        found.append(((mask * inputs) @ (mask * outputs[:, None]).T @ mask).reshape(group.shape))
    return torch.cat(found)


_loaded: set[Path] = set()


def load_own() -> None:
    """Run the files that REGROW_RULES names, separated as in PATH, once in a process.

    What they register with @regrow.growth and @regrow.pruning joins the studies: every figure and table that compares
    strategies, in every profile that trains. The whole file counts as the rules' code, with the user's own modules that
    it imports and the values that the rules use, so a change makes new runs and never reuses old ones. The variable
    reaches worker processes and kernels by itself. Raises ConfigError for a file that is missing, fails, or registers
    nothing.
    """
    for word in filter(None, os.environ.get(OWN_RULES, "").split(os.pathsep)):
        path = place(word, f"write it in full in {OWN_RULES}").resolve()
        if path in _loaded:
            continue
        _loaded.add(path)
        try:
            _run_own(path)
        except BaseException:
            _loaded.discard(path)
            raise


def _of_files() -> dict[tuple[str, str], Callable[..., Any]]:
    """The functions behind the rules that files have registered, by kind and name."""
    return {(kind, rule): PRUNING[rule] if kind == "prune" else GROWTH[rule].score
            for kind, listed in OWN.items() for rule in listed}


def _run_own(path: Path) -> None:
    try:
        name = f"regrow_rules_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise ConfigError(f"{OWN_RULES} names {path}, which cannot be read ({error.strerror}): mend or unset "
                          "it.") from None
    before = {kind: set(CHOICES[kind]) for kind in OWN}
    known = _of_files()
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{OWN_RULES} names {path}, which is not a Python file.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except RegrowError:
        raise
    except (Exception, SystemExit) as error:  # the latter from a script that wants arguments, say
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(".: ")
        raise ConfigError(f"{path}, named by {OWN_RULES}, fails with {told}: mend it.") from error
    now = _of_files()
    if taken := [name[1] for name, code in known.items() if now[name] is not code]:
        raise ConfigError(f"{path}, named by {OWN_RULES}, registers {taken[0]!r}, as another file there does: give one "
                          "of both rules another name, or leave one of the files out.")
    new = {kind: [rule for rule in CHOICES[kind] if rule not in before[kind]] for kind in OWN}
    if not any(new.values()):
        raise ConfigError(f"{path}, named by {OWN_RULES}, registers no rule: add @regrow.growth(\"name\") or "
                          "@regrow.pruning(\"name\") to a function.")
    for kind, rules in new.items():
        OWN[kind] += rules
        digest = fingerprint.of_file(path)
        for rule in rules:
            code = PRUNING[rule] if kind == "prune" else GROWTH[rule].score
            FINGERPRINTS[f"{kind} {rule}"] = partial(_fingerprint, kind, rule, code, digest)


load_own()  # after the built-in rules, which own ones must not replace; whoever knows the one knows the other
