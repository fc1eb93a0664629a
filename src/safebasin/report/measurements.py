"""What else was measured at the points of a panel (perplexity, KL, scores of tasks), as plain numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safebasin.records import Measurement, Panel
from safebasin.report.interpolate import interpolate

__all__ = [
    "MeasurementCurve",
    "MeasurementLine",
    "MeasurementMean",
    "MeasurementRow",
    "measurement_curves",
    "measurement_rows",
]

_AXES = {
    "perplexity": "perplexity",
    "nll": "NLL (nats per token)",
    "kl": "KL (nats per token)",
    "agreement": "same next token as θ₀ (0 to 1)",
    "task": "score (0 to 1)",
}
_WORDS = {"nll": "NLL of {}", "kl": "KL of {}", "agreement": "agreement with θ₀ on {}", "task": "task {}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementLine:
    """One measurement along one direction, ascending in α."""

    direction: int
    alphas: tuple[float, ...]
    values: tuple[float, ...]
    errors: tuple[float | None, ...]
    broken: tuple[float, ...]
    """α where the model could not be measured (NaN logits)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementMean:
    """Mean over directions at each α, and their range."""

    alphas: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementCurve:
    """One measurement over a line."""

    name: str
    """As it is stored, e.g. `perplexity:FILE`."""
    kind: str
    """What stands before the colon: `perplexity`, `kl`, `task`, …"""
    lines: tuple[MeasurementLine, ...]
    is_interpolated: bool = False
    """Whether the directions are measured at places of their own; the mean is then over interpolated lines."""

    @property
    def title(self) -> str:
        """The title: the file or the task."""
        return self.name.partition(":")[2] or self.name

    @property
    def words(self) -> str:
        """Kind and title, for a heading."""
        return _WORDS.get(self.kind, f"{self.kind} of {{}}").replace("{}", self.title, 1)

    @property
    def axis(self) -> str:
        """The name of its numbers, with the unit."""
        return _AXES.get(self.kind, self.kind)

    @property
    def is_log(self) -> bool:
        """True where it spans orders of magnitude."""
        return self.kind == "perplexity"

    @property
    def mean(self) -> MeasurementMean:
        """Mean and range over directions."""
        at: dict[float, list[float]] = {}
        every = sorted({alpha for line in self.lines for alpha in line.alphas})
        for line in self.lines:
            for alpha in every if self.is_interpolated else line.alphas:
                at.setdefault(alpha, []).append(interpolate(line.alphas, line.values, alpha))
        alphas = tuple(sorted(at))
        return MeasurementMean(
            alphas=alphas,
            values=tuple(sum(at[a]) / len(at[a]) for a in alphas),
            low=tuple(min(at[a]) for a in alphas),
            high=tuple(max(at[a]) for a in alphas),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRow:
    """One measurement in a table: where the model stands, and the range over all places."""

    name: str
    at_origin: float | None
    low: float | None
    high: float | None
    n_places: int
    n_broken: int
    n: int
    """Tokens or items behind one value."""


def measurement_curves(panel: Panel) -> tuple[MeasurementCurve, ...]:
    """The measurements of a line, by name; those of which nothing could be measured are left out.

    So is the NLL of a text whose perplexity is there: the one is the logarithm of the other.
    """
    found: list[MeasurementCurve] = []
    for name in dict.fromkeys(m.name for m in panel.measurements):
        own = [m for m in panel.measurements if m.name == name]
        lines = [_line(own, number) for number in range(panel.region.n_directions)]
        kept = tuple(line for line in lines if line.alphas)
        if kept and not panel.region.is_plane:
            adaptive = panel.region.points == "auto"
            found.append(MeasurementCurve(name=name, kind=name.partition(":")[0], lines=kept, is_interpolated=adaptive))
    shown = {curve.name for curve in found}
    return tuple(g for g in found if g.kind != "nll" or f"perplexity:{g.title}" not in shown)


def measurement_rows(panel: Panel) -> tuple[MeasurementRow, ...]:
    """Every measurement of a panel as a row of a table, lines and planes alike."""
    rows: list[MeasurementRow] = []
    for name in dict.fromkeys(m.name for m in panel.measurements):
        own = [m for m in panel.measurements if m.name == name]
        values = [m.value for m in own if m.value is not None]
        rows.append(
            MeasurementRow(
                name=name,
                at_origin=next((m.value for m in own if m.direction < 0), None),
                low=min(values, default=None),
                high=max(values, default=None),
                n_places=len(own),
                n_broken=len(own) - len(values),
                n=max(m.n for m in own),
            )
        )
    return tuple(rows)


def _line(own: Sequence[Measurement], number: int) -> MeasurementLine:
    here = sorted((m for m in own if m.direction in (number, -1)), key=lambda m: m.coords[0])
    known = [(m.coords[0], m.value, m.error) for m in here if m.value is not None]
    return MeasurementLine(
        direction=number,
        alphas=tuple(alpha for alpha, _, _ in known),
        values=tuple(value for _, value, _ in known),
        errors=tuple(error for _, _, error in known),
        broken=tuple(m.coords[0] for m in here if m.value is None),
    )
