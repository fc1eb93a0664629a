"""The JSON Schema of study files, for editors, made of the models that check them; what only they check, it lets pass.

A file may say less than a `Study` holds: one thing for a list of one, words for axes, the keys of a single region at
its top.
"""

from __future__ import annotations

from typing import Any

from safebasin.study.model import Study
from safebasin.study.options import study_help

__all__ = ["study_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ONE_ALONE = ("prompts", "systems", "regions", "judges", "defenses", "trajectories")
_FILLED_IN = {"AxisSpec": ("range",), "DecodingSpec": ("max_new_tokens",), "RegionSpec": ("axes",)}
"""What a file may leave out, since a default that fits the model is filled in."""
_WORDS = {"AxisSpec": "KIND, KIND:TARGET or KIND:TARGET@LO:HI:N", "PromptsSpec": "The source of the prompts."}
"""What a file may write as a text, too."""


def study_schema() -> dict[str, Any]:
    """The schema as plain values, draft 2020-12."""
    schema = Study.model_json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    for name, keys in _FILLED_IN.items():
        required = [key for key in definitions[name].get("required", ()) if key not in keys]
        definitions[name]["required"] = required
    region: dict[str, Any] = definitions["RegionSpec"]["properties"]
    for name, said in _WORDS.items():
        definitions[name] = {"anyOf": [{"type": "string", "description": said}, definitions[name]]}
    region["axes"] = _one_alone(region["axes"])
    for key in ("texts", "tasks"):
        found = definitions["CapabilitySpec"]["properties"]
        found[key] = _one_alone(found[key])
    top: dict[str, Any] = schema["properties"]
    top |= {key: _one_alone(top[key]) for key in _ONE_ALONE}
    top |= {key: region[key] for key in ("axes", "points", "budget", "each")}
    for key, said in study_help().items():
        if key in top:
            top[key]["description"] = said
    return {
        "$schema": _DRAFT,
        **schema,
        "title": "Study of safebasin",
        "description": "What `safebasin map` and `plan` take.",
        "required": ["model"],
    }


def _one_alone(found: dict[str, Any]) -> dict[str, Any]:
    """A list, or what stands for a list of one."""
    outer = {key: found[key] for key in ("default", "title") if key in found}
    return {**outer, "anyOf": [found["items"], {key: value for key, value in found.items() if key not in outer}]}
