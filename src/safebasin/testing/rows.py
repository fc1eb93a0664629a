"""Conformance of rows of the catalogue: what a row points to keeps the contract of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from safebasin import catalog
from safebasin.catalog import Row
from safebasin.protocols import (
    Attack,
    Backend,
    BaseWeights,
    Defense,
    Direction,
    Edit,
    Engine,
    EngineSpec,
    Judge,
    PromptSource,
    SystemSource,
    World,
)
from safebasin.records import DirectionSpec, Prompt
from safebasin.testing.backends import check_backend
from safebasin.testing.claims import claim
from safebasin.testing.defenses import check_defense
from safebasin.testing.directions import check_direction
from safebasin.testing.edits import check_edit
from safebasin.testing.engines import check_engine
from safebasin.testing.finetuning import check_attack
from safebasin.testing.judges import check_judge
from safebasin.testing.prompts import check_prompt_source, check_system_source, check_world


def check_row(
    row: Row,
    *,
    arguments: dict[str, object] | None = None,
    spec: DirectionSpec | None = None,
    base: BaseWeights | None = None,
    prompts: Iterable[Prompt] = (),
    model: str | None = None,
) -> None:
    """Check what a row of the catalogue says, and that what it points to passes the check of its kind.

    Args:
        row: the row, e.g. of `safebasin.catalog.rows()`.
        arguments: for its factory, e.g. the model of an engine.
        spec: for a direction, the recipe; one of this kind with seed 0 and normalization `none` if None.
        base: for a direction or a weight defense, θ₀; `small_weights()` if None.
        prompts: for a judge, further prompts.
        model: for an edit, what it edits; a checkpoint of the embedded world if None.

    Raises:
        AssertionError: naming the first thing that does not hold.
        UnknownName: where the target cannot be imported.
    """
    _check_words(row)
    claim(
        row.kind in _CHECKS or row.kind in ("backend", "defense", "direction", "edit", "engine"),
        f"kind of {row.name!r}",
        f"one of backend, defense, direction, edit, engine, {', '.join(_CHECKS)}",
        row.kind,
        "Mend the row.",
    )
    if row.kind == "backend":
        _check_backend(row)
        return
    made = catalog.make(row, arguments or {})
    if row.kind == "direction":
        recipe = spec or DirectionSpec(kind=row.name, normalize="none")
        check_direction(cast("Direction", made), recipe, base)
    elif row.kind == "judge":
        _check_own_name(row, made)
        _check_measures(row)
        check_judge(cast("Judge", made), prompts=prompts)
    elif row.kind == "defense":
        _check_own_name(row, made)
        check_defense(cast("Defense", made), base=base)
    elif row.kind == "edit":
        _check_own_name(row, made)
        check_edit(cast("Edit", made), model=model)
    elif row.kind == "engine":
        check_engine(cast("Engine", made))
        _check_stops(row, cast("Engine", made))
    else:
        _CHECKS[row.kind](made)


def _check_words(row: Row) -> None:
    for what in ("name", "target", "summary", "source"):
        value = getattr(row, what)
        claim(
            isinstance(value, str) and value.strip() == value != "" and "\n" not in value,
            f"{what} of {row.name!r}",
            "one line of text",
            value,
            "`safebasin list` and `show` print it.",
        )
    claim(row.summary.endswith("."), f"summary of {row.name!r}", "a sentence", row.summary, "End it with a full stop.")
    claim(
        not set(row.name) & set(" ()=,[]"),
        f"name of {row.name!r}",
        "free of blanks, brackets, '=' and ','",
        row.name,
        "Names are written like name(key=value).",
    )


def _check_own_name(row: Row, made: object) -> None:
    """Verdicts and records are stored under its own name, and found again under the catalogue's."""
    name = str(getattr(made, "name", ""))
    claim(
        name.split("(")[0] == row.name,
        f"name of the {row.kind}",
        f"{row.name!r}, with its arguments in parentheses if it has any",
        name,
        "Name it as the catalogue does: with the name of your package before it.",
    )


def _check_measures(row: Row) -> None:
    """By this fact it is found which judge stands behind which statistic."""
    said, known = row.fact("measures"), ("refusal", "outcome", "harm", "truth")
    remedy = 'Write facts=(("measures", "refusal"),) or another of them in the row.'
    claim(said in known, f"fact 'measures' of {row.name!r}", f"one of {', '.join(known)}", said, remedy)


def _check_backend(row: Row) -> None:
    """With the scripted engine, and one worker."""
    spec = EngineSpec(engine="scripted", model="world:guild/aligned")
    backend = cast("Callable[..., Backend]", row.resolve())(spec, 1)
    try:
        check_backend(backend)
    finally:
        backend.close()


def _check_stops(row: Row, engine: Engine) -> None:
    """A plan is made before an engine is loaded: it reads of the row which stop rules there are."""
    said, honored = sorted((row.fact("stops") or "none").split()), sorted(engine.facts().stops)
    remedy = f'Write facts=(("stops", "{" ".join(honored)}"),) in the row.'
    claim(said == honored, f"fact 'stops' of {row.name!r}", f"that of facts(), {' '.join(honored)}", said, remedy)


_CHECKS: dict[str, Callable[..., None]] = {
    "attack": lambda made: check_attack(cast("Attack", made)),
    "judge": cast("Callable[..., None]", check_judge),
    "prompts": lambda made: check_prompt_source(cast("PromptSource", made)),
    "system": lambda made: check_system_source(cast("SystemSource", made)),
    "world": lambda made: check_world(cast("World", made)),
}
