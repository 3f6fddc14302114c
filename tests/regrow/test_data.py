"""Splits, normalisation, augmentation and batches, checked against per-image loops and numpy."""

from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow import data, datasets
from regrow.config import CHOICES, RunConfig
from regrow.errors import DataError


@pytest.fixture(scope="module")
def clothes():
    return data.load("fashion_mnist_small")


@pytest.fixture(scope="module")
def raw():
    with np.load(str(files("regrow") / "assets" / "fashion_mnist_small.npz")) as stored:
        return {key: stored[key] for key in stored.files}


@pytest.fixture(scope="module")
def colour():
    """37 + 5 + 5 CIFAR-shaped images, made by hand so that no file is needed."""
    chance = np.random.default_rng(0)
    images = [torch.from_numpy(chance.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)) for n in (37, 5, 5)]
    sets = [data.ImageSet(x, torch.arange(len(x)) % 10) for x in images]
    facts = data.DATASETS["cifar10"]
    return data.Dataset("cifar10", *sets, facts.classes, facts.class_names, facts.mean, facts.std, (3, 32, 32), "")


def _epoch(dataset, **changes):
    return list(data.batches(dataset, **({"batch_size": 8, "seed": 1, "epoch": 0} | changes)))


def test_facts_cover_the_data_sets_a_config_may_name():
    assert set(data.DATASETS) == set(CHOICES["dataset"])
    for facts in data.DATASETS.values():
        assert len(facts.class_names) == len(set(facts.class_names)) == facts.classes
        assert len(facts.mean) == len(facts.std) == facts.shape[0]
    assert data.DATASETS["cifar100"].classes == 100


@pytest.mark.parametrize("name", data.DATASETS)
def test_split_has_the_papers_sizes_and_is_disjoint(name):
    facts = data.DATASETS[name]
    train, validation = data.split(facts.train + facts.validation)
    assert (len(train), len(validation)) == (facts.train, facts.validation)
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(facts.train + facts.validation))


def test_split_is_shuffled_and_stays_what_it_was():
    """Pinned: another split would make records of different versions incomparable."""
    train, validation = data.split(50_000)
    assert train[:3].tolist() == [42778, 41268, 17526] and validation[:3].tolist() == [2112, 29698, 42355]


def test_embedded_set(clothes, raw):
    facts = data.DATASETS["fashion_mnist_small"]
    assert [len(s) for s in (clothes.train, clothes.validation, clothes.test)] == [10_800, 1_200, 2_000]
    assert len(clothes.test) == facts.test and clothes.image_shape == (3, 32, 32) and clothes.classes == 10
    assert clothes.sha256.startswith("0065ed5f9f2d2f51")
    train, validation = data.split(12_000)
    for image_set, x, y in ((clothes.train, raw["x_train"][train], raw["y_train"][train]),
                            (clothes.validation, raw["x_train"][validation], raw["y_train"][validation]),
                            (clothes.test, raw["x_test"], raw["y_test"])):
        assert image_set.images.dtype == torch.uint8 and image_set.labels.dtype == torch.int64
        np.testing.assert_array_equal(image_set.images[:, 0, 2:-2, 2:-2], x)
        np.testing.assert_array_equal(image_set.labels, y)


def test_native_and_limited(clothes):
    native = data.load("fashion_mnist_small", image_format="native", train_limit=100)
    assert native.image_shape == (1, 28, 28) and len(native.train) == 100 and len(native.validation) == 1_200
    assert torch.equal(native.train.images, clothes.train.images[:100, :, 2:-2, 2:-2])
    assert native.sha256 == clothes.sha256
    assert data.normalise(native.train.images[:2], native).shape == (2, 1, 28, 28)


def test_grey_images_are_padded_with_black_before_normalisation_and_repeated(clothes, raw):
    x, y = next(data.evaluation_batches(clothes.test, clothes, 50, torch.float64))
    expected = (np.pad(raw["x_test"][:50] / 255, ((0, 0), (2, 2), (2, 2))) - 0.2860) / 0.3530
    np.testing.assert_allclose(x, np.repeat(expected[:, None], 3, axis=1), rtol=1e-12, atol=1e-14)
    assert x.is_contiguous() and y.tolist() == raw["y_test"][:50].tolist()


def test_normalise_colour_per_channel(colour):
    images = colour.train.images
    expected = images.numpy() / 255
    for c, (mean, std) in enumerate(zip((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), strict=True)):
        expected[:, c] = (expected[:, c] - mean) / std
    np.testing.assert_allclose(data.normalise(images, colour, torch.float64), expected, rtol=1e-12, atol=1e-14)
    x = data.normalise(images, colour)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-6)
    stacked = data.normalise(images[:6].view(2, 3, 3, 32, 32), colour)
    assert torch.equal(stacked.flatten(0, 1), x[:6])


def _one_image_at_a_time(images, offsets, flips, pad):
    out = np.zeros_like(images)
    for i, image in enumerate(images):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
        dy, dx = offsets[i]
        crop = padded[:, dy:dy + image.shape[1], dx:dx + image.shape[2]]
        out[i] = crop[:, :, ::-1] if flips[i] else crop
    return out


@settings(max_examples=40, deadline=None)
@given(b=st.integers(1, 6), c=st.sampled_from([1, 3]), h=st.integers(1, 9), w=st.integers(1, 9), pad=st.integers(0, 4),
       seed=st.integers(0, 999))
def test_pad_crop_flip_equals_a_loop(b, c, h, w, pad, seed):
    chance = np.random.default_rng(seed)
    images = chance.integers(0, 256, (b, c, h, w), dtype=np.uint8)
    offsets, flips = chance.integers(0, 2 * pad + 1, (b, 2)), chance.random(b) < 0.5
    out = data.pad_crop_flip(torch.from_numpy(images), torch.from_numpy(offsets), torch.from_numpy(flips), pad)
    np.testing.assert_array_equal(out, _one_image_at_a_time(images, offsets, flips, pad))


def test_augmentation_uses_every_offset_and_flips_half():
    offsets, flips = data.epoch_augmentation(20_000, seed=0, epoch=3)
    assert offsets.shape == (20_000, 2) and flips.dtype == torch.bool
    for axis in (0, 1):
        counts = torch.bincount(offsets[:, axis], minlength=9)
        assert len(counts) == 9 and counts.min() > 2_000  # 2,222 expected, standard deviation 44
    assert abs(flips.float().mean() - 0.5) < 0.02
    again = data.epoch_augmentation(20_000, seed=0, epoch=3)
    assert torch.equal(again[0], offsets) and torch.equal(again[1], flips)
    assert not torch.equal(data.epoch_augmentation(20_000, seed=0, epoch=4)[0], offsets)


def test_epoch_order():
    order = data.epoch_order(1000, seed=5, epoch=2)
    assert order.dtype == torch.int64 and torch.equal(order.sort().values, torch.arange(1000))
    assert torch.equal(order, data.epoch_order(1000, 5, 2))
    assert not torch.equal(order, data.epoch_order(1000, 5, 3))
    assert not torch.equal(order, data.epoch_order(1000, 6, 2))


@pytest.mark.parametrize(("n", "batch", "steps"), [(45_000, 128, 352), (54_000, 128, 422), (37, 8, 5), (8, 8, 1)])
def test_steps_per_epoch(n, batch, steps):
    assert data.steps_per_epoch(n, batch) == steps


def test_plain_batches_visit_every_image_once_in_the_epochs_order(colour):
    found = _epoch(colour)
    assert [len(y) for _, y in found] == [8, 8, 8, 8, 5]
    order = data.epoch_order(37, 1, 0)
    assert torch.equal(torch.cat([x for x, _ in found]), data.normalise(colour.train.images, colour)[order])
    assert torch.equal(torch.cat([y for _, y in found]), colour.train.labels[order])


def test_augmented_batches_are_the_epochs_crops_and_flips(colour):
    found = torch.cat([x for x, _ in _epoch(colour, augment="crop_flip", dtype=torch.float64)])
    order, (offsets, flips) = data.epoch_order(37, 1, 0), data.epoch_augmentation(37, 1, 0)
    cropped = _one_image_at_a_time(colour.train.images.numpy(), offsets.numpy(), flips.numpy(), 4)
    assert torch.equal(found, data.normalise(torch.from_numpy(cropped), colour, torch.float64)[order])


def test_flips_alone_are_the_same_flips_without_the_crop(colour):
    found = torch.cat([x for x, _ in _epoch(colour, augment="flip", dtype=torch.float64)])
    order, (_, flips) = data.epoch_order(37, 1, 0), data.epoch_augmentation(37, 1, 0)
    images = data.normalise(colour.train.images, colour, torch.float64)
    assert torch.equal(found, torch.where(flips[:, None, None, None], images.flip(3), images)[order])
    assert 0 < flips.sum() < 37


def test_a_mirrored_border_is_numpys_reflection(colour):
    found = torch.cat([x for x, _ in _epoch(colour, augment="mirror_crop_flip", dtype=torch.float64)])
    order, (offsets, flips) = data.epoch_order(37, 1, 0), data.epoch_augmentation(37, 1, 0)
    padded = np.pad(colour.train.images.numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
    h, w = colour.train.images.shape[2:]
    crops = np.stack([image[:, y:y + h, x:x + w] for image, (y, x) in zip(padded, offsets.numpy(), strict=True)])
    crops = np.where(flips.numpy()[:, None, None, None], crops[..., ::-1], crops)
    assert torch.equal(found, data.normalise(torch.from_numpy(crops.copy()), colour, torch.float64)[order])


@pytest.mark.parametrize("augment", data.AUGMENTATIONS)
def test_a_draw_gives_the_images_of_its_batch(colour, augment):
    plan = data.draws(colour, batch_size=8, seed=1, epoch=0, augment=augment)
    for draw, (x, _) in zip(plan, _epoch(colour, augment=augment), strict=True):
        assert torch.equal(data.normalise(data.drawn(colour.train.images, draw), colour), x)


@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip", "mirror_crop_flip"])
@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_resuming_in_the_middle_gives_the_same_remaining_batches(colour, augment, start):
    whole = _epoch(colour, augment=augment, epoch=4)
    torch.rand(3)  # whatever else happened meanwhile
    rest = _epoch(colour, augment=augment, epoch=4, start=start)
    assert len(rest) == len(whole) - start
    for (x, y), (x_again, y_again) in zip(whole[start:], rest, strict=True):
        assert torch.equal(x, x_again) and torch.equal(y, y_again)


def test_evaluation_is_in_stored_order_and_never_augmented(colour):
    for image_set in (colour.validation, colour.test):
        found = list(data.evaluation_batches(image_set, colour, batch_size=2))
        assert [len(y) for _, y in found] == [2, 2, 1]
        assert torch.equal(torch.cat([x for x, _ in found]), data.normalise(image_set.images, colour))
        assert torch.equal(torch.cat([y for _, y in found]), image_set.labels)


def test_evaluation_as_in_training_crops_and_flips_each_image_once_and_for_all(colour):
    def images(**changes):
        settings = {"augment": "crop_flip", "pad": 3, "seed": 7, "dtype": torch.float64} | changes
        return torch.cat([x for x, _ in data.evaluation_batches(colour.test, colour, 2, **settings)])

    n = len(colour.test)
    (draw,) = data.evaluation_draws(colour.test, batch_size=n, augment="crop_flip", pad=3, seed=7)
    cropped = _one_image_at_a_time(colour.test.images.numpy(), draw.offsets.numpy(), draw.flips.numpy(), 3)
    assert torch.equal(images(), data.normalise(torch.from_numpy(cropped), colour, torch.float64))
    assert torch.equal(images(), images())
    assert not torch.equal(images(), images(seed=8)) and not torch.equal(images(), images(augment="none"))
    assert not torch.equal(images(), images(augment="mirror_crop_flip"))


@pytest.mark.parametrize("pad", [1, 4, 8])
def test_crops_are_as_large_as_the_border(pad):
    offsets, _ = data.epoch_augmentation(20_000, seed=0, epoch=3, pad=pad)
    assert set(offsets.unique().tolist()) == set(range(2 * pad + 1))


@pytest.mark.parametrize(("name", "normalise", "mean", "std"), [
    ("cifar10", "own", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("cifar10", "snfs", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    ("cifar10", "half", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), ("fashion_mnist", "half", (0.5,), (0.5,)),
    ("mnist", "own", (0.1307,), (0.3081,)),
    ("mnist", "cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
])
def test_constants_of_normalisation(name, normalise, mean, std):
    assert datasets.constants(name, normalise) == (mean, std)


def test_a_grey_image_can_have_three_constants():
    run = RunConfig(normalise="cifar10", train_limit=10)
    images = data.load_for(run)
    mean, std = (np.array(values)[:, None, None] for values in datasets.constants("cifar10"))
    found = data.normalise(images.train.images, images, torch.float64).numpy()
    assert found.shape == (10, 3, 32, 32)
    np.testing.assert_allclose(found, (images.train.images.numpy() / 255 - mean) / std, rtol=1e-12)
    assert data.load_for(run.but(normalise="own")).mean == datasets.DATASETS[run.dataset].mean


def test_a_grey_image_that_stays_grey_cannot():
    """The sparse engine wrote three images where there is room for one."""
    images = data.load("fashion_mnist_small", image_format="native", train_limit=10)
    with pytest.raises(DataError, match="3 channels, and the network sees 1"):
        data.normalised_as(images, "cifar10")


def test_batches_leave_the_stored_images_alone(colour):
    before = colour.train.images.clone()
    for x, _ in _epoch(colour, augment="crop_flip"):
        x.zero_()
    assert torch.equal(colour.train.images, before)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"name": "fashon_mnist"}, "did you mean 'fashion_mnist'"),
    ({"name": "fashion_mnist_small", "image_format": "rgb"}, "rgb32 or native"),
    ({"name": "fashion_mnist_small", "train_limit": 10_801}, "10800 training images"),
])
def test_impossible_requests(arguments, words):
    with pytest.raises(DataError, match=words):
        data.load(**arguments)


def test_unknown_augmentation(colour):
    with pytest.raises(DataError, match="crop_flip, mirror_crop_flip, flip or none, not 'rotate'"):
        _epoch(colour, augment="rotate")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_batches_are_the_same_and_no_step_waits_for_the_device(colour):
    there = data.load("fashion_mnist_small", device="cuda", train_limit=64)
    here = data.load("fashion_mnist_small", train_limit=64)
    wanted = _epoch(here, augment="crop_flip", dtype=torch.float64)
    stream = data.batches(there, batch_size=8, seed=1, epoch=0, augment="crop_flip", dtype=torch.float64)
    found = [next(stream)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        found.extend(stream)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for (x, y), (x_gpu, y_gpu) in zip(wanted, found, strict=True):
        torch.testing.assert_close(x_gpu.cpu(), x, rtol=1e-12, atol=1e-14)
        assert torch.equal(y_gpu.cpu(), y)


@pytest.mark.parametrize("augment", ["none", "flip", "crop_flip", "mirror_crop_flip"])
def test_batches_of_several_seeds_follow_each_other_in_one(colour, augment):
    """Bit for bit what each seed gets alone, also in the last, smaller batch, and for images that are judged."""
    seeds = (4, 0, 9)
    together = _epoch(colour, seed=seeds, augment=augment, start=2, epoch=3)
    alone = [_epoch(colour, seed=seed, augment=augment, start=2, epoch=3) for seed in seeds]
    assert len(together) == len(alone[0]) == 3 and len(together[-1][1]) == 3 * 5
    judged = {"batch_size": 2, "augment": augment}
    together += list(data.evaluation_batches(colour.test, colour, seed=seeds, **judged))
    for one, seed in zip(alone, seeds, strict=True):
        one += data.evaluation_batches(colour.test, colour, seed=seed, **judged)
    for whole, *parts in zip(together, *alone, strict=True):
        for ours, theirs in zip(whole, zip(*parts, strict=True), strict=True):
            assert torch.equal(ours, torch.cat(theirs))
