"""Conformance of `safebasin.protocols.Edit`: a few edits of a small real model, each in a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.protocols import Edit, RowSource
from safebasin.records import TrainingRow
from safebasin.testing.claims import claim
from safebasin.testing.made_rows import check_takes

if TYPE_CHECKING:
    from safebasin.models.reference import ResolvedModel

__all__ = ["check_edit"]

_MODEL = "world:guild/aligned"


class _Remembering:
    """A source that remembers which kinds were asked for."""

    def __init__(self, rows: RowSource) -> None:
        self.rows = rows
        self.kinds: set[str] = set()

    def training_rows(self, kind: str, n: int | None = None, *, seed: int = 0) -> Sequence[TrainingRow]:
        """Rows of the source."""
        self.kinds.add(kind)
        return self.rows.training_rows(kind, n, seed=seed)


def check_edit(edit: Edit, *, model: str | None = None, rows: RowSource | None = None) -> None:
    """Check that an edit writes one whole adapter or checkpoint that fits the model, with a record, deterministically.

    Args:
        edit: the edit.
        model: what it edits; `world:guild/aligned` if None.
        rows: the source that it takes rows of; the guild's own if None.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    from safebasin import catalog
    from safebasin.models.reference import resolve

    name = getattr(edit, "name", None)
    claim(isinstance(name, str) and name, "name of the edit", "text", name, "Name it as the catalogue does.")
    model = model or _MODEL
    before = resolve(model)
    source = _Remembering(rows or catalog.world("guild"))
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / "one", Path(folder) / "again"]
        for out in outs:
            made = edit.make(model, source, out, seed=3)
            claim(made == out, f"what {name!r} returns", "the folder that it was given", made, "Return `out`.")
        check_takes(edit, cast("Any", source))
        after = resolve(model).fingerprint
        claim(after == before.fingerprint, f"the model under {name!r}", "left as it is", "changed", "Write to `out`.")
        _check_record(str(name), outs[0], before)
        _check_fits(str(name), outs[0], model)
        one, again = (_weights(out) for out in outs)
        remedy = "Draw from the seed only."
        claim(one == again, f"the weights of {name!r}", "the same from the same seed", "others", remedy)


def _check_record(name: str, out: Path, base: ResolvedModel) -> None:
    """Kind, base, fingerprint and mark: what others read of it."""
    from safebasin.models.writing import RECORD, is_unsafe, read_record

    remedy = "Use safebasin.edits.record.write_edit."
    claim((out / RECORD).is_file(), f"record of {name!r}", f"{RECORD} beside the weights", "none", remedy)
    record = read_record(out)
    for key, wanted in (("base", str(base.ref)), ("of", base.fingerprint)):
        claim(record.get(key) == wanted, f"{key} in the record of {name!r}", wanted, record.get(key), remedy)
    for key, kind in (("kind", str), ("unsafe", bool), ("versions", dict)):
        claim(
            isinstance(record.get(key), kind),
            f"{key} in the record of {name!r}",
            kind.__name__,
            record.get(key),
            remedy,
        )
    kept = record["unsafe"] or not is_unsafe(base.folder, base.adapter)
    claim(kept, f"the mark of {name!r}", "unsafe where the model is", record["unsafe"], remedy)


def _check_fits(name: str, out: Path, model: str) -> None:
    """What was written is an adapter of the model, or a checkpoint; finite, and it can be loaded."""
    from safebasin.models.reference import resolve
    from safebasin.weights.adapters import load_merged
    from safebasin.weights.base import HostWeights

    is_adapter, is_whole = ((out / file).is_file() for file in ("adapter_config.json", "config.json"))
    found = {"adapter": is_adapter, "checkpoint": is_whole}
    claim(is_adapter != is_whole, f"what {name!r} writes", "an adapter or a checkpoint", found, "Write one of them.")
    written = resolve(f"{model}+{out}" if is_adapter else str(out))
    HostWeights(cast("Any", load_merged(written)), copy=False)  # raises where a weight is not finite


def _weights(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.safetensors"))}
