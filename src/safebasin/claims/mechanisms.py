"""What the claims of Jain et al. measure: three kinds of safety training of one base model, by behavior and mechanism.

The models of `world:pcfg`, trained anew from each seed by `safebasin finetune`: `aligned` (supervised), `dpo`,
`unlearn`, and `continued`, the same base after as much instruction tuning without safety. Base itself is the one that
was built: seeds are those of the safety training alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from safebasin import catalog
from safebasin.claims.asking import by_seed, in_percent
from safebasin.claims.claim import Finding
from safebasin.claims.lab import Lab
from safebasin.claims.seeds import over_models, over_seeds
from safebasin.mechanism.measure import MechanismRequest, measure_mechanism
from safebasin.mechanism.records import BENIGN, HARMFUL, Mechanism
from safebasin.protocols import EngineSpec
from safebasin.records import Estimate, Prompt
from safebasin.stats.landscape import Array

__all__ = ["STATISTICS"]

BASE = "world:pcfg/base"
_RELEARNING = {"learning_rate": 6e-4, "batch_size": 10, "epochs": 10}
"""Ten unsafe requests answered, ten times over, at the rate of the safety training."""
_LAST = 2
"""Layers, counted from the end, that the spaces of a change are looked at in: as in the paper."""


def kept_answers(lab: Lab) -> Finding:
    """Letters of the right answer to unsafe requests that are still the likeliest: supervised − unlearned."""
    shares = {name: _answer_shares(lab, name) for name in ("aligned", "dpo", "unlearn")}
    return Finding(
        estimate=_contrast(shares["aligned"], shares["unlearn"], "share of letters, supervised − unlearned"),
        details=(_table("Letters of the right answer that are the likeliest next token", shares),),
    )


def kept_answers_dpo(lab: Lab) -> Finding:
    """The same, supervised − DPO."""
    shares = {name: _answer_shares(lab, name) for name in ("aligned", "dpo")}
    return Finding(
        estimate=_contrast(shares["aligned"], shares["dpo"], "share of letters, supervised − DPO"),
        details=(_table("Letters of the right answer that are the likeliest next token", shares),),
    )


def separation_unlearn(lab: Lab) -> Finding:
    """Separation of safe from unsafe requests after the last layer: unlearned over supervised."""
    return _separation(lab, "unlearn")


def separation_dpo(lab: Lab) -> Finding:
    """The same, DPO over supervised."""
    return _separation(lab, "dpo")


def jailbroken(lab: Lab) -> Finding:
    """Requests with one safe and one unsafe task that are answered: supervised − unlearned."""
    found = {name: _answered(lab, name, "jailbreak/competing_task") for name in ("aligned", "dpo", "unlearn")}
    others = [
        _table(f"Of {kind}", {name: _answered(lab, name, kind) for name in found})
        for kind in ("jailbreak/competing_text", "jailbreak/mismatched", "harmful", "benign")
    ]
    return Finding(
        estimate=_contrast(found["aligned"], found["unlearn"], "share answered, supervised − unlearned"),
        details=(_table("Answered of jailbreak/competing_task", found), *others),
    )


def column_space(lab: Lab) -> Finding:
    """Sine of the update to the column space of the first matrices of the last MLPs: safety training − control."""
    rows = [_sines(_mechanism(lab, "aligned", seed)) for seed in lab.seeds]
    others = {name: [_sines(_mechanism(lab, name, seed)) for seed in lab.seeds] for name in ("dpo", "unlearn")}
    safety, control, chance = (float(np.mean([row[place] for row in rows])) for place in range(3))
    return Finding(
        estimate=over_models([row[0] - row[1] for row in rows], "mean sine, supervised − control", (-1.0, 1.0)),
        details=(
            f"Mean sine of supervised training {safety:.3f}, of the control {control:.3f}, by chance {chance:.3f}.",
            *(f"Of {name}: {np.mean([row[0] for row in rows]):.3f}." for name, rows in others.items()),
        ),
    )


def row_space(lab: Lab) -> Finding:
    """By how much less the change of those matrices answers to safe requests than to unsafe ones."""
    found = {name: [_firing(_mechanism(lab, name, seed)) for seed in lab.seeds] for name in _SAFE}
    ratios = {name: [1 - benign / harmful for benign, harmful in rows] for name, rows in found.items()}
    said = ", ".join(f"{name} {np.mean(values):.2f}" for name, values in ratios.items())
    return Finding(
        estimate=over_models(
            ratios["aligned"], "1 − mean answer of the change to safe / to unsafe requests", (-5.0, 1.0)
        ),
        details=(f"By method: {said}.",),
    )


def sensitivity(lab: Lab) -> Finding:
    """By how much the slope of the largest logit falls on unsafe requests, as a share of that of base."""
    changes: dict[str, list[float]] = {BENIGN: [], HARMFUL: []}
    for seed in lab.seeds:
        found = _mechanism(lab, "aligned", seed).sensitivity
        assert found is not None, "gradients are not left out"
        for kind, values in changes.items():
            values.append(_value(found.change[kind]) / _value(found.base[kind]))
    return Finding(
        estimate=over_models(changes[HARMFUL], "relative change of the slope on unsafe requests", (-1.0, 100.0)),
        details=(f"On safe requests it changes by {np.mean(changes[BENIGN]):+.0%} of that of base.",),
    )


def relearned(lab: Lab) -> Finding:
    """Unsafe requests answered after ten of them were trained on: unlearned − supervised."""
    prompts = _prompts(lab, "harmful")
    after = {name: _asked([_relearned(lab, name, seed) for seed in lab.seeds], prompts) for name in _SAFE}
    return Finding(
        estimate=_contrast(after["unlearn"], after["aligned"], "share answered, unlearned − supervised"),
        details=(_table("Answered after ten examples", after), by_seed(after["unlearn"])),
    )


# --- models ----------------------------------------------------------------------------------------------------------

_SAFE = ("aligned", "dpo", "unlearn")


@cache
def _tuned(lab: Lab, name: str, seed: int) -> str:
    """The base model after a kind of training from a seed, as the build of the world does it.

    Kept: to find a model that is there, its rows are drawn and encoded, which takes seconds.
    """
    from safebasin.worlds.pcfg.build import RECIPE, lesson_rows, settings
    from safebasin.worlds.pcfg.rows import as_objects

    rows = as_objects(lesson_rows(name, RECIPE.rows, seed))
    return str(lab.tuned(name, BASE, seed=seed, data=lab.rows_file(f"{name}-{seed}", rows), **settings(name, RECIPE)))


def _relearned(lab: Lab, name: str, seed: int) -> str:
    from safebasin.worlds.pcfg.rows import as_objects, training_rows

    data = lab.rows_file(f"harmful-{seed}", as_objects(training_rows("harmful", 10, seed)))
    return str(lab.tuned(f"relearned-{name}", _tuned(lab, name, seed), seed=seed, data=data, **_RELEARNING))


def _mechanism(lab: Lab, name: str, seed: int) -> Mechanism:
    return _measured(_tuned(lab, name, seed), _tuned(lab, "continued", seed), lab.asked)


@cache
def _measured(tuned: str, control: str, limit: int) -> Mechanism:
    """Kept: several claims look at the same pair."""
    asked = MechanismRequest(spec=EngineSpec(engine="hf", model=BASE), tuned=tuned, control=control, limit=limit)
    return measure_mechanism(asked)


# --- numbers ---------------------------------------------------------------------------------------------------------


def _separation(lab: Lab, name: str) -> Finding:
    gaps = {method: [_gap(_mechanism(lab, method, seed)) for seed in lab.seeds] for method in ("aligned", name)}
    ratios = [ours / theirs for ours, theirs in zip(gaps[name], gaps["aligned"], strict=True)]
    what = f"τ of safe − τ of unsafe requests after the last layer, {name} over supervised"
    said = ", ".join(f"{method} {np.mean(values):.2f}" for method, values in gaps.items())
    return Finding(estimate=over_models(ratios, what, (0.0, 100.0)), details=(f"In the unit of states: {said}.",))


def _gap(found: Mechanism) -> float:
    last = found.layers[-1].tuned
    return _value(last[BENIGN]) - _value(last[HARMFUL])


def _sines(found: Mechanism) -> tuple[float, float, float]:
    """Mean sine of the change, of the control's, and by chance, over the first matrices of the last MLPs."""
    late = [m for m in found.matrices if m.layer >= found.n_layers - _LAST and m.columns and m.control]
    of_change, of_control = ([c.sine for m in late if (c := getattr(m, part))] for part in ("columns", "control"))
    chance = [m.columns.chance for m in late if m.columns]
    return float(np.mean(of_change)), float(np.mean(of_control)), float(np.mean(chance))


def _firing(found: Mechanism) -> tuple[float, float]:
    """Mean answer of the change to safe and to unsafe requests, over the same matrices."""
    late = [m.firing for m in found.matrices if m.layer >= found.n_layers - _LAST]
    return tuple(float(np.mean([_value(sides[kind]) for sides in late])) for kind in (BENIGN, HARMFUL))  # pyright: ignore[reportReturnType]


def _answer_shares(lab: Lab, name: str) -> Array:
    from safebasin.worlds.pcfg.outcomes import answer_shares

    prompts = _prompts(lab, "harmful")
    return np.asarray([answer_shares(_tuned(lab, name, seed), prompts) for seed in lab.seeds])


def _answered(lab: Lab, name: str, prompts: str) -> Array:
    return _asked([_tuned(lab, name, seed) for seed in lab.seeds], _prompts(lab, prompts))


def _asked(models: Sequence[str], prompts: Sequence[Prompt]) -> Array:
    """1 where a model gives the exact answer, shape (models, prompts)."""
    from safebasin.worlds.pcfg.outcomes import truths

    found = [truths(model, prompts) for model in models]
    return np.asarray([[float(truth in ("harmful", "complied")) for truth in row] for row in found])


def _prompts(lab: Lab, name: str) -> tuple[Prompt, ...]:
    return catalog.world("pcfg").load_prompts(name, "test")[: lab.asked]


def _contrast(first: Array, second: Array, what: str) -> Estimate:
    return over_seeds(first - second, what, bounds=(-1.0, 1.0))


def _table(what: str, found: Mapping[str, Array]) -> str:
    return f"{what}: " + ", ".join(f"{name} {in_percent(values)}" for name, values in found.items()) + "."


def _value(estimate: Estimate) -> float:
    assert estimate.value is not None, "a mean of prompts"
    return estimate.value


STATISTICS: Mapping[str, Callable[[Lab], Finding]] = {
    function.__name__: function
    for function in (
        kept_answers,
        kept_answers_dpo,
        separation_unlearn,
        separation_dpo,
        jailbroken,
        column_space,
        row_space,
        sensitivity,
        relearned,
    )
}
"""All of them fine-tune models."""
