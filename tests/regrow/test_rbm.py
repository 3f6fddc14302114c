"""Boltzmann machines: every formula against enumeration of all states, then runs of them through the common loop."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import interrupted_everywhere
from torch import Tensor

from regrow import compact, cost, data, rbm, record, schedule, train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.determinism import generator
from regrow.engines import chosen_engine
from regrow.engines.rbm import RbmEngine, SparseRbmEngine
from regrow.errors import RegrowError, StoreError
from regrow.rbm import LAYER, Rbm
from regrow.record import Record
from regrow.store import Store
from regrow.train import check_trainable
from regrow_companion import shipping, study
from regrow_companion.sweep import drive

V, H = 4, 3
# 31 steps an epoch, the last one with 10 images.
SMALL = RunConfig(**study.RBM | {"model": "rbm-small", "dataset": "fashion_mnist_small", "train_limit": 610,
                                 "batch_size": 20, "epochs": 3, "update_interval": 9})


@pytest.fixture
def tiny() -> Rbm:
    """A machine of 4 + 3 units with strong weights, in double precision."""
    chance = torch.Generator().manual_seed(3)
    return Rbm(*(torch.randn(shape, generator=chance, dtype=torch.float64) * 1.3 for shape in ((H, V), (H,), (V,))))


def joint(machine: Rbm) -> Tensor:
    """P(v, h) by enumeration of the energy alone, [2^V, 2^H]."""
    v, h = rbm.states(V), rbm.states(H)
    energies = torch.stack([rbm.energy(machine, v, state.expand(len(v), H)) for state in h], 1)
    return torch.softmax(-energies.flatten(), 0).view(energies.shape)


# ------------------------------------------------------------------------------------------------- the distribution

def test_states_are_all_different() -> None:
    assert len({tuple(state) for state in rbm.states(5).tolist()}) == 32


def test_energy_by_hand() -> None:
    machine = Rbm(torch.tensor([[2.0, 0.0], [0.0, -3.0]]), torch.tensor([0.5, 0.25]), torch.tensor([1.0, -1.0]))
    one = torch.tensor([1.0, 1.0])
    assert rbm.energy(machine, one, one).item() == -(1 - 1) - (0.5 + 0.25) - (2 - 3)
    assert rbm.energy(machine, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])).item() == -1 - 0.25


def test_conditionals_are_those_of_the_joint_distribution(tiny: Rbm) -> None:
    p, v, h = joint(tiny), rbm.states(V), rbm.states(H)
    torch.testing.assert_close(rbm.hidden_probabilities(tiny, v), (p / p.sum(1, keepdim=True)) @ h)
    torch.testing.assert_close(rbm.visible_probabilities(tiny, h), (p / p.sum(0)).T @ v)


def test_free_energy_sums_the_hidden_units_out(tiny: Rbm) -> None:
    v, h = rbm.states(V), rbm.states(H)
    energies = torch.stack([rbm.energy(tiny, v, state.expand(len(v), H)) for state in h], 1)
    torch.testing.assert_close(rbm.free_energy(tiny, v), -torch.logsumexp(-energies, 1))
    torch.testing.assert_close(rbm.log_partition(tiny), torch.logsumexp(-energies.flatten(), 0))
    torch.testing.assert_close(torch.exp(-rbm.free_energy(tiny, v) - rbm.log_partition(tiny)), joint(tiny).sum(1))


def test_phases_give_the_exact_gradient_of_the_likelihood(tiny: Rbm) -> None:
    """The positive phase over data, the negative one over the machine's own distribution by enumeration, against
    autograd of the mean of -log P(v) = F(v) + log Z."""
    seen = rbm.states(V)[[1, 6, 6, 11, 12]]
    machine = Rbm(*(part.clone().requires_grad_() for part in tiny))
    (rbm.free_energy(machine, seen).mean() + rbm.log_partition(machine)).backward()
    p = joint(tiny).sum(1)
    total = [torch.zeros_like(part) for part in tiny]
    for row in seen:
        for share, state in zip(p, rbm.states(V), strict=True):
            phases = [(rbm.hidden_probabilities(tiny, v[None]), v[None]) for v in (row, state)]
            for part, gradient in zip(total, rbm.phase_difference(*phases), strict=True):
                part += share * gradient / len(seen)
    for part, parameter in zip(total, machine, strict=True):
        torch.testing.assert_close(part, parameter.grad)


def test_phase_difference_is_a_mean_over_rows(tiny: Rbm) -> None:
    chance = torch.Generator().manual_seed(0)
    (h0, v0), (h1, v1) = [[torch.rand(6, n, generator=chance, dtype=torch.float64) for n in (H, V)] for _ in range(2)]
    gradient = rbm.phase_difference((h0, v0), (h1, v1))
    torch.testing.assert_close(gradient.weight, torch.einsum("bh,bv->hv", h1, v1) / 6
                               - torch.einsum("bh,bv->hv", h0, v0) / 6)
    torch.testing.assert_close(gradient.hidden_bias, h1.mean(0) - h0.mean(0))
    torch.testing.assert_close(gradient.visible_bias, v1.mean(0) - v0.mean(0))


def test_one_step_of_contrastive_divergence_on_average(tiny: Rbm) -> None:
    """The mean over the noise, against the sum over all hidden states with their probabilities."""
    v, n = torch.tensor([[1.0, 0, 1, 1]], dtype=torch.float64), 40_000
    noise = torch.rand(n, H, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn, reconstruction = rbm.contrastive_divergence(tiny, v.expand(n, V), noise)
    p0 = rbm.hidden_probabilities(tiny, v)
    total = [torch.zeros_like(part) for part in tiny]
    for h in rbm.states(H):
        share = torch.where(h == 1, p0, 1 - p0).prod()
        back = rbm.visible_probabilities(tiny, h[None])
        exact = rbm.phase_difference((p0, v), (rbm.hidden_probabilities(tiny, back), back))
        for part, gradient in zip(total, exact, strict=True):
            part += share * gradient
    for part, gradient in zip(total, drawn, strict=True):
        torch.testing.assert_close(part, gradient, atol=0.01, rtol=0)
    assert reconstruction.shape == (n, V)


def test_gibbs_sampling_leaves_the_distribution_as_it_is(tiny: Rbm) -> None:
    v, h, p = rbm.states(V), rbm.states(H), joint(tiny).sum(1)
    to_hidden, to_visible = (torch.where(state[None] == 1, given[:, None], 1 - given[:, None]).prod(2)
                             for state, given in ((h, rbm.hidden_probabilities(tiny, v)),
                                                  (v, rbm.visible_probabilities(tiny, h))))
    torch.testing.assert_close(p @ to_hidden @ to_visible, p)
    start = torch.zeros(8000, V, dtype=torch.float64)
    chains = rbm.gibbs(tiny, start, (1, 30), torch.Generator().manual_seed(5))
    assert chains.shape == (2, 8000, V)
    torch.testing.assert_close(chains[1].mean(0), p @ v, atol=0.02, rtol=0)
    first = (to_hidden[:1] @ to_visible @ v)[0]  # one step from the empty image
    torch.testing.assert_close(chains[0].mean(0), first, atol=0.02, rtol=0)


def test_annealing_finds_the_partition_function(tiny: Rbm) -> None:
    found = rbm.estimated_log_partition(tiny, torch.Generator().manual_seed(0), steps=300, chains=500)
    assert found.item() == pytest.approx(rbm.log_partition(tiny).item(), abs=0.05)
    without = Rbm(torch.zeros(H, V, dtype=torch.float64), torch.zeros(H, dtype=torch.float64), tiny.visible_bias)
    assert rbm.estimated_log_partition(without, torch.Generator(), steps=2, chains=3).item() == pytest.approx(
        rbm.log_partition(without).item(), abs=1e-9)


def test_reconstruction(tiny: Rbm) -> None:
    v = rbm.states(V)
    back = rbm.reconstruct(tiny, v)
    assert ((back > 0) & (back < 1)).all()
    assert rbm.reconstruction_error(tiny, v).item() == pytest.approx(((back - v) ** 2).mean().item())


def test_grey_levels_are_probabilities_and_nothing_else() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    x = rbm.grey(images, torch.float64)
    assert x.shape == (4, 64) and x.min() == 0 and x.max() == 1
    assert torch.allclose(x.flatten(), torch.arange(256, dtype=torch.float64) / 255)


def test_measures_are_means_over_images() -> None:
    chance = torch.Generator().manual_seed(0)
    machine = rbm.initial(SMALL, 784)
    seen, held = (torch.randint(0, 256, (7, 1, 28, 28), generator=chance, dtype=torch.uint8) for _ in range(2))
    found = rbm.measures(machine, seen, held, part=3)
    assert tuple(found) == rbm.MEASURES
    x, y = rbm.grey(seen), rbm.grey(held)
    wanted = (rbm.free_energy(machine, x).mean(), rbm.free_energy(machine, y).mean(), ((rbm.reconstruct(machine, y) - y)
                                                                                       ** 2).mean())
    assert list(found.values()) == pytest.approx([float(value) for value in wanted], rel=1e-5)


def test_initial_machine_depends_on_the_seed_alone() -> None:
    one, same, other = (rbm.initial(config, 784) for config in (SMALL, SMALL.but(grow="random", epochs=9),
                                                                SMALL.but(seed=1)))
    assert one.weight.shape == (250, 784) and torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert one.weight.std().item() == pytest.approx(1 / 20, rel=0.01)
    assert not one.hidden_bias.any() and not one.visible_bias.any()
    assert rbm.initial(SMALL.but(model="rbm-big"), 784).weight.shape == (1000, 784)


def test_noise_belongs_to_seed_and_step() -> None:
    noise = rbm.gibbs_noise(SMALL, 7, 5)
    assert noise.shape == (5, 250) and torch.equal(noise, rbm.gibbs_noise(SMALL.but(grow="random"), 7, 5))
    for other in (rbm.gibbs_noise(SMALL, 8, 5), rbm.gibbs_noise(SMALL.but(seed=1), 7, 5)):
        assert not torch.equal(noise, other)


@pytest.mark.parametrize("there", [False, True])
def test_noise_for_a_gpu_is_drawn_on_the_processor(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers, from pinned memory, so that the host need not wait until they have arrived."""
    noise, usual, asked, sent = rbm.gibbs_noise(SMALL, 7, 5), torch.rand, [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch, "rand", lambda *args, pin_memory, **options: asked.append(pin_memory)
                        or usual(*args, **options))
    monkeypatch.setattr(Tensor, "to", lambda drawn, *args, **options: sent.append((args, options)) or drawn)
    assert torch.equal(rbm.gibbs_noise(SMALL, 7, 5, "cuda:1"), noise)
    assert (asked, sent) == ([there], [(("cuda:1",), {"non_blocking": True})])


# ------------------------------------------------------------------------------------------------------------- runs

@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return data.load(SMALL.dataset, image_format="native", train_limit=SMALL.train_limit)


@pytest.fixture(scope="module", params=["random", "gradient", "momentum"])
def finished(request: pytest.FixtureRequest, dataset: Dataset) -> Record:
    return train.finish(train.start(SMALL.but(grow=request.param), dataset, engine="sparse"), dataset,
                       made={"engine": "sparse", "hardware": "", "commit": None, "data_sha256": dataset.sha256})


def test_it_learns(finished: Record, dataset: Dataset) -> None:
    """-log P of training images falls, they lie ever lower than images of shuffled pixels, and come back better."""
    before, after = rbm.initial(SMALL, 784), rbm.of_record(finished)
    before = before._replace(weight=before.weight * torch.from_numpy(finished.masks(0)[LAYER]))
    images = rbm.grey(dataset.train.images)
    shuffled = images[:, torch.randperm(784, generator=torch.Generator().manual_seed(0))]
    surprise, gap = [], []
    for machine in (before, after):
        free = rbm.free_energy(machine, images).mean()
        log_z = rbm.estimated_log_partition(machine, torch.Generator().manual_seed(0), steps=200, chains=20)
        surprise.append(float(free + log_z))
        gap.append(float(rbm.free_energy(machine, shuffled).mean() - free))
    assert surprise[0] == pytest.approx(784 * math.log(2), rel=0.05), "without training every image is as likely"
    assert surprise[1] < 0.75 * surprise[0]
    assert abs(gap[0]) < 10 and gap[1] > 100
    assert (np.diff(finished.measures["reconstruction error"]) < 0).all() and (np.diff(finished.train_loss) < 0).all()


def test_counts_never_change_and_are_exact(finished: Record) -> None:
    wanted = round(0.05 * 784 * 250)
    assert finished.connections == {LAYER: wanted}
    assert (finished.in_degree[LAYER].sum(axis=1) == wanted).all() and finished.in_degree[LAYER].shape == (11, 250)
    assert (finished.out_degree[LAYER].sum(axis=1) == wanted).all() and finished.out_degree[LAYER].shape == (11, 784)
    for moment in range(6):
        assert finished.masks(moment)[LAYER].sum() == wanted
    assert (np.diff(finished.explored[LAYER]) >= 0).all() and finished.explored[LAYER][-1] > wanted
    assert np.array_equal(finished.input_degrees()[5], finished.masks(5)[LAYER].sum(axis=0))


def test_the_trained_machine_can_be_had_from_its_record(finished: Record, dataset: Dataset) -> None:
    machine = rbm.of_record(finished)
    assert torch.equal(machine.weight != 0, torch.from_numpy(finished.masks(5)[LAYER]) & (machine.weight != 0))
    found = rbm.measures(machine, dataset.train.images, dataset.validation.images[:610])
    assert list(found.values()) == pytest.approx([series[-1] for series in finished.measures.values()], rel=1e-6)
    assert np.array_equal(finished.final["examples"], dataset.validation.images[:9, 0].numpy())
    assert rbm.examples_of(finished).shape == (9, 784)
    with pytest.raises(StoreError, match="no trained machine"):
        rbm.of_record(replace(finished, final={}))


def test_its_record_has_no_accuracies_and_comes_back_from_disk(finished: Record, tmp_path: Path) -> None:
    assert np.isnan(finished.val_accuracy).all() and np.isnan(finished.test_accuracy).all()
    assert not finished.collapsed and not finished.diverged
    finished.save(tmp_path / "full.npz")
    compact.save(finished, tmp_path / "records" / "compact.npz")
    for back in (record.load(tmp_path / "full.npz"), compact.load(tmp_path / "records" / "compact.npz")):
        assert list(back.measures) == list(rbm.MEASURES) and list(back.final) == list(rbm.FINAL)
        for name, series in back.measures.items():
            assert np.array_equal(series, finished.measures[name])
        assert torch.equal(rbm.of_record(back).weight, rbm.of_record(finished).weight)
        assert np.array_equal(back.input_degrees(), finished.input_degrees())
        for moment in range(len(finished.moment_steps)):
            assert np.array_equal(back.in_degree[LAYER][back.update_at(moment)],
                                  finished.in_degree[LAYER][finished.update_at(moment)])
    listed = shipping.write_list(tmp_path).read_text().splitlines()
    assert len(listed) == 2 and "rbm-small" in listed[1] and "True" not in listed[1] and ",,,,False," in listed[1]
    compact.save(finished, tmp_path / "thin.npz", topology=False)
    assert compact.load(tmp_path / "thin.npz").final == {}


def test_its_result_as_json(finished: Record) -> None:
    answer = json.loads(record.to_json(finished), parse_constant=pytest.fail)
    assert answer["reconstruction error"] == pytest.approx(finished.measures["reconstruction error"][-1], abs=1e-4)
    assert "test_accuracy" not in answer
    lost = replace(finished, measures={"free energy, training": np.array([math.nan])})
    assert json.loads(record.to_json(lost), parse_constant=pytest.fail)["free energy, training"] is None


# ---------------------------------------------------------------------------------------------------------- engines

@pytest.mark.parametrize("augment", ["none", "crop_flip", "mirror_crop_flip"])
def test_both_engines_see_the_same_images(augment: str, dataset: Dataset) -> None:
    config = SMALL.but(augment=augment)
    dense, tiled = (train.start(config, dataset, engine=name).engine for name in ("dense", "sparse"))
    for (images, _), (tiles, _) in zip(dense.batches(0, 0), tiled.batches(0, 0), strict=True):
        torch.testing.assert_close(tiles[0, :, :len(images)].T, images, atol=1e-6, rtol=0)


def test_growth_ranks_the_phase_difference_at_every_position(dataset: Dataset) -> None:
    engine = RbmEngine(SMALL, dataset, 93, torch.device("cpu"))
    for step, (images, labels) in zip(range(1, 10), engine.batches(0, 0), strict=False):
        before = Rbm(*(part.detach().clone() for part in engine.rbm))
        engine.backward(images, labels, step)
        engine.step()
    gradient, _ = rbm.contrastive_divergence(before, images, rbm.gibbs_noise(SMALL, 9, len(images)))
    assert torch.equal(engine.masked.gradients[LAYER], gradient.weight)
    assert (gradient.weight[~engine.masks[LAYER]] != 0).any()
    mask, weight = engine.masks[LAYER], engine.rbm.weight.detach().clone()
    engine.update(9)
    new = engine.masks[LAYER] & ~mask
    gone = mask & ~engine.masks[LAYER]
    left_empty = ~engine.masks[LAYER] & ~mask
    assert new.any() and gradient.weight.abs()[new].min() >= gradient.weight.abs()[left_empty].max()
    assert weight.abs()[gone].max() <= weight.abs()[mask & engine.masks[LAYER]].median()
    assert not engine.rbm.weight[new].any() and not engine.rbm.weight[~engine.masks[LAYER]].any()
    rate = schedule.prune_rate(SMALL, 9, 93)
    assert int(new.sum()) <= round(rate * int(mask.sum()))


def test_momentum_growth_averages_the_phase_difference(dataset: Dataset) -> None:
    engine = RbmEngine(SMALL.but(grow="momentum"), dataset, 93, torch.device("cpu"))
    average = torch.zeros(250, 784)
    for step, (images, labels) in zip(range(1, 6), engine.batches(0, 0), strict=False):
        gradient, _ = rbm.contrastive_divergence(engine.rbm, images, rbm.gibbs_noise(SMALL, step, len(images)))
        average = 0.9 * average + 0.1 * gradient.weight.detach()
        engine.backward(images, labels, step)
        engine.step()
    torch.testing.assert_close(engine.topology.averages[LAYER], average)


@pytest.mark.parametrize("options", [
    {"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"grow": "random>momentum", "regrow_pruned": False},
    {"grow": "gradient", "prune": "set", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    {"grow": "momentum", "regrown_weight": "keep", "batch_size": 64, "update_interval": 5},
    {"grow": "gradient", "update_order": "instead_of_step", "augment": "crop_flip"}, {"prune": "none", "grow": "none"},
], ids=str)
def test_the_sparse_engine_agrees_with_the_dense_one(options: dict, dataset: Dataset) -> None:
    config = SMALL.but(dtype="float64", **options)
    runs = {engine: train.start(config, dataset, engine=engine) for engine in ("dense", "sparse")}
    made = {engine: train.finish(run, dataset) for engine, run in runs.items()}
    assert isinstance(runs["dense"].engine, RbmEngine) and isinstance(runs["sparse"].engine, SparseRbmEngine)
    for name, array in made["dense"].arrays().items():
        np.testing.assert_allclose(made["sparse"].arrays()[name], array, atol=1e-9, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("engine", ["dense", "sparse"])
@pytest.mark.parametrize("options", [{"grow": "random"}, {"grow": "gradient", "momentum": 0.5}, {"grow": "momentum"}],
                         ids=str)
def test_resumes_bit_for_bit(engine: str, options: dict, dataset: Dataset, tmp_path: Path) -> None:
    config = SMALL.but(**options)
    assert len(interrupted_everywhere(config, dataset, engine, (4, 9, 31, 61, 93), tmp_path)) == 1


def test_a_dense_machine(dataset: Dataset) -> None:
    config = SMALL.but(sparsity=0.0, prune="none", grow="none", epochs=1)
    assert chosen_engine(config, "cpu") == "dense"
    made = train.finish(train.start(config, dataset), dataset)
    assert made.connections == {LAYER: 784 * 250} and made.final["weight"].shape == (784 * 250,)
    assert made.measures["reconstruction error"][-1] < 0.15


def test_batches_are_grey_levels_in_the_order_of_every_run(dataset: Dataset) -> None:
    engine = RbmEngine(SMALL, dataset, 93, torch.device("cpu"))
    images, labels = next(engine.batches(1, 2))
    chosen = data.epoch_order(610, SMALL.seed, 1)[40:60]
    assert torch.equal(images, rbm.grey(dataset.train.images[chosen])) and torch.equal(labels,
                                                                                       dataset.train.labels[chosen])


def test_which_engine() -> None:
    assert chosen_engine(SMALL, "cpu") == "sparse" == chosen_engine(SMALL.but(model="rbm-big"), "cpu")
    assert chosen_engine(SMALL.but(sparsity=0.5), "cpu") == "dense" == chosen_engine(SMALL.but(batch_size=65), "cpu")
    assert chosen_engine(SMALL, "cuda") == "dense"
    for engine in ("batched", "compiled"):
        with pytest.raises(RegrowError, match="--engine dense"):
            chosen_engine(SMALL, "cpu", engine)
    with pytest.raises(RegrowError, match="64 images"):
        chosen_engine(SMALL.but(batch_size=65), "cpu", "sparse")


def test_settings_that_mean_nothing_are_refused() -> None:
    check_trainable(SMALL)
    for options in ({"image_format": "rgb32"}, {"amp": True}):
        with pytest.raises(RegrowError, match="RBMs take images as they are"):
            check_trainable(SMALL.but(**options))


def test_the_work_of_a_step_is_five_products() -> None:
    assert cost.multiply_adds(SMALL) == 5 * 784 * 250 * 610 * 3
    big, small = (study.runs(need, "paper")[0] for need in ("fig15", "fig16"))
    assert cost.multiply_adds(big) == 4 * cost.multiply_adds(small) == 5 * 784 * 1000 * 54_000 * 30


def test_through_the_store_and_a_sweep(tmp_path: Path) -> None:
    config, store = SMALL.but(epochs=1, train_limit=60, update_interval=2), Store(tmp_path / "a")
    assert drive.run([config], store, jobs=1).failed == {}
    made = store.get(config)
    assert made is not None and made.provenance["engine"] == "sparse"
    assert made.result_sha256 == Store(tmp_path / "b").ensure(config).result_sha256
    assert generator("gibbs", 0, 1).initial_seed() != generator("growth", 0, 1).initial_seed()
