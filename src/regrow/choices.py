"""The names that a run may use, each with the sentence that `python -m regrow train --help` prints, and the presets."""

from __future__ import annotations

from typing import Any

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

# Files of the user's with rules (see rules.load_own), separated as in PATH.
OWN_RULES = "REGROW_RULES"
# What they register: it takes part in every study, after the paper's rules.
OWN: dict[str, list[str]] = {"prune": [], "grow": []}
# "grow NAME" or "prune NAME" -> digest of the code of a rule that is not ours; part of the key of a run that uses it.
FINGERPRINTS: dict[str, str] = {}

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
    "sparse": "MLPs and RBMs on the CPU, work proportional to connections",
    "batched": "many runs of one MLP at once, for GPUs",
}
