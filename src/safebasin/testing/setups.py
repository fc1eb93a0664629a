"""Conformance of training defenses: a few steps of plain AdamW on a small real model, under the setup they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from safebasin.protocols import Defense, Setup, TrainingDefense
from safebasin.records import IGNORED, EncodedRow, TrainingRow
from safebasin.testing.claims import claim
from safebasin.testing.made_rows import check_takes

if TYPE_CHECKING:
    import torch

__all__ = ["check_training"]

_MODEL = "world:guild/aligned"
_STEPS = 2


class _World:
    """The world's rows, remembering which kinds were asked for."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Rows of the world."""
        from safebasin import catalog

        self.kinds.add(kind)
        return catalog.world("guild").training_rows(kind, n, seed=seed)


def check_training(defense: Defense) -> None:
    """Check the setup that a training defense makes, and a training under it.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    worker, source, plain = cast("TrainingDefense", defense), _World(), _plain()
    setup = worker.training(plain, source, seed=3)
    again = worker.training(plain, _World(), seed=3)
    claim(isinstance(setup, Setup), f"setup of {defense.name!r}", "a Setup", type(setup), "Use dataclasses.replace.")
    what = f"setup of {defense.name!r}"
    claim(
        (setup.rows, setup.frozen) == (again.rows, again.frozen), what, "the same from the same seed", "another",
        "Draw from the seed.",
    )  # fmt: skip
    check_takes(defense, cast("Any", source))
    _check_rows(defense.name, setup.rows)
    _check_steps(defense.name, setup)


def _plain() -> Setup:
    from safebasin.finetune.attacks import harmful_examples
    from safebasin.finetune.prepare import TuningRequest, prepare

    return prepare(TuningRequest(model=_MODEL, attack=harmful_examples(n=4))).setup


def _check_rows(name: str, rows: Sequence[EncodedRow]) -> None:
    claim(len(rows) > 0, f"rows of {name!r}", "at least one", 0, "Raise a UsageError instead.")
    for row in rows:
        sizes = (len(row.ids), len(row.labels))
        claim(sizes[0] == sizes[1], f"labels of {name!r}", "as many as tokens", sizes, f"Use {IGNORED} for no loss.")
        learned = sum(label != IGNORED for label in row.labels)
        claim(learned > 0, f"labels of {name!r}", "at least one that carries loss", 0, "Leave the row out instead.")


def _check_steps(name: str, setup: Setup) -> None:
    """Train a little: what is frozen stays bit for bit, something else moves, the loss is a finite scalar."""
    import torch

    from safebasin.finetune.setup import freeze
    from safebasin.models.reference import resolve
    from safebasin.weights.adapters import load_merged
    from safebasin.weights.selection import matches

    model = load_merged(resolve(_MODEL)).train()
    freeze(model, setup.frozen)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.01)
    for step in range(1, _STEPS + 1):
        loss = setup.loss(model, _batch(setup.rows[step % len(setup.rows)]))
        shown = (tuple(loss.shape), float(loss.detach().sum()))
        fine = loss.dim() == 0 and bool(torch.isfinite(loss)) and loss.requires_grad
        claim(
            fine, f"loss of {name!r}", "a finite scalar with a gradient", shown, "Return a mean over labelled tokens."
        )
        loss.backward()
        for hook in setup.hooks:
            hook.before(model, step)
        optimizer.step()
        for hook in setup.hooks:
            hook.after(model, step)
        optimizer.zero_grad()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    frozen = {n for n in before if any(matches(n, pattern) for pattern in setup.frozen)}
    broken = sorted(moved & frozen)
    claim(not broken, f"what {name!r} freezes", "left as it was", broken, "Its hooks must not write to it.")
    claim(moved, f"training with {name!r}", "one that moves a weight", "none moved", "Freeze less.")


def _batch(row: EncodedRow) -> Mapping[str, torch.Tensor]:
    import torch

    ids = torch.tensor([row.ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([row.labels])}
