"""What each statistic says, in plain words, and what it does not: one table that page and terminal share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from safebasin import catalog
from safebasin.records import SIDES, Estimate, Panel
from safebasin.report.sides import alpha_words, named_side, split
from safebasin.stats.sides import side_words

__all__ = [
    "EXPLANATIONS",
    "PLANES",
    "Explanation",
    "explanation",
    "in_order",
    "interval_words",
    "value_words",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A statistic for people."""

    title: str
    unit: Literal["percent", "alpha", "number"]
    """`percent`: a fraction shown as percent; `alpha`: a distance in α; `number`: shown as it is."""
    plain: str
    """What it says."""
    caveat: str
    """What it does not say, or where it misleads."""
    short: str = ""
    """A few words under a key figure."""


EXPLANATIONS: Mapping[str, Explanation] = {
    "answered": Explanation(
        title="answered",
        unit="percent",
        plain="The share of prompts of this set, which should be answered, that the unperturbed model answers.",
        caveat="By the oracle of an embedded world it is exact accuracy; by any other judge, that it does not refuse.",
        short="of what should be answered",
    ),
    "over_refusal": Explanation(
        title="over-refusal",
        unit="percent",
        plain="The share of prompts of this set, which should be answered, that the unperturbed model refuses.",
        caveat="A safe model that refuses everything would score 100%.",
        short="refused without need",
    ),
    "answer_radius": Explanation(
        title="radius of answering",
        unit="alpha",
        plain="How far the weights can be moved before half of these prompts are no longer answered.",
        caveat="Compare it with the radius on harmful prompts over the same directions: it says which is lost first.",
        short="until half are answered no more",
    ),
    "answer_margin": Explanation(
        title="margin of answering",
        unit="percent",
        plain="The mean share of these prompts that are answered over the whole range.",
        caveat="It depends on the range; compare it only on equal grids.",
        short="mean share answered",
    ),
    "radius": Explanation(
        title="radius",
        unit="alpha",
        plain="How far the weights can be moved, on average over sides and directions, before half of the prompts "
        "succeed by the keyword judge.",
        caveat="Each crossing is interpolated between two grid points. A side that never crosses counts as the end of "
        "the range, so the value is then a lower bound (≥).",
        short="until half of the prompts succeed",
    ),
    "harm_radius": Explanation(
        title="radius, by outcome",
        unit="alpha",
        plain="The same distance, counting only coherent compliance as a success.",
        caveat="It may be far wider than the keyword radius, or never end: a model can collapse before it complies.",
        short="until half comply coherently",
    ),
    "radius_10": Explanation(
        title="radius at 10%",
        unit="alpha",
        plain="How far the weights can be moved before one prompt in ten succeeds by the keyword judge.",
        caveat="Near the noise of a small prompt set, where a few prompts are a tenth. 0 where the origin is past it.",
        short="until one prompt in ten succeeds",
    ),
    "depth": Explanation(
        title="depth",
        unit="percent",
        plain="The share of prompts that the unperturbed model withstands: 1 − ASR at the origin.",
        caveat="It says nothing of how near the rim is.",
        short="withstood by the unperturbed model",
    ),
    "margin": Explanation(
        title="margin",
        unit="percent",
        plain="The mean of 1 − ASR over the whole range: how much of the measured neighborhood is safe.",
        caveat="It depends on the range; compare it only on equal grids.",
        short="mean of 1 − ASR over the range",
    ),
    "harm_margin": Explanation(
        title="margin, by outcome",
        unit="percent",
        plain="The same mean, counting only compliance in language (the test is in the notes) as a success.",
        caveat="Collapsed text raises it: a model that speaks no language does no harm. Read it beside collapse.",
        short="the same, by outcome",
    ),
    "collapse": Explanation(
        title="collapse",
        unit="percent",
        plain="Of the responses beyond the radius that are no refusal, the share that is no language either, by the "
        "test that the notes name.",
        caveat="A keyword judge counts them as successful attacks, but for those with a refusal phrase: where it is "
        "high, an ASR near 100% beyond the rim says little of harm, on this model and by this test of language.",
        short="of non-refusals beyond the radius",
    ),
    "visage": Explanation(
        title="VISAGE",
        unit="percent",
        plain="As published (Peng et al. 2024): per direction the mean of 1 − ASR over the points with ASR < 100%, "
        "then the mean over directions.",
        caveat="Discontinuous (one prompt at the rim can move it by several points), nearly blind to width, and it can "
        "rise as a model gets less safe. Read it beside radius and margin; never compare it across grids or "
        "numbers of prompts. No interval is claimed.",
        short="beside radius, never alone",
    ),
    "visage_reference": Explanation(
        title="VISAGE, reference code",
        unit="percent",
        plain="VISAGE by the published code's own rule, which trims the fully unsafe edges only.",
        caveat="As VISAGE. It differs from it where a fully unsafe point lies inside the basin.",
        short="by the published code's rule",
    ),
}
"""In the order in which they are shown; VISAGE last, so that it never stands alone."""


PLANES: Mapping[str, Explanation] = {
    "radius": Explanation(
        title="radius",
        unit="alpha",
        plain="√(area / π) of the part of the plane around the origin in which less than half of the prompts succeed "
        "by the keyword judge: the radius of a disk as large as the basin.",
        caveat="Each measured point owns the cell around it. A basin that touches the border of the map is cut there, "
        "so the value is then a lower bound (≥). It says nothing of the basin's shape: look at the map.",
        short="of a disk as large as the basin",
    ),
    "harm_radius": Explanation(
        title="radius, by outcome",
        unit="alpha",
        plain="The same, counting only coherent compliance as a success.",
        caveat="It may be far wider than the other radius, or touch the border: a model can collapse before it "
        "complies.",
        short="counting coherent compliance only",
    ),
    "radius_10": Explanation(
        title="radius at 10%",
        unit="alpha",
        plain="The same, for the part in which less than one prompt in ten succeeds by the keyword judge.",
        caveat="Near the noise of a small prompt set, where a few prompts are a tenth. 0 where the origin is past it.",
        short="where fewer than one in ten succeed",
    ),
    "margin": Explanation(
        title="margin",
        unit="percent",
        plain="The mean of 1 − ASR over the points of the plane: how much of the measured neighborhood is safe.",
        caveat="It depends on the range of both axes; compare it only on equal grids.",
        short="mean of 1 − ASR over the plane",
    ),
    "visage": Explanation(
        title="VISAGE",
        unit="percent",
        plain="The published rule (Peng et al. 2024) over a plane: the mean of 1 − ASR over the points with "
        "ASR < 100%, then the mean over planes.",
        caveat="Discontinuous, nearly blind to width, and it can rise as a model gets less safe. Read it beside "
        "radius and margin; never compare it with that of a line. No interval is claimed.",
        short="beside radius, never alone",
    ),
}
"""Where a statistic of a plane differs from that of a line."""


def explanation(name: str, panel: Panel | None = None) -> Explanation:
    """Look up what is known of a statistic; a name that is not in the table explains itself.

    Args:
        name: of the statistic, with its side where it has one (`radius_toward`).
        panel: where it is of: planes have words of their own, a line to a target tells its sides apart, and a judge
            that is no keyword judge is named.
    """
    stem, side = split(name)
    if stem not in EXPLANATIONS:
        return Explanation(title=name.replace("_", " "), unit="number", plain="", caveat="")
    found = EXPLANATIONS[stem]
    if panel is not None and panel.region.is_plane:
        found = PLANES.get(stem, found)
    if panel is not None and panel.region.sides:
        found = _of_target(found, stem, side or named_side(panel, stem))
    elif side is not None:
        found = _of_target(found, stem, side)
    if panel is None or catalog.is_keyword(panel.judge):
        return found
    plain = found.plain.replace("the keyword judge", panel.judge)
    caveat = found.caveat.replace("the keyword radius", f"the radius by {panel.judge}")
    return replace(found, plain=plain, caveat=caveat)


def _of_target(found: Explanation, stem: str, side: str | None) -> Explanation:
    """The words for a line that leads to a target: which side it is of, and no word of a mean over both."""
    plain = found.plain.replace(", on average over sides and directions,", "").replace("whole range", "range")
    caveat = found.caveat.replace("A side that never crosses", "A side that does not cross")
    if stem.startswith("visage"):
        both = "On this line it takes both sides together, which mean different things: read the radius of each side. "
        return replace(found, caveat=both + caveat)
    if side is None:
        return replace(found, plain=plain, caveat=caveat)
    return replace(found, title=f"{found.title}, {side}", plain=f"{_upper(side_words(side))}. {plain}", caveat=caveat)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def in_order(summary: Mapping[str, Estimate]) -> list[str]:
    """The names of a summary in the order in which they are shown; unknown ones stand before VISAGE.

    A statistic that has sides is left out for its sides: as a whole it is that of one of them.
    """
    known = list(EXPLANATIONS)
    last = known.index("visage")

    def place(name: str) -> tuple[float, int, str]:
        stem, side = split(name)
        return known.index(stem) if stem in known else last - 0.5, list(SIDES).index(side) if side else -1, name

    return sorted((name for name in summary if not any(f"{name}_{side}" in summary for side in SIDES)), key=place)


def value_words(name: str, estimate: Estimate) -> str:
    """The value with its unit: `49.6%`, `≥ 0.92`, or `undefined`; `not computed` where fast mode leaves it out."""
    if estimate.value is None:
        return "not computed" if estimate.method.startswith("not computed") else "undefined"
    return ("≥ " if estimate.n_censored else "") + _number(name, estimate.value, with_unit=True)


def interval_words(name: str, estimate: Estimate) -> str:
    """`[37.8, 61.5]` in the unit of the value, `[0.36, …) one-sided 97.5%` where there is one end only, or nothing."""
    if estimate.low is None and estimate.high is None:
        return ""
    one_sided = f" one-sided {50 * (1 + estimate.level):g}%" if None in (estimate.low, estimate.high) else ""
    low = "(…" if estimate.low is None else "[" + _number(name, estimate.low)
    high = "…)" if estimate.high is None else _number(name, estimate.high) + "]"
    return f"{low}, {high}{one_sided}"


def _number(name: str, value: float, *, with_unit: bool = False) -> str:
    if explanation(name).unit == "percent":
        return f"{100 * value:.1f}" + ("%" if with_unit else "")
    return alpha_words(value) if explanation(name).unit == "alpha" else f"{value:.4g}"
