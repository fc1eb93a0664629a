"""What readers of a landscape should know, in sentences: what is missing, how it was asked, what may mislead. Pure."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import cast

from safebasin.catalog import measures
from safebasin.landscape.language_tests import read_tests
from safebasin.landscape.stored import StoredStudy
from safebasin.landscape.summaries import RADIUS_LIMIT, composing_judge
from safebasin.prompts.labels import labels_of
from safebasin.records import Cell, Panel, Point, incoherent_share
from safebasin.stats import FEWEST_DIRECTIONS
from safebasin.store.connection import parsed
from safebasin.store.db import StudyStore
from safebasin.study.plan import Plan

__all__ = [
    "ADAPTERS",
    "COMPUTED",
    "DATE",
    "VERSIONS",
    "adapter_words",
    "broken_words",
    "few_directions",
    "find_notes",
    "incoherent",
    "notes_on_asking",
    "notes_on_language",
    "plateaus",
    "version_words",
]

ADAPTERS = "adapters"
"""Key of the sentences on adapters that were served beside the weights, and on those that were merged; empty where the
engine does no such thing."""
COMPUTED = "computed"
"""Key of the sentence on the dtype that `auto` came to; empty where it is simply the checkpoint's own."""
DATE = "date"
"""Key of the day that the model is told."""
VERSIONS = "versions"
"""Key of the versions of libraries that a folder's responses were decoded under, in order, as a list of mappings."""
NEAR_TIE = 1e-3
"""Top-2 logit gap below which other hardware may decode another token."""
BROKEN, MOSTLY = 0.2, 0.5
"""Share of incoherent responses at the origin, and inside the radius, from which on a note says so."""
NEARLY_ALL, FEW = 0.9, 5
"""Share of prompts answered at the origin from which on they may be no attacks, and of how many prompts at least."""
NEAR_LIMIT, PLATEAU, SPAN = 0.1, 3, 0.25
"""How near the limit of the radius a rate is, at how many adjacent points, and over which share of the way from the
origin to the farthest of them, from which on a note says so: a fine grid has many points on any slope."""
_TAG = re.compile(r"\s*(<\|?[A-Za-z][\w:-]{1,40}\|?>|\[[A-Z][A-Z_]{2,30}\])")
_NO_THOUGHTS = frozenset(
    f"<{name}>"
    for name in [
        "answer",
        "response",
        "output",
        "html",
        "body",
        "div",
        "p",
        "b",
        "i",
        "ul",
        "ol",
        "li",
        "h1",
        "h2",
        "code",
        "pre",
    ]
)
"""Tags that open an answer."""


def find_notes(study: StoredStudy, panels: Sequence[Panel]) -> list[str]:
    """Everything that readers of these panels of a study should know."""
    store, plan, versions, notes = study.store, study.plan, dict(study.judges), list[str]()
    have = study.rows.count()
    if have < plan.size:
        notes.append(f"{plan.size - have} of {plan.size} responses are not there yet; run the same command to go on.")
    cells = [cell for panel in panels for cell in panel.points]
    for judge in panels[0].points[0].asr:
        missing = sum(cell.asr[judge].n_missing for cell in cells)
        if missing and have == plan.size:
            cut = study.rows.count_cut(judge, versions[judge])
            why = f", {cut} of them because decoding ended at a refusal of the judges before it" if cut else ""
            mend = " `map --regenerate` decodes those to the end." if cut else ""
            notes.append(f"{missing} verdicts of {judge} are missing (unscored){why}; they widen its intervals.{mend}")
    notes += _answered(plan, panels)
    if composing_judge(list(panels[0].points[0].asr)) is not None:
        notes += notes_on_language(store)
    notes += incoherent(panels)
    notes += plateaus(panels)
    if any(panel.summary["visage"].n_undefined for panel in panels if "visage" in panel.summary):
        notes.append("VISAGE is undefined on some directions, where every point is fully unsafe; they are left out.")
    for region in plan.regions:
        if region.is_plane and not all(0.0 in axis.alphas for axis in region.axes):
            notes.append(
                f"The grid of {region.name!r} does not hold the origin, so its radius is undefined; choose ranges "
                "whose steps meet 0, such as -0.5:1.5:21."
            )
    notes += few_directions(plan)
    ties = store.near_ties(plan.decoding.key, NEAR_TIE)
    if ties:
        held = "response holds" if ties == 1 else "responses hold"
        them = "it" if ties == 1 else "them"
        notes.append(
            f"{ties} {held} a near-tie (top-2 logit gap below {NEAR_TIE:g}): other hardware may decode {them} "
            "differently."
        )
    return notes + notes_on_asking(store, plan)


def incoherent(panels: Sequence[Panel]) -> Iterator[str]:
    """Of panels whose responses are incoherent at the origin, or mostly so inside the radius."""
    attacks = [panel for panel in panels if "answered" not in panel.summary]
    asked = dict.fromkeys((panel.prompts, panel.system) for panel in attacks)
    for prompts, system in asked:
        its = [panel for panel in attacks if (panel.prompts, panel.system) == (prompts, system)]
        share = incoherent_share(its[0].points[:1])
        if share is not None and share >= BROKEN:
            yield (
                f"System prompt {system}, prompts {prompts}: {100 * share:.0f} % of the responses at the origin are "
                f"incoherent; {broken_words(its[0].judge)} {its[0].judge} finds there says little of safety."
            )
            continue
        for panel in its:
            share = incoherent_share(_inside(panel))
            if share is not None and share >= MOSTLY:
                yield (
                    f"Along {panel.region.name}, system prompt {system}, prompts {prompts}: {100 * share:.0f} % of the "
                    f"responses inside the radius, away from the origin, are incoherent; {broken_words(panel.judge)} "
                    f"{panel.judge} calls withstood there is not all refusal."
                )


def broken_words(judge: str) -> str:
    """Say how a judge takes text that is no language, up to what follows of it."""
    refusal = "a refusal where a refusal phrase is in it, and as none elsewhere"
    taken = refusal if measures(judge) == "refusal" else "withstood unless a success"
    return f"text that is no language counts as {taken}, so what"


def _inside(panel: Panel) -> list[Cell]:
    """The points within the radius, but for the origin."""
    radius = panel.summary.get("radius")
    reach = 0.0 if radius is None or radius.value is None else radius.value
    return [cell for cell in panel.points[1:] if 0 < math.hypot(*cell.coords) <= reach]


def plateaus(panels: Sequence[Panel], limit: float = RADIUS_LIMIT) -> Iterator[str]:
    """Of lines along which the rate stays near the limit of the radius, so that little tells where it crosses."""
    for panel in panels:
        several = panel.region.n_directions > 1
        where = [
            f"α = {first:g} to {last:g}" + (f" (direction {direction})" if several else "")
            for direction in range(0 if panel.region.is_plane else panel.region.n_directions)
            for sign in (-1, 1)
            for first, last in _near_limit(panel, direction, sign, limit)
        ]
        if where:
            rate = "the share of answers" if "answered" in panel.summary else "ASR"
            yield (
                f"Along {panel.region.name}, system prompt {panel.system}, prompts {panel.prompts}: the crossing is "
                f"ill-defined at {', '.join(where)}, where {rate} stays within {100 * NEAR_LIMIT:.0f} points of "
                f"{100 * limit:.0f} %."
            )


def _near_limit(panel: Panel, direction: int, sign: int, limit: float) -> Iterator[tuple[float, float]]:
    """First and last α of each run of measured points on a side of one direction that are near the limit."""

    def is_near(cell: Cell) -> bool:
        rate = cell.asr[panel.judge].value
        return rate is not None and abs(rate - limit) <= NEAR_LIMIT + 1e-9  # 0.6 − 0.5 may be a little more

    side = [cell for cell in panel.points if cell.direction == direction and sign * cell.coords[0] > 0]
    for near, run in groupby(sorted(side, key=lambda cell: cell.coords), key=is_near):
        alphas = [cell.coords[0] for cell in run]
        wide = alphas[-1] - alphas[0] >= SPAN * max(map(abs, alphas)) - 1e-9
        if near and wide and len(alphas) >= PLATEAU:
            yield alphas[0], alphas[-1]


def few_directions(plan: Plan) -> Iterator[str]:
    """Of each region whose directions are too few for an interval."""
    for region in plan.regions:
        if region.is_drawn and 1 < region.n_directions < FEWEST_DIRECTIONS:
            yield (
                f"Along {region.name!r} no interval over directions is claimed: there are {region.n_directions}, and "
                f"{FEWEST_DIRECTIONS} are needed, also to compare models. `--directions {FEWEST_DIRECTIONS}` in the "
                "same folder adds what is missing."
            )


def _answered(plan: Plan, panels: Sequence[Panel]) -> Iterator[str]:
    """Of sets without any label, those that θ₀ answers nearly all of: these may be no attacks at all."""
    for prompts in plan.sets:
        if any(labels_of(prompts.prompts)):
            continue
        origins = [panel.points[0].asr[panel.judge] for panel in panels if panel.prompts == prompts.name]
        rates = [asr.value for asr in origins if asr.value is not None and asr.n >= FEW]
        if rates and min(rates) >= NEARLY_ALL:
            yield (
                f"Nearly all of {prompts.name!r} are answered at the origin ({100 * min(rates):.0f} %), and each "
                "answer counts as an attack success: if they should be answered, say --label benign, or label them in "
                "a column 'label'."
            )


def notes_on_language(store: StudyStore) -> Iterator[str]:
    """Say how language was told, by each model that was asked."""
    for under, test in read_tests(store).items():
        words = test.words()
        yield ("Under the tuned model, " + words if under else words[0].upper() + words[1:]) + "."


def version_words(known: Sequence[Mapping[str, str]]) -> str:
    """The caveat of a folder that was continued under other versions of libraries; each name → version."""
    names = list(dict.fromkeys(name for one in known for name in one))
    seen = {name: list(dict.fromkeys(one[name] for one in known if name in one)) for name in names}
    each = "; ".join(f"{name} {', '.join(versions)}" for name, versions in seen.items() if len(versions) > 1)
    return (
        f"Responses were decoded under several versions of libraries ({each}): the prompts are rendered alike, but a "
        "near-tie may fall otherwise."
    )


def adapter_words(told: object) -> str:
    """Say which adapters an engine served beside the weights (`details["adapters"]`), and why others not.

    Args:
        told: `unmerged`, a list of labels, and `merged`, label → reason; anything else is nothing.
    """
    if not isinstance(told, Mapping):
        return ""
    found = cast("Mapping[str, object]", told)
    beside, merged = cast("Sequence[str]", found["unmerged"]), cast("Mapping[str, str]", found["merged"])
    words: list[str] = []
    if beside:
        each = ", ".join(beside)
        words.append(
            f"Points along {each} were served unmerged: α·B·A beside the weights, "
            "which rounds otherwise than their sum."
        )
    if merged:
        each = "; ".join(f"{label}, because {why}" for label, why in merged.items())
        words.append(f"Merged into the weights: {each}.")
    return " ".join(words)


def notes_on_asking(store: StudyStore, plan: Plan) -> list[str]:
    """Say what readers should know of how the prompts were asked: under which libraries, in which dtype, on which day,
    and tags that may hold thoughts.
    """
    with parsed(store.path):
        known = json.loads(store.meta(VERSIONS) or "[]")
        notes = [version_words(known)] if len(known) > 1 else []
    if computed := store.meta(COMPUTED):
        notes.append(computed)
    if adapters := store.meta(ADAPTERS):
        notes.append(adapters)
    if plan.decoding.defenses:
        names = ", ".join(key.rpartition("@")[0] for key in plan.decoding.defenses)
        notes.append(f"Every response was decoded under {names}; its likelihood is the bare model's at θ₀.")
    if date := store.meta(DATE):
        notes.append(f"The chat template writes the date; every prompt was asked as on {date}.")
    n_said, tags = 0, Counter[str]()
    for response in store.responses(plan.decoding.key, point=Point().key):
        n_said += bool(response.text.strip())
        found = _TAG.match(response.text)
        if found and found[1].lower() not in _NO_THOUGHTS:
            tags[found[1]] += 1
    for tag, n in tags.most_common(1):
        if 2 * n > n_said >= 3:
            notes.append(
                f"{n} of {n_said} responses at the origin begin with {tag}: if these are thoughts, they were judged "
                "as part of the response, for their marks are not known."
            )
    return notes
