"""The networks of the paper (Table 5 and Section 5.1), written out, and which of their weights a mask may cover.

Images enter every network as a float tensor [B, C, H, W]; logits [B, classes] leave it. Layers are defined in the order
in which the forward pass uses them, because masks, records and figures follow the order of definition.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrow.config import RunConfig
from regrow.determinism import generator
from regrow.errors import ConfigError
from regrow.weights import find


def build(config: RunConfig, *, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """The network of a run on the CPU, in config.dtype, with dense initial weights that depend on config.seed alone.

    image_shape is (C, H, W). The global random state is neither read nor changed. Raises ConfigError for an RBM.
    """
    # PyTorch's default initialisation stays, since the paper names no other; a mask is laid over these dense weights
    # afterwards, so every strategy starts a seed from the same numbers. They are drawn in single precision whatever the
    # dtype, so a double precision check starts there too. Not torch.manual_seed: it would reseed the GPUs as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(generator("init", config.seed).initial_seed())
        model = _network(config, classes, image_shape)
    return model.to(getattr(torch, config.dtype))


def outline(config: RunConfig, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """The same network without memory for its numbers (device "meta"), to count and to list shapes."""
    with torch.device("meta"):
        return _network(config, classes, image_shape)


def maskable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weights that may be sparse in a network of ours, in forward order: no bias, no batch normalisation.

    A layer is called by its module path: "fc1", "conv2", "stage1.0.conv1".
    """
    return {weight.name: weight.parameters[0] for weight in find(model).weights}


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Number of all parameters, and of the maskable weights among them."""
    return sum(p.numel() for p in model.parameters()), sum(w.numel() for w in maskable(model).values())


def weight_shapes(config: RunConfig, classes: int, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Shapes (out, in) or (out, in, h, w) of the maskable weights in forward order, found without allocating them."""
    return {name: tuple(w.shape) for name, w in maskable(outline(config, classes, image_shape)).items()}


def _network(config: RunConfig, classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    channels = image_shape[0]
    match config.model:
        case "mlp":
            return mlp((math.prod(image_shape), *config.hidden, classes))
        case "convnet":
            return convnet(channels, classes, padding=int(config.padding == "same"))
        case "vgg16":
            return vgg16(channels, classes)
        case "resnet56":
            return cifar_resnet(9, channels, classes)
        case "resnet50-cifar":
            return cifar_resnet(8, channels, classes)
        case "resnet50":
            return resnet50(channels, classes, config.stem)
    raise ConfigError(f"model={config.model} is not a classifier built from layers: choose mlp, convnet, vgg16 or a "
                      "resnet here.")


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers fc1, fc2, ... with ReLU between them (Table 5); the input is flattened in the order C, H, W."""
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten())
    for i, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        if i > 1:
            net.add_module(f"relu{i - 1}", nn.ReLU())
        net.add_module(f"fc{i}", nn.Linear(n_in, n_out))
    return net


def convnet(channels: int, classes: int, padding: int = 0) -> nn.Sequential:
    """Three convolutions, global average pooling and one linear layer (Table 5).

    Table 5's Conv2d(3, 32, 3, 1) is, in PyTorch's order, kernel 3 and stride 1, without padding: an image of 32 x 32
    becomes maps 30, 15, 13, 6 and 4 wide. No count depends on the padding, the accuracy may.
    """
    net = nn.Sequential()
    for i, (n_in, n_out) in enumerate(pairwise((channels, 32, 64, 128)), start=1):
        net.add_module(f"conv{i}", nn.Conv2d(n_in, n_out, 3, stride=1, padding=padding))
        net.add_module(f"relu{i}", nn.ReLU())
        if i < 3:
            net.add_module(f"pool{i}", nn.MaxPool2d(2))
    return with_head(net, 128, classes)


def vgg16(channels: int, classes: int) -> nn.Sequential:
    """VGG-16 for small images: 13 convolutions with batch normalisation, four max-pools, one linear layer."""
    net = nn.Sequential()
    n_in = channels
    for block, (convs, width) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1):
        for i in range(1, convs + 1):
            net.add_module(f"conv{block}_{i}", convolution(n_in, width, 3))
            net.add_module(f"bn{block}_{i}", nn.BatchNorm2d(width))
            net.add_module(f"relu{block}_{i}", nn.ReLU())
            n_in = width
        if block < 5:
            net.add_module(f"pool{block}", nn.MaxPool2d(2))
    return with_head(net, n_in, classes)


def cifar_resnet(n: int, channels: int, classes: int) -> nn.Sequential:
    """ResNet with 6n+2 layers for 32 x 32 images (He et al. 2016, Section 4.2): three stages of n basic blocks."""
    net = beginning(convolution(channels, 16, 3))
    add_stages(net, BasicBlock, 16, widths=(16, 32, 64), depths=(n, n, n))
    return with_head(net, 64, classes)


def resnet50(channels: int, classes: int, stem: str = "imagenet") -> nn.Sequential:
    """ResNet-50 (He et al. 2016, Table 1): four stages of 3, 4, 6 and 3 bottleneck blocks.

    The "imagenet" stem shrinks the image by 4, to 8 x 8 for 32 x 32 images; the "cifar" stem keeps its size.
    """
    if stem == "imagenet":
        net = beginning(convolution(channels, 64, 7, stride=2))
        net.add_module("pool1", nn.MaxPool2d(3, stride=2, padding=1))
    else:
        net = beginning(convolution(channels, 64, 3))
    add_stages(net, Bottleneck, 64, widths=(64, 128, 256, 512), depths=(3, 4, 6, 3))
    return with_head(net, 512 * Bottleneck.expansion, classes)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1  # channels that leave the block, per width

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = convolution(n_in, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(n_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1 to `width` channels, 3x3, 1x1 to four times as many, and a shortcut."""

    expansion = 4

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = width * self.expansion
        self.conv1 = convolution(n_in, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        # The stride sits here, as in today's common code, not in conv1 as in the first ResNet: the same counts.
        self.conv2 = convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, n_out, 1)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.shortcut = _shortcut(n_in, n_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.shortcut(x))


def convolution(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution that keeps the image's size at stride 1, without bias, as batch normalisation follows."""
    return nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)


def _shortcut(n_in: int, n_out: int, stride: int) -> nn.Module:
    """Identity where it fits, otherwise a 1x1 projection with batch normalisation (option B of He et al. 2016)."""
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    projection = nn.Sequential()
    projection.add_module("conv", convolution(n_in, n_out, 1, stride))
    projection.add_module("bn", nn.BatchNorm2d(n_out))
    return projection


def beginning(first: nn.Conv2d) -> nn.Sequential:
    """The beginning of a residual network: a convolution, batch normalisation, ReLU."""
    net = nn.Sequential()
    net.add_module("conv1", first)
    net.add_module("bn1", nn.BatchNorm2d(first.out_channels))
    net.add_module("relu1", nn.ReLU())
    return net


def add_stages(net: nn.Sequential, block: type[BasicBlock | Bottleneck], n_in: int, *, widths: tuple[int, ...],
                depths: tuple[int, ...]) -> None:
    """Append stage1, stage2, ...; each but the first starts with a stride of 2."""
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        stage = nn.Sequential()
        for j in range(depth):
            stage.append(block(n_in, width, stride=2 if i > 1 and j == 0 else 1))
            n_in = width * block.expansion
        net.add_module(f"stage{i}", stage)


def with_head(net: nn.Sequential, n_in: int, classes: int) -> nn.Sequential:
    """Append average pooling and a linear layer from `n_in` channels; the same network is returned."""
    net.add_module("average", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(n_in, classes))
    return net
