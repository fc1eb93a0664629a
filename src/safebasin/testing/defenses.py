"""Conformance of `safebasin.protocols.Defense`, each method of its stage; what cannot be checked is refused.

Training and inference are checked on a checkpoint of `world:guild`, in the CPU and without TRL; weights on a small θ₀.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from safebasin.protocols import STAGES, BaseWeights, DataDefense, Defense, Delta
from safebasin.testing.claims import claim
from safebasin.testing.made_rows import AskedRows, check_ends, check_takes, made_up

__all__ = ["check_defense"]


def check_defense(defense: Defense, *, base: BaseWeights | None = None, tuned: Delta | None = None) -> None:
    """Check that a defense has the methods of its stage and no other, and the contract of each.

    data: deterministic, rows left whole, of the source only kinds that it `takes`. training: deterministic, at least
    one label a row, frozen tensors keep their bits through steps of training while others move, the loss a finite
    scalar. weights: strength 0 changes no bit, finite, deterministic, the same in any blocks. inference: strength 0
    changes no bit, rows are told apart when others have been dropped, the module is as before in the end, and every
    strength has a key of its own.

    Args:
        defense: the defense.
        base: for `weights`, what was trained; `small_weights()` if None.
        tuned: for `weights`, what the training moved; a small move of every tensor if None.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    from safebasin.testing.guards import check_guard
    from safebasin.testing.setups import check_training
    from safebasin.testing.tempered import check_weights

    checks: Mapping[str, Callable[[Any], None]] = {
        "data": _check_data,
        "training": check_training,
        "weights": lambda found: check_weights(found, base, tuned),
        "guard": check_guard,
    }
    for method in _methods(defense):
        claim(callable(getattr(defense, method)), f"{method} of {defense.name!r}", "a method", defense, "Write it.")
        checks[method](defense)


def _methods(defense: Defense) -> list[str]:
    """The methods that a defense has, all of its stage."""
    name = getattr(defense, "name", None)
    claim(isinstance(name, str) and name, "name of the defense", "text", name, "Name it as the catalogue does.")
    stage = getattr(defense, "stage", None)
    claim(stage in STAGES, f"stage of {name!r}", f"one of {', '.join(STAGES)}", stage, "Mend it.")
    has = sorted({method for methods in STAGES.values() for method in methods if hasattr(defense, method)})
    fitting = STAGES[defense.stage]
    constraint = f"{' or '.join(fitting)} at the stage {stage}, and no other"
    claim(has and set(has) <= set(fitting), f"methods of {name!r}", constraint, has, "Mend stage or methods.")
    return has


def _check_data(defense: Defense) -> None:
    worker, source = cast("DataDefense", defense), AskedRows()
    rows = tuple(made_up("refused", number, 0, "Sorry, the charter forbids it.") for number in range(1, 11))
    rows += tuple(made_up("asked", number, 0) for number in range(1, 11))
    found = worker.data(rows, source, seed=3)
    claim(len(found.rows) > 0, f"rows after {defense.name!r}", "at least one", 0, "Raise a UsageError instead.")
    check_ends(f"rows after {defense.name!r}", found.rows)
    again = worker.data(rows, AskedRows(), seed=3)
    claim(
        found == again, f"result of {defense.name!r}", "the same from the same seed", "another", "Draw from the seed."
    )
    check_takes(defense, source)
