"""Conformance of `safebasin.protocols.Attack`: deterministic rows, of a made-up source. Defenses: `defenses`."""

from __future__ import annotations

from safebasin.protocols import Attack
from safebasin.testing.claims import claim
from safebasin.testing.made_rows import AskedRows, check_ends


def check_attack(attack: Attack) -> None:
    """Check that an attack gives rows that end with the assistant's turn, the same from the same seed, and settings.

    Raises:
        AssertionError: naming the first thing that does not hold.
    """
    rows = attack.rows(AskedRows(), seed=3)
    claim(len(rows) > 0, f"rows of {attack.name!r}", "at least one", len(rows), "Ask the source for rows.")
    check_ends(f"rows of {attack.name!r}", rows)
    again = attack.rows(AskedRows(), seed=3)
    claim(
        rows == again, f"rows of {attack.name!r}", "the same from the same seed", "others", "Draw from the seed only."
    )
    for world in (False, True):
        found = attack.settings("full", world=world)
        wanted = {"learning_rate", "batch_size", "epochs"}
        claim(wanted <= set(found), f"settings of {attack.name!r}", f"ones with {sorted(wanted)}", dict(found), "Add.")
