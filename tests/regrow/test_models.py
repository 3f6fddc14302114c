"""Networks: exact counts, names in forward order, reproducible weights, shapes and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrow.config import RunConfig
from regrow.datasets import torchvision
from regrow.errors import ConfigError
from regrow.models import build, maskable, outline, parameter_counts, weight_shapes

RGB32 = (3, 32, 32)
NATIVE = (1, 28, 28)
NETS = ("mlp", "convnet", "vgg16", "resnet56", "resnet50-cifar", "resnet50")

COUNTS = [  # model, stem, classes, all parameters, maskable weights, maskable layers
    ("mlp", "imagenet", 10, 3_676_682, 3_675_136, 3),
    ("convnet", "imagenet", 10, 94_538, 94_304, 4),
    ("resnet56", "imagenet", 10, 855_770, 851_504, 58),
    ("resnet50-cifar", "imagenet", 10, 758_554, 754_736, 52),
    ("resnet50", "imagenet", 1000, 25_557_032, 25_502_912, 54),
    ("resnet50", "imagenet", 10, 25_557_032 - 990 * 2049, 25_502_912 - 990 * 2048, 54),
    ("resnet50", "cifar", 10, 25_557_032 - 990 * 2049 - 64 * 3 * (49 - 9), 25_502_912 - 990 * 2048 - 64 * 3 * 40, 54),
    ("vgg16", "imagenet", 10, 14_724_042, 14_715_584, 14),
]


@pytest.mark.parametrize(("model", "stem", "classes", "total", "sparse", "layers"), COUNTS)
def test_counts_are_those_of_the_paper(model, stem, classes, total, sparse, layers):
    net = outline(RunConfig(model=model, stem=stem), classes, RGB32)
    assert parameter_counts(net) == (total, sparse)
    assert len(maskable(net)) == layers
    assert all(w.is_meta for w in net.parameters()), "an outline must not hold numbers"


@pytest.mark.parametrize("model", NETS)
def test_outline_and_built_network_agree(model):
    config = RunConfig(model=model)
    net = build(config, classes=10, image_shape=RGB32)
    assert parameter_counts(net) == parameter_counts(outline(config, 10, RGB32))
    assert weight_shapes(config, 10, RGB32) == {name: tuple(w.shape) for name, w in maskable(net).items()}


def test_mlp_sizes_follow_the_config_and_the_image():
    config = RunConfig(model="mlp", hidden=(300, 100))
    assert weight_shapes(config, 10, NATIVE) == {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}
    assert weight_shapes(RunConfig(hidden=(7,)), 4, NATIVE) == {"fc1": (7, 784), "fc2": (4, 7)}


def test_names_are_short_and_stable():
    def names(model, **keys):
        return list(weight_shapes(RunConfig(model=model, **keys), 10, RGB32))

    assert names("mlp") == ["fc1", "fc2", "fc3"]
    assert names("convnet") == ["conv1", "conv2", "conv3", "fc"]
    assert names("vgg16")[:3] + names("vgg16")[-2:] == ["conv1_1", "conv1_2", "conv2_1", "conv5_3", "fc"]
    assert names("resnet56")[:3] == ["conv1", "stage1.0.conv1", "stage1.0.conv2"]
    assert [n for n in names("resnet56") if "shortcut" in n] == ["stage2.0.shortcut.conv", "stage3.0.shortcut.conv"]
    assert names("resnet50")[:6] == ["conv1", "stage1.0.conv1", "stage1.0.conv2", "stage1.0.conv3",
                                     "stage1.0.shortcut.conv", "stage1.1.conv1"]


@pytest.mark.parametrize("model", NETS)
def test_maskable_weights_are_in_forward_order_and_each_layer_runs_once(model):
    net = build(RunConfig(model=model), classes=10, image_shape=RGB32).eval()
    ran: list[str] = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    with torch.no_grad():
        net(torch.zeros(1, *RGB32))
    assert ran == list(maskable(net))


def test_maskable_holds_the_parameters_themselves_and_no_bias_or_batchnorm():
    net = build(RunConfig(model="resnet56"), classes=10, image_shape=RGB32)
    own = {id(p): name for name, p in net.named_parameters()}
    assert all(own[id(w)] == f"{name}.weight" and w.dim() in (2, 4) for name, w in maskable(net).items())
    left_out = {name for name in own.values()} - {f"{name}.weight" for name in maskable(net)}
    assert all("bn" in name or name.endswith("bias") for name in left_out)


@pytest.mark.parametrize("image_shape", [RGB32, NATIVE], ids=["rgb32", "native"])
@pytest.mark.parametrize(("model", "stem"), [(m, "imagenet") for m in NETS] + [("resnet50", "cifar")])
def test_logits_and_a_gradient_for_every_parameter(model, stem, image_shape):
    net = build(RunConfig(model=model, stem=stem), classes=7, image_shape=image_shape)
    images = torch.randn(3, *image_shape, generator=torch.Generator().manual_seed(1))
    logits = net(images)
    assert logits.shape == (3, 7)
    F.cross_entropy(logits, torch.tensor([0, 3, 6])).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), f"no gradient in {name}"


def test_spatial_sizes_before_the_average():
    def size(**keys):
        net, seen = build(RunConfig(**keys), classes=10, image_shape=RGB32).eval(), []
        net.average.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[1:])))
        with torch.no_grad():
            net(torch.zeros(1, *RGB32))
        return seen[0]

    assert size(model="convnet") == (128, 4, 4)  # maps of 30, 15, 13, 6 and 4 pixels, as Table 5 reads
    assert size(model="convnet", padding="same") == (128, 8, 8)
    assert size(model="vgg16") == (512, 2, 2)
    assert size(model="resnet56") == (64, 8, 8)
    assert size(model="resnet50") == (2048, 1, 1)
    assert size(model="resnet50", stem="cifar") == (2048, 4, 4)


def test_mlp_sees_pixels_in_the_order_c_h_w():
    net = build(RunConfig(dtype="float64"), classes=10, image_shape=RGB32)
    image = torch.zeros(1, *RGB32, dtype=torch.float64)
    image[0, 2, 5, 7] = 1
    with torch.no_grad():
        hidden = net.fc1(net.flatten(image))[0] - net.fc1.bias
        column = net.fc1.weight.view(1024, *RGB32)[:, 2, 5, 7]
    assert torch.allclose(hidden, column)


@pytest.mark.parametrize("model", ["mlp", "convnet", "resnet56"])
def test_weights_depend_on_the_seed_alone(model):
    def weights(seed, **keys):
        return build(RunConfig(model=model, seed=seed, **keys), classes=10, image_shape=RGB32).state_dict()

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    again = weights(0, epochs=3, sparsity=0.5, grow="random")
    other = weights(1)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not any(torch.equal(first[k], other[k]) for k in first if k.endswith("fc.weight") or "conv" in k)


@pytest.mark.parametrize("make", [lambda c: build(c, classes=10, image_shape=NATIVE), lambda c: outline(c, 10, NATIVE)],
                         ids=["build", "outline"])
def test_global_random_state_is_left_alone(make):
    before = torch.get_rng_state()
    make(RunConfig(model="convnet"))
    assert torch.equal(torch.get_rng_state(), before)


def test_global_random_state_survives_a_refused_model():
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match="rbm-big"):
        build(RunConfig(model="rbm-big"), classes=10, image_shape=NATIVE)
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_are_pytorchs_default():
    net = build(RunConfig(), classes=10, image_shape=RGB32)
    for weight in maskable(net).values():  # uniform within 1 / sqrt(fan-in)
        bound = weight.shape[1] ** -0.5
        assert weight.abs().max() <= bound
        assert weight.abs().mean().item() == pytest.approx(bound / 2, rel=0.05)


def test_double_precision_starts_from_the_same_numbers():
    single = build(RunConfig(model="convnet"), classes=10, image_shape=RGB32)
    double = build(RunConfig(model="convnet", dtype="float64"), classes=10, image_shape=RGB32)
    for s, d in zip(single.parameters(), double.parameters(), strict=True):
        assert s.dtype == torch.float32 and d.dtype == torch.float64
        assert torch.equal(s.double(), d)


def test_resnet50_computes_what_torchvisions_does():
    ours = build(RunConfig(model="resnet50"), classes=10, image_shape=RGB32).eval()
    theirs = torchvision().models.resnet50(num_classes=10).eval()
    values = list(ours.state_dict().values())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    images = torch.randn(2, *RGB32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)


@pytest.mark.parametrize("model", ["rbm-big", "rbm-small"])
def test_rbms_are_refused_in_one_sentence(model):
    with pytest.raises(ConfigError, match=model):
        outline(RunConfig(model=model), 10, NATIVE)
