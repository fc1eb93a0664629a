"""Any point of a landscape as an ordinary checkpoint: θ₀ + Σ αᵢ·d̂ᵢ, bit for bit the weights of an engine there.

Not which point: who calls has a recipe. Marked unsafe where an attack is on the way: where the base, or what a
direction leads to, carries that mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import cast

from safebasin import catalog
from safebasin.edits.record import write_edit
from safebasin.errors import ModelError, expected
from safebasin.models.reference import ResolvedModel, locate_adapter, resolve
from safebasin.models.writing import copy_settings, is_unsafe, new_folder, save_model
from safebasin.records import DirectionSpec, Point
from safebasin.weights.target_text import models_of, resolve_target

__all__ = ["comes_of_attack", "write_point"]


def write_point(
    base: ResolvedModel,
    point: Point,
    out: Path,
    *,
    where: Mapping[str, object],
    dtype: str = "auto",
    trust_remote_code: bool = False,
) -> bool:
    """Write the model at a point, with tokenizer, template, record and model card; returns whether it is marked unsafe.

    Args:
        base: θ₀, found.
        point: its recipe.
        out: a new or empty folder. It is written whole or not at all.
        where: where the point stands, for the record; JSON throughout.
        dtype: the type that the engine held the weights in.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: where base or target cannot be used, or a target is no longer what the recipe was made of.
        UsageError: where there is something in `out` already.
    """
    for spec, _ in point.terms:
        _check_target(spec)
    with new_folder(out) as folder:
        _save(base, point, folder, dtype=dtype, trust_remote_code=trust_remote_code)
        terms = [{"alpha": alpha, **asdict(spec)} for spec, alpha in point.terms]
        details = {"point": point.key, **where, "terms": terms}
        text = f"{base.ref} {_said(point)}. Whether it is safe to use was not asked."
        attacks = comes_of_attack(base, point)
        made = write_edit(folder, base, "point", details, attacks=attacks, title="A point of a landscape", text=text)
    return made.unsafe


def comes_of_attack(base: ResolvedModel, point: Point) -> bool:
    """Tell whether θ₀, or a model or an adapter that a direction of the point leads to, is marked unsafe."""
    return is_unsafe(base.folder, base.adapter, *(part for spec, _ in point.terms for part in _parts(spec)))


def _parts(spec: DirectionSpec) -> Iterator[Path | None]:
    """Folders of weights that a direction is made of."""
    if catalog.target_of(spec.kind) == "adapter":
        yield locate_adapter(spec.target or "")
    for model in models_of(spec):
        found = resolve(model, needs_tokenizer=False)
        yield from (found.folder, found.adapter)


def _check_target(spec: DirectionSpec) -> None:
    """The point is that of the study only as long as what the direction leads to is what it was."""
    if spec.fingerprint is None:
        return
    found = resolve_target(spec)
    if found != spec.fingerprint:
        remedy = "Restore it, or map the study anew in another folder."
        got = f"one of fingerprint {found[:12]}"
        raise ModelError(expected(spec.label(), f"as it was mapped ({spec.fingerprint[:12]})", got, remedy))


def _save(base: ResolvedModel, point: Point, folder: Path, *, dtype: str, trust_remote_code: bool) -> None:
    import torch
    from torch import nn

    from safebasin.models.loading import load_causal, load_config
    from safebasin.models.placement import resolve_dtype
    from safebasin.weights.base import open_base
    from safebasin.weights.stream import apply, prepare, weights_at

    name = str(base.ref)
    config = load_config(base.folder, name=name, trust_remote_code=trust_remote_code)
    held = resolve_dtype(dtype, config, torch.device("cpu"))
    model = load_causal(base.folder, name=name, dtype=held, trust_remote_code=trust_remote_code, config=config)
    module = cast("nn.Module", model)
    theta = open_base(module, base.folder, adapter=base.adapter)
    deltas = prepare((spec for spec, _ in point.terms), theta)
    apply(weights_at(theta, point, deltas), module)
    save_model(model, folder, original=True)
    copy_settings(base.folder, folder)


def _said(point: Point) -> str:
    if point.is_origin:
        return "as it is, α = 0"
    return "moved by " + " and ".join(f"α = {alpha:g} along {spec.label()}" for spec, alpha in point.terms)
