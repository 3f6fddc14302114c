"""Watching somebody else's network: what is counted, where connections are found, and what is refused."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torture import odd_models

import regrow
from regrow import metrics
from regrow.errors import DataError
from regrow.tails.fit import fit_tail
from regrow.weights import Weight
from regrow_companion import figures
from regrow_companion.style import FigureError
from regrow_companion.watching import chain


def sparse_mlp(sizes: tuple[int, ...] = (48, 30, 20, 4), density: float = 0.3) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    for layer in layers:
        layer.weight.data *= torch.rand_like(layer.weight) < density
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


def test_degrees_are_those_of_the_weights_that_are_not_zero() -> None:
    model = sparse_mlp()
    watch = regrow.observe(model)
    first = [model[i].weight != 0 for i in (0, 2, 4)]
    with torch.no_grad():
        model[0].weight[3] = 0.0  # a neuron dies
    watch()
    assert watch.steps.tolist() == [0, 1] and watch.is_chain
    assert watch.in_degree["0"][1, 3] == 0 and watch.in_degree["0"][0, 3] == first[0][3].sum()
    hidden = watch.degrees()
    assert list(hidden) == ["hidden 1", "hidden 2"]
    assert np.array_equal(hidden["hidden 2"][0], first[1].sum(1) + first[2].sum(0))
    core = nx.core_number(metrics.to_networkx(mask.numpy() for mask in first).to_undirected())
    assert np.concatenate(watch.shells(first=True)).tolist() == [core[i] for i in range(len(core))]
    table = watch.table()
    now = table[(table["layer"] == "all") & (table["step"] == 1)].iloc[0]
    pooled = np.concatenate([degrees[1] for degrees in hidden.values()])
    assert (now["units"], now["largest"], now["mean"]) == (50, pooled.max(), pytest.approx(pooled.mean()))
    assert now["dormant low"] == (pooled <= watch.thresholds().low).sum()
    assert watch.tail(5) == fit_tail(pooled, 5)


def test_looking_changes_nothing_and_keeps_nothing_alive() -> None:
    model = sparse_mlp(density=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    watch = regrow.observe(model)
    mask = watch.first["0"].copy()
    with torch.no_grad():
        model[0].weight.zero_()
    assert np.array_equal(watch.first["0"], mask)  # a copy, not a view of the weights
    model.load_state_dict(before)
    watch(step=400)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert watch.steps.tolist() == [0, 400] and model[0].weight.grad is None


def test_a_look_that_misses_connections_grown_at_zero_says_so_once() -> None:
    model = sparse_mlp()
    watch = regrow.observe(model)
    empty = ~(model[0].weight != 0)
    with torch.no_grad():
        model[0].weight[:5] = 0.0
        model[0].weight[6][empty[6]] = 0.1  # grown earlier, and trained since
    with pytest.warns(UserWarning, match="grow at zero") as said:
        watch()
        watch()
    assert len(said) == 1
    mask = model[0].weight != 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = regrow.observe(model, {"0": mask})
        mask[:5], mask[6] = False, False
        watch()


def test_thresholds_are_those_of_the_last_look() -> None:
    model = sparse_mlp(density=1.0)
    watch = regrow.observe(model)
    before = watch.thresholds()
    prune.random_unstructured(model[0], "weight", 0.75)
    watch()
    assert watch.thresholds().mean_degree == watch.pooled()[1].mean() < before.mean_degree
    assert watch.thresholds().high < before.high and watch.tail().xmin == watch.thresholds().high


def test_growth_is_remembered_over_looks() -> None:
    model = sparse_mlp()
    empty = (model[0].weight == 0).nonzero()[0]
    watch = regrow.observe(model)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        model[0].weight[tuple(empty)] = 0.5
        watch()  # it has grown and nothing is missing
    with torch.no_grad():
        model[0].weight[[i for i in range(30) if i != int(empty[0])][:8]] = 0.0
    with pytest.warns(UserWarning, match="grow at zero"):
        watch()


def test_layers_that_have_had_a_mask_are_beyond_suspicion() -> None:
    model = sparse_mlp(density=1.0)
    prune.random_unstructured(model[0], "weight", 0.5)
    nothing = nn.Linear(4, 4)
    prune.custom_from_mask(nothing, "weight", torch.zeros(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = regrow.observe(model)
        prune.remove(model[0], "weight")
        with torch.no_grad():
            model[0].weight[:20] = 0.0
            model[0].weight[20:] = 1.0
        watch()
        assert regrow.observe(nothing).in_degree["weight"].sum() == 0


def test_a_mask_that_is_gone_is_noticed() -> None:
    model = sparse_mlp()
    masks = {"0": torch.ones(30, 48), "2": torch.ones(20, 30)}
    watch = regrow.observe(model, masks)
    del masks["2"]
    with pytest.raises(DataError, match="call regrow.observe again"):
        watch()


@pytest.mark.parametrize("looks_between", [False, True])
def test_pruning_alone_is_no_reason_to_warn(looks_between: bool) -> None:
    model = sparse_mlp(density=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = regrow.observe(model)
        prune.l1_unstructured(model[0], "weight", 0.5)
        if looks_between:
            watch()
        prune.remove(model[0], "weight")
        watch()
    assert watch.in_degree["0"][-1].sum() == 48 * 30 // 2


def test_masks_of_torch_prune_and_given_ones_win_over_zero_weights() -> None:
    model = sparse_mlp(density=1.0)
    prune.random_unstructured(model[0], "weight", amount=0.5)
    with torch.no_grad():
        model[2].weight[0, 0] = 0.0
    watch = regrow.observe(model)
    assert watch.in_degree["0"].sum() == model[0].weight_mask.sum()
    assert watch.in_degree["2"].sum() == 30 * 20 - 1

    masks = {"2.weight": torch.eye(20, 30)}
    watch = regrow.observe(model, masks)
    assert list(watch.shapes) == ["2"] and watch.in_degree["2"].tolist() == [[1] * 20]
    masks["2.weight"] = torch.ones(20, 30, dtype=torch.bool)  # read anew at every look
    watch()
    assert watch.in_degree["2"][1].tolist() == [30] * 20
    assert regrow.observe(model, lambda: masks).in_degree["2"][0, 0] == 30


def test_convolutions_are_counted_by_channel_and_have_no_shells(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    with torch.no_grad():
        model[0].weight[:, 0] = 0.0
    watch = regrow.observe(model)
    assert not watch.is_chain and watch.degrees()["0"].tolist() == [[18] * 8]
    assert watch.out_degree["0"].tolist() == [[0, 72, 72]]
    with pytest.raises(DataError, match="follow each other"):
        watch.shells()
    watch.save(tmp_path, "conv")
    assert figures.check_figure(tmp_path, "conv") == []


def test_the_figure_is_whole_and_says_what_it_shows(tmp_path: Path) -> None:
    model = sparse_mlp()
    masks = {str(i): model[i].weight != 0 for i in (0, 2, 4)}
    watch = regrow.observe(model, masks)
    for step in (10, 20, 30):
        masks["0"] &= torch.rand(30, 48) < 0.9
        watch(step)
    fig = watch.figure((3, 4, 4))
    titles = [ax.get_title() for ax in fig.axes]
    assert {"degree distribution", "dormant units", "k-shells", "connections per pixel, last look"} <= set(titles)
    watch.save(tmp_path, image_shape=(3, 4, 4))
    assert figures.check_figure(tmp_path, "wiring") == []
    with pytest.raises(DataError, match="48 inputs"):
        watch.figure((3, 5, 5))


def test_what_cannot_be_watched_is_refused_in_one_sentence() -> None:
    model = sparse_mlp()
    with pytest.raises(DataError, match="nothing to watch"):
        regrow.observe(nn.ReLU())
    with pytest.raises(DataError, match="names 'fc9'"):
        regrow.observe(model, {"fc9": torch.ones(1)})
    with pytest.raises(DataError, match=r"mask of 0 is \(3, 3\)"):
        regrow.observe(model, {"0": torch.ones(3, 3)})
    watch = regrow.observe(model)
    model[0] = nn.Linear(48, 31)
    with pytest.raises(DataError, match="call regrow.observe again"):
        watch()


# ---- what is watched ----


def test_every_channel_of_a_group_has_its_own_degree() -> None:
    """By hand: a depthwise channel has its 9 weights, four groups of 2 x 4 give every input 4 connections."""
    depthwise = nn.Conv2d(8, 8, 3, groups=8)
    with torch.no_grad():
        depthwise.weight[3] = 0
    assert regrow.observe(nn.Sequential(depthwise)).out_degree["0"].tolist() == [[9, 9, 9, 0, 9, 9, 9, 9]]
    grouped = regrow.observe(nn.Sequential(nn.Conv2d(8, 16, 1, groups=4)))
    assert (grouped.out_degree["0"].tolist(), grouped.in_degree["0"].tolist()) == ([[4] * 8], [[2] * 16])
    up = regrow.observe(nn.Sequential(nn.ConvTranspose1d(4, 6, 5, groups=2)))
    assert (up.out_degree["0"].tolist(), up.in_degree["0"].tolist()) == ([[15] * 4], [[10] * 6])


def test_attention_and_recurrent_layers_are_watched_and_what_is_not_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attention = regrow.observe(nn.MultiheadAttention(16, 4))
    assert {name: d.shape[1] for name, d in attention.in_degree.items()} == {"in_proj_weight": 48, "out_proj": 16}
    model = nn.ModuleList([nn.Embedding(100, 32), nn.LSTM(32, 64), nn.Linear(64, 100)])
    with pytest.warns(UserWarning, match=r"91 % of 34,176 weights watched; left out: 0 \(3,200\).*embeddings=True"):
        watch = regrow.observe(model)
    assert list(watch.shapes) == ["1.weight_ih_l0", "1.weight_hh_l0", "2"] and "left out: 0" in repr(watch)
    words = regrow.observe(model, embeddings=True)
    assert words.coverage == "4 layers with 100 % of 34,176 weights watched."
    assert words.in_degree["0"].tolist() == [[100] * 32] and words.out_degree["0"].shape == (1, 100)


def test_a_look_does_not_move_the_power_iteration_of_a_parametrization() -> None:
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    watch = regrow.observe(model)
    watch()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].parametrizations.weight[0].training and watch.is_chain


def test_a_step_of_a_parametrization_stays_in_the_mode_that_it_is_in() -> None:
    model = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)).eval()
    regrow.observe(model)
    assert not model.parametrizations.weight[0].training


def test_what_two_masks_of_a_layer_leave_is_connected() -> None:
    layer = odd_models.MaskedLinear(6, 5)
    own, pruned = layer.mask.clone(), torch.rand(5, 6) < 0.5
    prune.custom_from_mask(layer, "weight", pruned)
    watch = regrow.observe(layer)
    assert watch.in_degree["weight"].tolist() == [((own != 0) & pruned).sum(1).tolist()]


def test_numbers_that_are_counted_are_not_left_out_as_well() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Bilinear(5, 5, 3))
    model.decoder = nn.ParameterList([nn.Parameter(model[0].weight.detach().T)])
    with pytest.warns(UserWarning, match=r"29 % of 105 weights watched; left out: 2 \(75\)\. "):
        regrow.observe(model)


def test_groups_of_somebodys_own_convolution() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.in_channels, self.out_channels, self.groups = 4, 6, 2
            self.weight = nn.Parameter(torch.randn(6, 2, 3))

    watch = regrow.observe(nn.Sequential(Own()))
    assert (watch.in_degree["0"].tolist(), watch.out_degree["0"].tolist()) == ([[6] * 6], [[9] * 4])


def test_a_layer_of_several_weights_does_not_say_which_one_a_mask_is_of() -> None:
    lstm = nn.LSTM(3, 4)
    with pytest.raises(DataError, match="weight_ih_l0, weight_hh_l0"):
        regrow.observe(lstm, {lstm: torch.ones(16, 3)})


class Hidden(torch.autograd.Function):
    """Its result comes from where no mode of torch can see."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


def test_a_way_round_that_cannot_be_followed_makes_no_chain() -> None:
    made = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
    assert not regrow.observe(odd_models.Net(made, lambda net, x: net.b(net.a(x) + Hidden.apply(x)))).is_chain
    assert regrow.observe(odd_models.Net(made, lambda net, x: net.b(net.a(Hidden.apply(x)) + 1))).is_chain


def test_what_leaves_a_layer_twice_makes_no_chain() -> None:
    made = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}

    def both(net: odd_models.Net, x: torch.Tensor) -> torch.Tensor:
        h = net.a(x)
        return net.b(torch.relu(h)) + h

    assert not regrow.observe(odd_models.Net(made, both)).is_chain


def test_a_model_that_draws_leaves_no_trace_in_the_random_numbers() -> None:
    made = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
    model = odd_models.Net(made, lambda net, x: net.b(F.dropout(net.a(x), 0.5, training=True)))
    state = torch.random.get_rng_state()
    assert regrow.observe(model).is_chain and torch.equal(state, torch.random.get_rng_state())


def test_a_mask_of_another_shape_is_not_the_weights() -> None:
    layer = nn.Linear(6, 5)
    layer.register_buffer("mask", torch.ones(3, 3).tril())  # of attention, say
    assert regrow.observe(layer).in_degree["weight"].tolist() == [[6] * 5]


def test_scores_that_are_called_mask_are_none() -> None:
    layer = nn.Linear(6, 5)
    layer.mask = nn.Parameter(torch.randn(5, 6))  # learned, and cut at some threshold when used
    layer.weight.data[0] = 0.0
    with pytest.warns(UserWarning, match=r"left out: mask \(30\)"):
        assert regrow.observe(layer).in_degree["weight"].tolist() == [[0, 6, 6, 6, 6]]


def test_a_weight_that_is_spread_over_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class DTensor(torch.Tensor):
        """By its name alone, as the real one needs a group of processes."""

    monkeypatch.setattr(Weight, "_computed", lambda self: self.module.weight.detach().as_subclass(DTensor))
    with pytest.raises(DataError, match="spread over several processes"):
        regrow.observe(nn.Linear(2, 2))


def test_what_a_sparse_tensor_stores_is_connected_even_at_zero() -> None:
    layer = nn.Linear(3, 2)
    values = torch.sparse_csr_tensor([0, 2, 3], [0, 2, 1], [0.0, 1.0, 2.0], (2, 3))
    layer.weight = nn.Parameter(values)
    watch = regrow.observe(layer)
    assert watch.in_degree["weight"].tolist() == [[2, 1]] and watch.out_degree["weight"].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_a_wrapped_model_is_the_model(wrap: Callable) -> None:
    model = sparse_mlp()
    watch = regrow.observe(wrap(model), {"module.0.weight": torch.ones(30, 48), "_orig_mod.2": torch.ones(20, 30)})
    assert list(watch.shapes) == ["0", "2"] and watch.is_chain


def test_layers_that_begin_at_zero_and_networks_without_a_connection(tmp_path: Path) -> None:
    model = sparse_mlp()
    nn.init.zeros_(model[2].weight)
    with pytest.warns(UserWarning, match="weights of '2' are zero"):
        regrow.observe(model)
    nothing = sparse_mlp(density=0.0)
    with pytest.warns(UserWarning, match="'0', '2', '4'"):
        watch = regrow.observe(nothing)
    watch.save(tmp_path)
    assert figures.check_figure(tmp_path, "wiring") == [] and watch.table()["largest"].max() == 0
    with pytest.raises(DataError, match="begins at 1 connections here"):
        watch.tail()


def test_a_very_sparse_network_has_a_tail_from_one_connection_on() -> None:
    """Its higher threshold, the paper's 110 scaled with the mean degree, rounds to 0."""
    model = sparse_mlp((200, 150, 100), density=0.0)
    with torch.no_grad():
        model[0].weight[:40, 0] = 1.0
        model[0].weight[0, :7] = 1.0
    watch = regrow.observe(model, {"0": model[0].weight, "2": torch.zeros(100, 150)})
    assert watch.thresholds().high == 0 and watch.tail() == fit_tail(watch.pooled()[-1], 1)


# ---- steps ----


def test_steps_begin_where_training_stands_and_never_fall() -> None:
    watch = regrow.observe(nn.Linear(8, 4), step=10_000)
    watch()
    watch(np.int32(10_400))
    watch(torch.tensor(10_400))
    watch(10_800.0)
    assert watch.steps.tolist() == [10_000, 10_001, 10_400, 10_400, 10_800] and watch.steps.dtype == np.int64
    for step in ("epoch 3", float("nan"), float("inf"), 10_800.5, None.__class__, True, [10_900]):
        with pytest.raises(DataError, match="step must be a whole number"):
            watch(step)
    with pytest.raises(DataError, match="step 10799 comes after step 10800"):
        watch(10_799)
    assert len(watch.steps) == 5, "a look that was refused leaves nothing behind"


# ---- the graph ----


class Attention(nn.Module):
    """q, k and v read the same input; only o follows."""

    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.o((self.q(x) @ self.k(x).mT).softmax(-1) @ self.v(x))


class Named(nn.Module):
    """A chain whose layers are defined backwards and whose forward pass asks for two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.middle, self.first = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.calls: list[int] = []

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(x))
        return self.last(self.middle(self.first(x).relu() * scale).tanh())


def test_parallel_layers_are_no_chain_and_have_no_shells() -> None:
    for model in (Attention(), nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, False)):
        watch = regrow.observe(model)
        assert not watch.is_chain and all(d.shape[0] == 1 for d in watch.degrees().values())
        with pytest.raises(DataError, match=r"chain=\[...\] or sample="):
            watch.shells()


def test_a_chain_is_found_in_the_order_of_use_from_a_sample_or_a_list() -> None:
    model = Named()
    model.register_forward_hook(lambda *_: pytest.fail("a user's hook has run"))
    assert not regrow.observe(model).is_chain, "it cannot be run without its second argument"
    x, scale = torch.rand(3, 4), torch.tensor(2.0)
    for asked in ({"sample": (x, scale)}, {"sample": {"x": x, "scale": scale}}, {"chain": ["first", "middle", "last"]},
                  {"chain": [model.first, "middle.weight", model.last.weight]}):
        watch = regrow.observe(model, **asked)
        assert watch.is_chain and list(watch.shapes) == ["first", "middle", "last"] and model.calls == []
    part = regrow.observe(model, chain=["middle", "last"])
    assert list(part.shapes) == ["middle", "last"] and "left out: first (16)" in part.coverage
    assert not regrow.observe(sparse_mlp(), chain=()).is_chain


def test_a_model_that_holds_what_cannot_be_copied_is_traced() -> None:
    model = sparse_mlp()
    model.lock = threading.Lock()
    prune.random_unstructured(model[0], "weight", 0.5)
    model(torch.rand(2, 48))  # leaves a weight with a history
    assert regrow.observe(model).is_chain


def test_an_averaged_model_takes_the_masks_of_its_model() -> None:
    model = torch.optim.swa_utils.AveragedModel(sparse_mlp())
    assert list(regrow.observe(model, {"0": torch.ones(30, 48)}).shapes) == ["module.0"]


@pytest.mark.parametrize(("asked", "sentence"), [
    ({"sample": torch.rand(3, 5)}, "fails on the sample"), ({"chain": ["frist"]}, "did you mean 'first'"),
    ({"chain": ["first", "first"]}, "first twice"), ({"chain": "first"}, "must list layers")])
def test_a_sample_or_a_list_that_does_not_fit_is_refused(asked: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        regrow.observe(Named(), **asked)
    with pytest.raises(DataError, match="4 cannot follow 0 in a chain: it has 20 inputs, and 0 has 30 outputs"):
        regrow.observe(sparse_mlp(), chain=["0", "4"])


def test_a_model_is_traced_without_being_changed() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 3)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sample, state = torch.rand(8, 4), torch.random.get_rng_state()
    assert regrow.observe(model).is_chain and regrow.observe(model, sample=sample).is_chain
    assert torch.equal(state, torch.random.get_rng_state()) and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_layers_mask_of_whole_units_is_spread_over_their_weights() -> None:
    """As layers have it that switch neurons or channels off: one entry for each."""
    for layer, shape in ((nn.Linear(6, 4), (4, 1)), (nn.Linear(6, 4), (1, 6)), (nn.Conv2d(6, 4, 3), (4, 1, 1, 1))):
        mask = torch.ones(shape)
        mask.view(-1)[1] = 0
        layer.register_buffer("mask", mask)
        watch, there = regrow.observe(layer), np.broadcast_to(mask.numpy() != 0, layer.weight.shape)
        assert np.array_equal(watch.last["weight"], there)


def test_no_heat_map_without_the_shape_of_an_image() -> None:
    with pytest.raises(DataError, match="No heat map for image_shape=28"):
        regrow.observe(sparse_mlp()).figure(28)  # type: ignore[arg-type]


# ---- files of somebody else's ----


def test_a_users_file_is_never_replaced(tmp_path: Path) -> None:
    watch = regrow.observe(sparse_mlp())
    (tmp_path / "wiring.csv").write_text("mine\n")
    with pytest.raises(FigureError, match=r"wiring.csv is there already and was not written by regrow"):
        watch.save(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("wiring.csv", "mine\n")]
    watch.save(tmp_path, "other")
    watch.save(tmp_path, "other")  # its own files are


# ---- by program ----


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_any_network_is_counted_rightly_or_refused_in_a_sentence(seed: int) -> None:
    assert odd_models.wrong(odd_models.draw(random.Random(seed))) == []


@pytest.mark.parametrize("seed", range(3))
def test_every_form_of_masks_is_taken_or_refused_in_a_sentence(seed: int) -> None:
    assert [told for odd in odd_models.mask_forms(random.Random(seed)) for told in odd_models.wrong(odd)] == []


def test_masks_are_refused_for_what_is_wrong_with_them() -> None:
    model, square = sparse_mlp((5, 5, 5, 5)), torch.ones(5, 5)
    for masks, sentence in (
            (lambda: None, "function given as masks returned None"), (square, "one mask, and 3 layers"),
            ({"0": square, "0.weight": torch.eye(5)}, "names 0 twice"), ([square, square], "not clear which is whose"),
            ({"0": square * float("nan")}, "holds NaN"), ({"0": torch.eye(5).log()}, "or infinities"),
            ({"0": torch.ones(25)}, r"is \(25,\), but its weight is"),
            (iter([square] * 3), "not a list_iterator"), ({}, "no mask of a layer")):
        with pytest.raises(DataError, match=sentence):
            regrow.observe(model, masks)


def test_the_program_that_looks_for_faults_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these was true once."""
    odd = [odd_models.draw(random.Random(seed)) for seed in range(200)]
    with monkeypatch.context() as patch:
        patch.setattr(Weight, "by_group", lambda self, mask: mask[None])
        assert any("degrees of" in told for one in odd for told in odd_models.wrong(one))
    with monkeypatch.context() as patch:
        patch.setattr(chain, "traced", lambda model, weights, found, sample: tuple(w.path for w in weights))
        assert any("is a chain" in told for one in odd for told in odd_models.wrong(one))
