"""Speed and scaling, side by side with the alternatives: `python -m bench [NAME]`. One thread, always."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"  # read when numpy and torch are imported, which comes after this

# Name -> what it measures, in the order in which they run.
BENCHMARKS = {
    "engines": "a whole training step against the number of connections: sparse, masked-dense, torch CSR, scipy",
    "conv": "whole training steps of ConvNet, ResNet-56 and VGG-16 against masked-dense PyTorch, and their parts",
    "update": "a topology update, and the dense gradients it needs, against the 400 steps before it",
    "memory": "bytes of the sparse engine against connections, and peak memory of a training process",
    "end_to_end": "images per second of training, data included, against DataLoader + torchvision + masked-dense",
    "pipeline": "the data pipeline alone against DataLoader + torchvision transforms",
    "batched": "15 MLPs in one batch and the CNNs' steps against a plain loop, on the GPU if there is one",
    "memory_format": "steps of the dense engine on the CPU, channels first and last",
    "sparsify": "what regrow.sparsify adds to a step of somebody's loop, and an update against 100 steps",
    "store": "record and checkpoint writing against training time",
    "sweep": "many runs in one process and in two: what a second core brings",
    "notebooks": "every notebook replayed, and the quick profile with its training; peak memory",
    "selection": "choosing the largest scores of 3.1 million: ours, torch.topk, a full sort",
    "topology": "k-shells against networkx and igraph, the matrix of Kendall's tau against a scipy loop",
    "tails": "power-law fits, p-values and alternatives against powerlaw and igraph",
}
