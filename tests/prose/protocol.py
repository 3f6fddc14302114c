"""docs/protocol.md."""

from __future__ import annotations

from prose import measures as m
from prose.said import Said
from regrow_companion import paper, study

PAGE = "docs/protocol.md"
EXCUSED = {
    "a CIFAR ResNet with 6n+2 layers": "a formula",
    "kills sweeps 200 times, damages 300 files, fills disks and makes 300 mistakes": "what the command does by default",
}
STATIC = {"prune": "none", "grow": "none"}


def seeds_of_figure_13() -> list[int]:
    """How many seeds the MLP's cells have beside those of magnitude pruning."""
    return [m.trained(prune=prune, grow=rule) for prune in ("set", "random") for rule in m.STRATEGIES]


def resnet50() -> int:
    """The paper's number."""
    table = paper.parameter_table().set_index("network")
    return int(table.loc["ResNet-50, for ImageNet", "the paper's number"].replace(",", ""))


SAID = [
    Said("Of the {} runs of the paper's grid, with our baselines, ablations and other readings, {} have been made",
         lambda: (m.grid(), len(m.listed()))),
    Said("5.4 with either border, {} seeds each; {} MLPs that are never rewired, {} dense ones with the black "
         "border, and one each on CIFAR-10, MNIST and Fashion-MNIST",
         lambda: (m.seeds("random"), m.seeds(**STATIC), m.seeds(**study.DENSE, **m.BLACK),
                  {m.seeds(dataset=images, **study.DENSE) for images in ("cifar10", "mnist", "fashion_mnist")} == {1},
                  {m.seeds(rule, **border) for rule in m.STRATEGIES for border in ({}, m.BLACK)} == {5})),
    Said("Fashion-MNIST, {} seeds each, and other readings",
         lambda: (m.seeds("random", dataset="mnist"),
                  {m.seeds(rule, dataset=images) for rule in m.STRATEGIES for images in ("mnist", "fashion_mnist")}
                  == {5})),
    Said("the {} Boltzmann machines of Appendix D; {} seeds of the MLP's cells of Figure 13; single seeds of cells of "
         "Tables 7 and 8; and {} of the ConvNet's",
         lambda: (len(m.of_need("fig15")) + len(m.of_need("fig16")), min(seeds_of_figure_13()),
                  (m.listed()["model"] == "convnet").sum(), len(set(seeds_of_figure_13())) == 1)),
    Said("{} further runs are defined for the questions of Section 8; those that were made are short ({} epochs or {})",
         lambda: (m.planned() - m.grid(), study.SHORT["epochs"], study.CNNS["convnet"]["epochs"])),
    Said("ResNet-50's {} million weights", lambda: (resnet50() / 1e6,)),
]
