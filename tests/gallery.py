"""The teachers' widgets as the tests compute them, to be compared with what a browser shows."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import numpy as np
from PIL import Image

from regrow_companion import widgets
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View


def gallery() -> list[Panel]:
    """What the notebook shows, computed here, in its order."""
    return [widget() for widget in widgets.ALL.values()]


def picture_of(shown: str) -> str:
    return shown.partition('src="')[2].partition('"')[0]


class StillForm:
    """What a page without a kernel does with a form's data, in Python."""

    def __init__(self, text: str) -> None:
        (found,) = re.findall(r'<script type="application/json">(.*?)</script>', text, flags=re.DOTALL)
        self.data: dict[str, Any] = json.loads(found)
        self.controls: list[dict[str, Any]] = self.data["controls"]
        self.chosen: list[str | None] = [None] * len(self.controls)
        self.path()

    def path(self) -> list[Any]:
        """The nodes down the tree to the number of a frame; what is no longer offered gives way to the start."""
        nodes = [self.data["root"]]
        for number, words in enumerate(self.chosen):
            offered = nodes[-1]["words"]
            self.chosen[number] = words if words in offered else offered[nodes[-1]["start"]]
            nodes.append(nodes[-1]["to"][offered.index(self.chosen[number])])
        return nodes

    def offered(self) -> list[list[str]]:
        return [node["words"] for node in self.path()[:-1]]

    def move(self, control: int, place: int) -> None:
        self.chosen[control] = self.offered()[control][place]
        self.path()

    def leaves(self, node: Any = None) -> list[int]:
        node = self.data["root"] if node is None else node
        return [node] if isinstance(node, int) else [leaf for child in node["to"] for leaf in self.leaves(child)]

    def shown(self) -> View:
        under, over, text, alt = self.data["frames"][self.path()[-1]]
        below, above = (Image.open(io.BytesIO(base64.b64decode(self.data["images"][n]))).convert("RGBA")
                        for n in (under, over))
        pixels = np.asarray(Image.alpha_composite(below, above).convert("RGB"))
        return View(pixels, self.data["words"][alt], self.data["words"][text])
