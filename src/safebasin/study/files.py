"""From files and arguments to a `Study`: defaults, options of the command line, and errors that name the key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from safebasin import catalog
from safebasin.catalog.making import constraint_in
from safebasin.errors import StudyError, expected
from safebasin.study.defenses import with_world
from safebasin.study.model import CapabilitySpec, DecodingSpec, PromptsSpec, Study
from safebasin.study.options import StudyFlags, option_at, owner_of, singular, under
from safebasin.study.regions import AxisSpec, RegionSpec, axis_fields, leads_somewhere, several
from safebasin.untrusted import check_typed_path, read_yaml

MODEL_DEFAULTS = {"range": "-0.5:0.5:21", "max_new_tokens": 512}
TARGET_RANGE = "-0.5:1.5:21"
"""Default range of an axis that leads somewhere: past both ends, with both on the grid."""

_T = TypeVar("_T", bound=BaseModel)


def make(fields: Mapping[str, object], *, options: Collection[str] = ()) -> Study:
    """A study from (possibly partial) fields, with the defaults that fit its model filled in.

    A `world:` model brings its own harmful prompts, and range and tokens that fit it; any other must name its prompts.

    Args:
        fields: as a study file has them.
        options: keywords of those that were given as options, by which an error then names them.

    Raises:
        StudyError: naming the first field that does not hold, with "did you mean" for a key that is not known.
    """
    filled: dict[str, Any] = dict(fields)
    known = sorted({*Study.model_fields, *_ONE_REGION})
    if "models" in filled:
        remedy = "`safebasin map` and map_models take several; name one as 'model' here."
        raise StudyError(expected("key 'models'", "left out of the study of one model", filled["models"], remedy))
    for key in filled:
        if key not in known:
            raise StudyError(_unknown_key(key, key, known, "study"))
    model = filled.get("model", "")
    is_world = isinstance(model, str) and model.startswith("world:")
    defaults = _world_defaults(str(model)) if is_world else MODEL_DEFAULTS
    if "prompts" not in filled:
        if not is_world:
            check_typed_path(str(model))
            raise StudyError(
                expected(
                    "prompts",
                    "given for a model that is not of an embedded world",
                    None,
                    "Pass --prompts FILE, or the name of a public set (see: safebasin list prompts).",
                )
            )
        filled["prompts"] = [{"name": "harmful", "source": f"{model.split('/')[0]}/harmful"}]
    regions, is_fast = _as_regions(filled), filled.get("fast") is True
    filled["regions"] = [_with_axis_defaults(region, str(defaults["range"])) for region in regions]
    if is_fast:
        filled["regions"] = [{"points": "auto", **r} if _is_fields(r) else r for r in filled["regions"]]
    is_one = len(regions) == 1
    if is_world and filled.get("defenses"):
        world = str(model).removeprefix("world:").partition("/")[0]
        filled["defenses"] = [with_world(d, world) if isinstance(d, str) else d for d in several(filled["defenses"])]
    decoding = filled.get("decoding", {})
    if isinstance(decoding, Mapping):
        filled["decoding"] = {
            "max_new_tokens": defaults["max_new_tokens"],
            **({"stop": "loop"} if is_fast else {}),
            **cast("Mapping[str, object]", decoding),
        }
    return _validated(Study, filled, where="study", hidden="regions.0." if is_one else "", options=options)


def _world_defaults(model: str) -> dict[str, str | int]:
    """Range and tokens that the catalogue names for the world of a model; those of any model where it is not known."""
    name = model.removeprefix("world:").partition("/")[0]
    row = next((row for row in catalog.of_kind("world") if row.name == name), None)
    drawn, tokens = (row.fact("range"), row.fact("max_new_tokens")) if row else (None, None)
    return {
        **MODEL_DEFAULTS,
        **({"range": drawn} if drawn else {}),
        **({"max_new_tokens": int(tokens)} if tokens else {}),
    }


_ANY_AXIS: Mapping[str, object] = {}
"""An axis of which everything is default."""
_ONE_REGION = ("axes", "points", "budget", "each")
"""Keys that a study of a single region may write at the top."""


def _as_regions(fields: dict[str, Any]) -> list[object]:
    """The regions of a study; the keys of a single one are taken from the top of `fields`."""
    own = {key: fields.pop(key) for key in _ONE_REGION if key in fields}
    if "regions" not in fields:
        return [{"axes": [{}], **own}]
    if own:
        remedy = "Move it into the regions, or leave 'regions' out."
        raise StudyError(
            expected(f"key {next(iter(own))!r}", "left out beside 'regions'", next(iter(own.values())), remedy)
        )
    return several(fields["regions"])


def _with_axis_defaults(region: object, drawn_range: str) -> object:
    """A region with range and number of directions of its axes filled in; what is no region is left to the checks."""
    if not isinstance(region, Mapping):
        return region
    fields = dict(cast("Mapping[str, object]", region))
    axes = _axes(fields)
    count = {"directions": 1} if len(axes) > 1 else {}
    filled: list[object] = []
    for axis in axes:
        if not isinstance(axis, Mapping):
            filled.append(axis)
            continue
        given = cast("Mapping[str, object]", axis)
        filled.append({"range": TARGET_RANGE if leads_somewhere(given.get("kind")) else drawn_range, **count, **given})
    return {**fields, "axes": filled}


def with_flags(fields: Mapping[str, object], flags: StudyFlags | Mapping[str, object]) -> dict[str, object]:
    """The fields of a study with the flat options of the command line laid over them; None means "not given".

    Axis options (`directions`, `seed`, `range`, `normalize`, `only`) apply to every axis that takes them, `points`,
    `budget` and `each` to every region; `axes` replaces all regions by one of these axes, whose own range wins over
    `range`. `prompts` and `judges` replace the lists of the study; `max_new_tokens` and `stop` go into `decoding`.
    `label` says what the prompts are: one for all sets, or one for each. What the command line writes in the singular
    (`judge`, `axis`) is taken for the plural.

    Raises:
        StudyError: where no axis takes an axis option, or there are not as many labels as sets.
    """
    given = {_SINGULAR.get(key, key): value for key, value in flags.items() if value not in (None, (), [], {})}
    merged: dict[str, Any] = dict(fields)
    axis_options = {key: given.pop(key) for key in _AXIS_FLAGS if key in given}
    region_options = {key: given.pop(key) for key in _REGION_FLAGS if key in given}
    decoding = {key: given.pop(key) for key in _DECODING_FLAGS if key in given}
    capability = {key: given.pop(flag) for flag, key in _CAPABILITY_FLAGS.items() if flag in given}
    if "regions" in given or "axes" in given:
        merged = {key: value for key, value in merged.items() if key not in ("regions", "axes")}
    if "regions" in given:
        merged["regions"] = given.pop("regions")
    words = [] if "regions" in merged else several(given.pop("axes", ()))  # both together are left to the checks
    if words:
        kept = {key: merged.pop(key) for key in _ONE_REGION if key in merged}
        merged["regions"] = [{**kept, "axes": _axes_of_words(words, axis_options.pop("range", None))}]
    if axis_options or region_options:
        regions = _as_regions(merged)
        _check_taken(axis_options, regions)
        merged["regions"] = [_with_options(r, axis_options, region_options) for r in regions]
    for key, options in (("decoding", decoding), ("capability", capability)):
        if options and _is_fields(found := merged.get(key) or {}):  # what is none is left to the checks
            merged[key] = {**found, **options}
    if "prompts" in given:
        merged["prompts"] = several(given.pop("prompts"))
    if "label" in given:
        merged["prompts"] = _labelled(several(merged.get("prompts")), several(given.pop("label")))
    return {**merged, **given}


_AXIS_FLAGS, _REGION_FLAGS, _DECODING_FLAGS, _CAPABILITY_FLAGS = map(
    under, ("axes", "regions", "decoding", "capability")
)
_SINGULAR = singular()


def _labelled(prompts: Sequence[object], labels: Sequence[object]) -> list[object]:
    """Prompt sets with their labels laid over what they say."""
    if not prompts or len(labels) not in (1, len(prompts)):
        constraint = f"one for all prompt sets, or as many as there are sets, {len(prompts)}"
        raise StudyError(expected("label", constraint if prompts else "given with prompts", labels, "See: --prompts."))
    every = labels if len(labels) == len(prompts) else [labels[0]] * len(prompts)
    dumped = (one.model_dump() if isinstance(one, PromptsSpec) else one for one in prompts)
    specs = ({"source": one} if isinstance(one, str) else one for one in dumped)
    return [{**one, "label": label} if _is_fields(one) else one for one, label in zip(specs, every, strict=True)]


def _with_options(region: object, axis_options: Mapping[str, object], region_options: Mapping[str, object]) -> object:
    if not isinstance(region, Mapping):
        return region
    fields = cast("Mapping[str, object]", region)
    axes = [{**axis, **_fitting(axis, axis_options)} if _is_fields(axis) else axis for axis in _axes(fields)]
    return {**fields, "axes": axes, **region_options}


def _axes(region: Mapping[str, object]) -> list[object]:
    """The axes of a region, those that are words as fields; what is no axis is left to the checks."""
    axes = [_ANY_AXIS] if region.get("axes") is None else several(region["axes"])
    return [axis_fields(axis) if isinstance(axis, str) else axis for axis in axes]


def _is_fields(axis: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(axis, Mapping)


def _axes_of_words(words: Sequence[object], shared_range: object) -> list[object]:
    """The axes of `--axis`; the range that a word gives its axis wins over the one that they share."""
    axes = _axes({"axes": words})
    if shared_range is None:
        return axes
    if all(_is_fields(axis) and "range" in axis for axis in axes):
        raise StudyError(expected("range", "left out where no axis takes it", shared_range, "Each axis has its own."))
    return [{"range": shared_range, **axis} if _is_fields(axis) else axis for axis in axes]


def _check_taken(options: Mapping[str, object], regions: Sequence[object]) -> None:
    axes = [axis for region in regions if isinstance(region, Mapping) for axis in _axes(cast("dict[str, Any]", region))]
    taken = {key for axis in axes if _is_fields(axis) for key in _fitting(axis, options)}
    for key in options:
        if key not in taken:
            remedy = "Only random directions are drawn."
            raise StudyError(expected(key, "left out where no axis takes it", options[key], remedy))


def _fitting(axis: Mapping[str, object], options: Mapping[str, object]) -> dict[str, object]:
    """The options that mean something on this axis: only a drawn direction has a seed, a count and a normalization."""
    if not axis.get("target"):
        return dict(options)
    return {key: value for key, value in options.items() if key in ("only", "range")}


def load_fields(path: Path) -> dict[str, object]:
    """Read a study file, unchecked: `make` checks it.

    Raises:
        StudyError: where the file is missing, not UTF-8, not YAML, holds a key twice, or is not a mapping.
    """
    data = read_yaml(path, f"study file {path.name}", error=StudyError)
    remedy = "`safebasin init` writes one to begin with."
    if data is None:
        raise StudyError(expected(f"study file {path.name}", "a mapping of keys", "an empty file", remedy))
    if not isinstance(data, Mapping):
        raise StudyError(expected(f"study file {path.name}", "a mapping of keys", data, remedy))
    return dict(cast("Mapping[str, object]", data))


def models_of(fields: Mapping[str, object]) -> list[str]:
    """The models of a study file that names several, `models: [A, B]`; none where it names one or the default.

    Raises:
        StudyError: where they are no list of two models or more, or stand beside `model`.
    """
    if "models" not in fields:
        return []
    given: object = fields["models"]
    models = cast("list[object]", given) if isinstance(given, list) else []
    names = [one for one in models if isinstance(one, str)]
    if len(names) < 2 or len(names) < len(models) or "model" in fields:
        got = "both" if "model" in fields else str(fields["models"])
        remedy = "Write models: [A, B], or model: A."
        raise StudyError(expected("key 'models'", "a list of two models or more, without 'model'", got, remedy))
    return names


def load(path: Path) -> Study:
    """Read a study file and check it.

    Raises:
        StudyError: as `load_fields` and `make`.
    """
    return make(load_fields(path))


def dump(study: Study) -> str:
    """The study as YAML, every key written out."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _validated(
    model: type[_T], fields: Mapping[str, object], *, where: str, hidden: str, options: Collection[str]
) -> _T:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise StudyError(_explain(model, error, where, hidden, options)) from error


_SHAPES = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list",
    "string_too_short": "a text that is not empty",
}
"""What YAML calls the shapes that Pydantic names by their Python types, and what Pydantic says in whole sentences."""


def _explain(model: type[BaseModel], error: ValidationError, where: str, hidden: str, options: Collection[str]) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"]).removeprefix(hidden) or where
    option = option_at([part for part in first["loc"] if isinstance(part, str)], options)
    mend = f"Mend the {where}." if path == where else f"Mend {path!r} in the {where}."
    mend = "Change it, or leave it out." if option else mend
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = _keys(model, first["loc"])
        return _unknown_key(path, str(first["loc"][-1]), known, where)
    if first["type"] == "literal_error":
        choices = str(first["ctx"]["expected"]) if "ctx" in first else ""
        near = difflib.get_close_matches(str(first["input"]), re.findall(r"'([^']*)'", choices), n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else mend
        return expected(option or path, f"one of {choices}", first["input"], remedy)
    if message.count(" must be ") and "; got " in message:  # raised by our own parser, already complete
        return message
    if re.match(r"(?!must )\S+ must ", message):  # it names the key itself
        return f"{message}. {mend}"
    constraint = _SHAPES.get(first["type"]) or constraint_in([first])
    return expected(option or path, constraint, first["input"], mend)


def _unknown_key(path: str, key: str, known: Sequence[str], where: str) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
    if path == key and (owner := owner_of(key)):
        hint = f"It is a key of {owner!r}: write it there."
    return f"key {path!r} must be one that a {where} knows; got {key!r}. {hint}"


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at the place of an error."""
    nested: dict[str, type[BaseModel]] = {
        "axes": AxisSpec,
        "regions": RegionSpec,
        "prompts": PromptsSpec,
        "decoding": DecodingSpec,
        "capability": CapabilitySpec,
    }
    owners = [nested[part] for part in loc[:-1] if isinstance(part, str) and part in nested]
    return sorted((owners[-1] if owners else model).model_fields)
