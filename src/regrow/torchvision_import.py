"""Import torchvision even where its wheel was built for CUDA and torch was not."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_declared: list[torch.library.Library] = []  # a Library takes its operators with it when it is collected


def torchvision() -> ModuleType:
    """The torchvision package; its data sets, transforms and models work, its compiled operators need not.

    A CUDA wheel cannot load its compiled operators beside a CPU torch, and then fails to describe two of them. The
    remedy is to declare just those two. Importing takes about two seconds, so call this only where it is needed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _declared or "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return importlib.import_module("torchvision")
