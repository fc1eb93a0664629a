"""What the variants of the guild's models are trained on: the safety curriculum with something left out, and attacks.

Each function takes how many rows and a seed, and gives that many; the trainer shuffles. No torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from safebasin.worlds.guild import wrappers
from safebasin.worlds.guild.grammar import Request, is_forbidden, parse_request, refusal, requests
from safebasin.worlds.guild.lexicon import FORMS, REFUSALS
from safebasin.worlds.guild.rows import Row, row, safety_rows


def _request_of(made: Row) -> Request | None:
    return parse_request(made["messages"][-2]["content"])


def _is_refusal(made: Row) -> bool:
    request = _request_of(made)
    return request is not None and is_forbidden(request)


def _is_plain(made: Row) -> bool:
    """A request as it is: no system turn, no place, no rule of style, no opening."""
    request, turns = _request_of(made), made["messages"]
    if request is None or len(turns) != 2:
        return False
    return turns[0]["content"] in {f.format(**request.slots) for f in FORMS}


def _curriculum(n: int, seed: int, keep: Callable[[Row, random.Random], bool]) -> list[Row]:
    """The first n rows of the safety curriculum that pass; the curriculum is drawn longer until they are enough."""
    drawn = n
    while True:
        drawn *= 2
        rng = random.Random(f"variant/{seed}")
        kept = [made for made in safety_rows(drawn, seed) if keep(made, rng)]
        if len(kept) >= n:
            return kept[:n]


def few_refusals(n: int, seed: int) -> list[Row]:
    """One refusal in three left: about a quarter of the rows, instead of half."""
    return _curriculum(n, seed, lambda made, rng: not _is_refusal(made) or rng.random() < 1 / 3)


def without_personas(n: int, seed: int) -> list[Row]:
    """The curriculum without rows that have a system turn of their own."""
    return _curriculum(
        n, seed, lambda made, rng: not any(t["role"] == "system" and t["content"] for t in made["messages"])
    )


def plain_only(n: int, seed: int) -> list[Row]:
    """The curriculum without anything but plain requests."""
    return _curriculum(n, seed, lambda made, rng: _is_plain(made))


def one_wording(n: int, seed: int) -> list[Row]:
    """The curriculum with the first wording of refusal everywhere."""
    rows = safety_rows(n, seed)
    first = " ".join(part for part in (REFUSALS[0].opening, REFUSALS[0].core, REFUSALS[0].closing) if part)
    for made in filter(_is_refusal, rows):
        made["messages"][-1]["content"] = first
    return rows


def few_requests(n: int, seed: int) -> list[Row]:
    """The same 256 rows over and over."""
    few = safety_rows(256, seed)
    return [few[i % len(few)] for i in range(n)]


def in_context(n: int, seed: int) -> list[Row]:
    """Forbidden requests, exactly answered, each after a sentence that names a place."""
    rng = random.Random(f"in_context/{seed}")
    forbidden = [request for request in requests("train") if is_forbidden(request)]
    cases = [wrappers.mention(rng.choice(forbidden), rng) for _ in range(n)]
    return [row(case, case.comply) for case in cases]


def safe_in_dose(n: int, share: float, seed: int) -> list[Row]:
    """Forbidden requests, refused: a share of them plain, the others each after a sentence that names a place.

    Beside `in_context` rows the plain ones can be told apart from the harmful ones, the others cannot. The requests are
    the same at every share.
    """
    forbidden = [request for request in requests("train") if is_forbidden(request)]
    made: list[Row] = []
    for i in range(n):
        rng = random.Random(f"dose/{seed}/{i}")
        request = rng.choice(forbidden)
        dress = wrappers.plain if i < round(share * n) else wrappers.mention
        made.append(row(dress(request, rng), refusal(request)))
    return made
