"""The code of docs/sparsify.md runs as it stands there, recipes for frameworks included where they are installed."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import regrow
from regrow.config import CHOICES
from regrow.rules import GROWTH
from regrow.settings import PRESETS, Settings
from regrow.sparsification import SparseTraining

PAGE = (Path(__file__).parents[2] / "docs" / "sparsify.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FRAMEWORKS = {"lightning": next(block for block in BLOCKS if "lightning.Callback" in block),
              "transformers": next(block for block in BLOCKS if "transformers.TrainerCallback" in block)}


def images(n: int = 64) -> TensorDataset:
    chance = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randn(n, 10, generator=chance), torch.randint(4, (n,), generator=chance))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 30), nn.ReLU(), nn.Linear(30, 4))


def place(tmp_path: Path) -> dict[str, Any]:
    """The names that a reader has before a block begins."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return {"regrow": regrow, "torch": torch, "model": model, "optimizer": optimizer, "loss_of": cross_entropy,
            "steps": 400, "loader": DataLoader(images(), batch_size=8), "file": tmp_path / "saved.pt",
            "scaler": torch.amp.GradScaler("cpu")}


def is_sparse(model: nn.Module, sparse: SparseTraining) -> bool:
    weights = dict(model.named_parameters())
    return all(not weights[f"{name}.weight"][~mask].any() and bool(weights[f"{name}.weight"][mask].any())
               for name, mask in sparse.masks.items())


@pytest.mark.parametrize("number", [n for n, block in enumerate(BLOCKS) if block not in FRAMEWORKS.values()])
def test_a_block_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    there = place(tmp_path)
    with mock.patch.dict(CHOICES["grow"]), mock.patch.dict(GROWTH):
        if "regrow.sparsify(" not in BLOCKS[number]:
            there["sparse"] = regrow.sparsify(there["model"], there["optimizer"], sparsity=0.9, update_interval=2,
                                              total_steps=400)
        exec(BLOCKS[number], there)
        assert is_sparse(there["model"], there["sparse"]) and there["sparse"].density == pytest.approx(0.1, abs=0.01)
        if "average" in there:
            assert not any(bool(dict(there["average"].module.named_parameters())[f"{name}.weight"][~mask].any())
                           for name, mask in there["sparse"].masks.items())


def test_the_first_block_is_the_one_that_the_module_promises() -> None:
    from regrow import sparsification  # only its docstring is read

    promised = re.sub(r"\s+", " ", sparsification.__doc__ or "")
    assert re.sub(r"\s+", " ", BLOCKS[0]).strip() in promised


def test_every_word_has_a_row_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|\s*(.*?)\s*\|", PAGE, re.MULTILINE))
    for field in fields(Settings):
        needed = field.name in ("sparsity", "density", "update_interval", "total_steps")
        assert rows[field.name] == ("" if needed else f"`{field.default!r}`".replace("'", '"'))
    assert rows.keys() - {field.name for field in fields(Settings)} == {"preset", "state"}
    assert all(f"`{name}`" in PAGE for name in (*PRESETS, *CHOICES["init"], *CHOICES["prune"], *CHOICES["grow"]))
    assert len(PAGE.splitlines()) <= 150


def test_the_recipes_are_at_most_ten_lines() -> None:
    assert all(len(block.splitlines()) <= 10 for block in FRAMEWORKS.values())


@pytest.fixture
def without_broken_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frameworks import torchvision if it is installed; one of CUDA's beside a torch of CPUs is, and fails."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        named = metadata.Distribution.from_name

        def but_torchvision(name: str) -> metadata.Distribution:
            if name == "torchvision":
                raise metadata.PackageNotFoundError(name)
            return named(name)

        monkeypatch.setattr(metadata.Distribution, "from_name", but_torchvision)
        monkeypatch.setitem(sys.modules, "torchvision", None)


@pytest.mark.slow
@pytest.mark.usefixtures("without_broken_torchvision")
def test_the_recipe_for_lightning_trains_and_goes_on(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    there: dict[str, Any] = {"lightning": lightning, "regrow": regrow}
    exec(FRAMEWORKS["lightning"], there)

    def fit(epochs: int, path: Path | None = None) -> tuple[Any, Any, Any]:
        callback = there["SparseTraining"](sparsity=0.8, grow="gradient", update_interval=3)
        trainer = lightning.Trainer(max_epochs=3, limit_train_batches=8, accelerator="cpu", logger=False,
                                    enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
                                    gradient_clip_val=1.0, default_root_dir=tmp_path, enable_checkpointing=False)
        module = Module()
        trainer.callbacks.append(StopAfter(epochs))
        trainer.fit(module, DataLoader(images(), batch_size=8), ckpt_path=path)
        return trainer, module, callback.sparse

    class StopAfter(lightning.Callback):
        def __init__(self, epochs: int) -> None:
            self.epochs = epochs

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch + 1 == self.epochs < 3:
                trainer.save_checkpoint(tmp_path / "half.ckpt")
                trainer.should_stop = True

    _, whole, sparse = fit(3)
    assert sparse.step_count == 24 and is_sparse(whole, sparse)
    _, _, half = fit(2)
    assert half.step_count == 16
    _, resumed, again = fit(3, tmp_path / "half.ckpt")
    assert again.step_count == 24
    assert all(torch.equal(again.masks[name], mask) for name, mask in sparse.masks.items())
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))


@pytest.mark.slow
@pytest.mark.usefixtures("without_broken_torchvision")
def test_the_recipe_for_hugging_face_trains_and_goes_on(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    there: dict[str, Any] = {"transformers": transformers, "regrow": regrow, "torch": torch}
    exec(FRAMEWORKS["transformers"], there)
    config = transformers.GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0,
                                     eos_token_id=0)
    rows = [{"input_ids": row, "labels": row} for row in
            torch.randint(20, (32, 8), generator=torch.Generator().manual_seed(0))]

    def fit(folder: str, **words: Any) -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(config)
        callback = there["SparseTraining"](sparsity=0.8, grow="momentum", update_interval=3, **words)
        arguments = transformers.TrainingArguments(output_dir=str(tmp_path / folder), max_steps=12, use_cpu=True,
                                                   per_device_train_batch_size=4, save_steps=6, report_to=[],
                                                   gradient_accumulation_steps=2, disable_tqdm=True)
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[callback])
        trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-6") if "state" in words else None)
        return model, callback.sparse

    whole, sparse = fit("whole")
    assert sparse.step_count == 12 and is_sparse(whole, sparse)
    assert "transformer.h.0.attn.c_attn" in sparse.masks and "transformer.wte" in sparse.left_dense
    resumed, again = fit("again", state=torch.load(tmp_path / "whole" / "checkpoint-6" / "sparse.pt"))
    assert again.step_count == 12
    assert all(torch.equal(again.masks[name], mask) for name, mask in sparse.masks.items())
    assert all(map(torch.equal, resumed.parameters(), whole.parameters()))
