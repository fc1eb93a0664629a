"""Whether all of an adapter is applied: its file holds what its configuration promises, and nothing else.

PEFT takes a pair that is missing for ΔW = 0, a tensor under another name for nothing, and a pattern that names no layer
for none, with a warning at most. A landscape or an audit would then be that of another model, so each is refused by
name. Names are those of the model's modules, `model.layers.0.self_attn.q_proj`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import cast

from safebasin.errors import ModelError, expected
from safebasin.models.files import border
from safebasin.models.whole import listed, unwhole
from safebasin.weights.layout import Layout

__all__ = ["check_applied", "matches_pattern", "say"]

_log = logging.getLogger(__name__)
_ANY_LINEAR = "all-linear"
_SAVE_AGAIN = "Save it again with PEFT."


def check_applied(
    config: Mapping[str, object], layout: Layout, modules: Collection[str], replaced: Collection[str], name: str
) -> None:
    """Compare what an adapter's configuration promises with what its file holds.

    Args:
        config: of `adapter_config.json`.
        layout: of the model.
        modules: those with a pair of A and B, as stored.
        replaced: parameters that the file replaces, under canonical names.
        name: of its folder, for messages.

    Raises:
        ModelError: naming what would not be applied.
    """
    if not modules and not replaced:
        remedy = "It holds none, so it would change nothing. Save it again where it was trained."
        raise ModelError(expected("adapter", "one with trained tensors", name, remedy))
    with border("adapter_config.json", "complete (names and patterns of modules)", name, _SAVE_AGAIN):
        _check_pairs(config, layout, modules, replaced, name)
        _check_beside(config, layout, replaced, name)
        _check_patterns(config, modules, name)


@cache
def say(text: str) -> None:
    """Warn of something once, however often the adapter is read."""
    _log.warning("%s", text)


def matches_pattern(pattern: str, module: str) -> bool:
    """Tell whether a key of `rank_pattern` or `alpha_pattern` means a module, as PEFT reads them."""
    with border("adapter_config.json", "complete (patterns of names)", pattern, _SAVE_AGAIN):
        return re.match(rf"(.*\.)?({pattern})$", module) is not None


# --- pairs -----------------------------------------------------------------------------------------------------------


def _check_pairs(
    config: Mapping[str, object], layout: Layout, modules: Collection[str], replaced: Collection[str], name: str
) -> None:
    """Every targeted layer has its pair, and every pair is of a targeted layer."""
    targets = config.get("target_modules")
    if not isinstance(targets, list | str) or targets == _ANY_LINEAR:
        return
    layers = set(_layers(layout))
    targeted = {layer for layer in layers if _is_targeted(config, layer)}
    reached = {_canonical(layout, module) for module in modules}
    missing = sorted(
        {_canonical(layout, layer) for layer in targeted if layer not in modules} - reached - set(replaced)
    )
    allowed = {_canonical(layout, layer) for layer in targeted}
    unexpected = sorted(f"{m}.lora_A" for m in modules if _canonical(layout, m) not in allowed)
    if missing or unexpected:
        raise ModelError(unwhole("adapter", name, missing, unexpected))
    if isinstance(targets, list):
        unmet = [str(t) for t in targets if not any(_ends(layer, str(t)) for layer in layers)]
        if unmet:
            say(f"adapter {name}: no layer of the model is called {listed(unmet)}; all that it holds is applied")


def _layers(layout: Layout) -> Iterator[str]:
    """Modules that can hold a pair, under each of their names."""
    for weight in (*layout.shapes, *layout.aliases):
        if weight.endswith(".weight") and len(layout.shapes[layout.aliases.get(weight, weight)]) == 2:
            yield weight.removesuffix(".weight")


def _canonical(layout: Layout, module: str) -> str:
    weight = f"{module}.weight"
    return layout.aliases.get(weight, weight)


def _is_targeted(config: Mapping[str, object], module: str) -> bool:
    """Whether PEFT would adapt a layer: `target_modules`, less those excluded, saved whole, or in other layers."""
    if _names(config.get("exclude_modules"), module) or _is_saved(config, module, nested=True):
        return False
    targets = config.get("target_modules")
    return _names(targets, module) and (isinstance(targets, str) or _is_in_layers(config, module))


def _names(entry: object, module: str) -> bool:
    """Whether an entry, a pattern of whole names or a list of endings, means a module."""
    if isinstance(entry, str):
        return re.fullmatch(entry, module) is not None
    return isinstance(entry, list) and any(_ends(module, str(end)) for end in cast("list[object]", entry))


def _ends(module: str, end: str) -> bool:
    return module == end or module.endswith(f".{end}")


def _is_in_layers(config: Mapping[str, object], module: str) -> bool:
    wanted, patterns = config.get("layers_to_transform"), config.get("layers_pattern")
    if wanted is None or wanted == []:
        return True
    chosen = cast("list[object]", patterns) if isinstance(patterns, list) else [patterns] if patterns else [r"[^.]*"]
    found = (re.match(rf"(?:^|.*?\.){pattern}\.(?P<index>\d+)\.", module) for pattern in chosen)
    index = next((int(match["index"]) for match in found if match), None)
    return index in (cast("list[object]", wanted) if isinstance(wanted, list) else [wanted])


# --- beside the pairs ------------------------------------------------------------------------------------------------


def _check_beside(config: Mapping[str, object], layout: Layout, replaced: Collection[str], name: str) -> None:
    """Every parameter of `modules_to_save`, and every bias that was trained, is there."""
    bias = config.get("bias")
    wanted = [
        parameter
        for parameter in (*layout.shapes, *layout.aliases)
        if _is_saved(config, parameter) or (parameter.endswith(".bias") and _is_trained(bias, config, parameter))
    ]
    missing = sorted({layout.aliases.get(parameter, parameter) for parameter in wanted} - set(replaced))
    if missing:
        raise ModelError(unwhole("adapter", name, missing))


def _is_saved(config: Mapping[str, object], parameter: str, *, nested: bool = False) -> bool:
    """Whether it lies in a module of `modules_to_save`, by the end of a name; whole names where PEFT leaves it out."""
    saved = config.get("modules_to_save")
    ends = [str(end) for end in cast("list[object]", saved)] if isinstance(saved, list) else []
    if nested:
        return any(re.match(rf"(^|.*\.){end}($|\..*)", parameter) for end in ends)
    parts = parameter.split(".")
    owners = [".".join(parts[:n]) for n in range(1, len(parts))]
    return any(owner.endswith(end) for owner in owners for end in ends)


def _is_trained(bias: object, config: Mapping[str, object], parameter: str) -> bool:
    return bias == "all" or (bias == "lora_only" and _is_targeted(config, parameter.removesuffix(".bias")))


def _check_patterns(config: Mapping[str, object], modules: Collection[str], name: str) -> None:
    """Every pattern of ranks and scales means a layer: else it may have been meant for one that is called otherwise."""
    for key in ("rank_pattern", "alpha_pattern"):
        patterns = cast("Mapping[str, object]", config.get(key) or {})
        unmet = [pattern for pattern in patterns if not any(matches_pattern(pattern, module) for module in modules)]
        if unmet:
            constraint = f"true of the adapter: each {key} the name of a layer with a pair"
            remedy = f"({name}) Take these out if it was trained without them; PEFT leaves them out in silence."
            raise ModelError(expected("adapter_config.json", constraint, listed(unmet), remedy))
