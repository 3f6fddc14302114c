"""Work is counted: multiply-adds by hand, steps as the paper has them."""

from __future__ import annotations

import pytest

from regrow import cost
from regrow.config import RunConfig

SMALL = {"dataset": "fashion_mnist_small", "epochs": 1, "train_limit": 1}


@pytest.mark.parametrize(("dataset", "epochs", "steps"), [
    ("cifar10", 300, 105_600), ("cifar100", 1, 352), ("mnist", 1, 422), ("fashion_mnist", 2, 844),
    ("fashion_mnist_small", 30, 2_550)])
def test_steps_of_a_run(dataset, epochs, steps):
    assert cost.total_steps(RunConfig(dataset=dataset, epochs=epochs)) == steps


def test_train_limit_counts():
    config = RunConfig(train_limit=256, batch_size=100, epochs=2)
    assert cost.train_images(config) == 256 and cost.total_steps(config) == 6
    assert cost.train_images(RunConfig(train_limit=10**9)) == 10_800


@pytest.mark.parametrize(("config", "forward"), [
    (RunConfig(**SMALL), 3_675_136),  # one multiply-add for every weight
    (RunConfig(hidden=(300, 100), **SMALL), 784 * 300 + 300 * 100 + 100 * 10),
    (RunConfig(model="convnet", **SMALL), 30**2 * 9 * 3 * 32 + 13**2 * 9 * 32 * 64 + 4**2 * 9 * 64 * 128 + 1280),
    (RunConfig(model="convnet", padding="same", **SMALL),
     32**2 * 9 * 3 * 32 + 16**2 * 9 * 32 * 64 + 8**2 * 9 * 64 * 128 + 1280),
])
def test_multiply_adds_by_hand(config, forward):
    assert cost.multiply_adds(config) == 3 * forward
    assert cost.multiply_adds(config.but(epochs=7, train_limit=11)) == 3 * forward * 77


def test_published_counts():
    """ResNet-56 is known for 125 million multiply-adds an image; option B adds two small projections."""
    per_image = cost.multiply_adds(RunConfig(model="resnet56", dataset="cifar10", epochs=1, train_limit=1)) / 3
    assert per_image == pytest.approx(125.5e6, rel=0.01)


def test_work_does_not_depend_on_the_strategy():
    one = cost.multiply_adds(RunConfig(grow="random"))
    assert one == cost.multiply_adds(RunConfig(prune="none", grow="none", seed=3))


def test_a_step_of_a_boltzmann_machine_is_five_products():
    one = RunConfig(model="rbm-small", dataset="mnist", epochs=1, train_limit=1)
    assert cost.multiply_adds(one) == 5 * 784 * 250
    assert cost.multiply_adds(one.but(model="rbm-big", epochs=3, train_limit=7)) == 5 * 784 * 1000 * 21


@pytest.mark.parametrize(("config", "shape"), [
    (RunConfig(), (3, 32, 32)), (RunConfig(hidden=(300, 100)), (1, 28, 28)),
    (RunConfig(hidden=(300, 100), dataset="cifar10"), (3, 32, 32)), (RunConfig(model="vgg16"), (3, 32, 32))])
def test_image_shape(config, shape):
    assert cost.image_shape(config) == shape
