"""What it amounts to: estimates, the points and panels of a landscape, and the manifest beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from safebasin.records.geometry import Axis, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with what is known of it. Rates are fractions in [0, 1]; percent exists only where it is shown."""

    value: float | None
    """None where the statistic is undefined."""
    low: float | None = None
    high: float | None = None
    """Bounds of the interval; None where none is claimed."""
    level: float = 0.95
    n: int = 0
    """How many observations (for rates: scored responses) stand behind the value."""
    n_missing: int = 0
    """How many are missing: unscored, never counted as zero."""
    n_censored: int = 0
    """For radius and headroom: sides that never cross the limit; the value is then a lower bound (`≥`)."""
    n_undefined: int = 0
    """Directions on which the statistic is undefined (VISAGE: every point fully unsafe) and which are left out."""
    method: str = ""
    """How value and interval were made, in words that a paper could print."""

    def words(self) -> str:
        """Value and interval as they are, `0.876 [0.81, 0.94]`; a page writes rates in percent."""
        if self.value is None:
            return "undefined"
        low, high = (None if bound is None else f"{bound:.3g}" for bound in (self.low, self.high))
        interval = "" if low is None and high is None else f" [{low or '…'}, {high or '…'}]"
        return f"{'≥ ' if self.n_censored else ''}{self.value:.3g}{interval}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of a landscape, as measured: estimates by judge and the composition of outcomes."""

    point: str
    """`Point.key`."""
    coords: tuple[float, ...]
    """One coordinate per axis of the panel."""
    direction: int
    """Index of the direction within the axis; −1 for the shared origin."""
    asr: Mapping[str, Estimate]
    """By judge."""
    outcomes: Mapping[str, int]
    """Counts by outcome, as `outcome` (or the study's last labelled judge) sorts them."""
    n_planned: int
    """Responses that the plan wants here; fewer than this in `asr` means the point is incomplete."""


def incoherent_share(cells: Iterable[Cell]) -> float | None:
    """The share of incoherent among the labelled responses of some points; None where none is labelled."""
    found = [cell.outcomes for cell in cells]
    labelled = sum(count for counts in found for name, count in counts.items() if name != "unscored")
    return sum(counts.get("incoherent", 0) for counts in found) / labelled if labelled else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One region × system prompt × prompt set of a study: the thing one curve or one map is drawn from."""

    region: Region
    system: str
    """`System.name`."""
    prompts: str
    """Name of the prompt set."""
    points: tuple[Cell, ...]
    """The origin first, then lines or planes in order, ascending. All of them share the origin."""
    summary: Mapping[str, Estimate]
    """By name of statistic: `visage`, `margin`, `radius`, `radius_10`, `depth`, `collapse`, `harm_margin`, …"""
    judge: str
    """The judge behind `visage`, `margin`, `radius` and `depth`."""
    measurements: tuple[Measurement, ...] = ()
    """What else was measured at its points, such as perplexity."""

    @property
    def axis(self) -> Axis:
        """The first axis: the only one of a line."""
        return self.region.axes[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number that was measured at a point and is no rate of verdicts: perplexity, KL, the score of a task."""

    name: str
    """E.g. `perplexity:FILE`, `kl:FILE`, `task:NAME/METRIC`."""
    coords: tuple[float, ...]
    direction: int
    value: float | None
    """None where the model could not be measured there (NaN logits)."""
    error: float | None = None
    """Standard error, where the measurement has one."""
    n: int = 0
    """Tokens or items behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The checkpoints of a training run, seen from a line or plane: their coordinates on it, and what is left over."""

    name: str
    region: str
    """Name of the region it is projected onto."""
    direction: int
    """Which of the region's lines or planes."""
    steps: tuple[TrajectoryPlace, ...]
    skipped: tuple[str, ...] = ()
    """Checkpoints that could not be read, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryPlace:
    """One checkpoint of a trajectory."""

    label: str
    epoch: float | None
    coords: tuple[float, ...]
    residual: float
    """Norm of what is off the line or plane, as a fraction of the norm of the whole move."""
    distance: float
    """Norm of the whole move, relative to ‖θ₀‖."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactCheck:
    """The agreement of one judge's verdicts in fast mode with those in exact mode, over the sample asked in both."""

    judge: str
    equal: Estimate
    """Share of equal verdicts, by label; its interval is clustered by prompt."""
    largest: float | None
    """The largest difference of a rate of success at one point of the sample; None where nothing was compared."""

    def words(self) -> str:
        """Write it as a sentence, shares in percent."""
        if self.equal.value is None or self.largest is None:
            return "not measured yet"
        n, interval = self.equal.n, f"{100 * (self.equal.low or 0):.1f} to {100 * (self.equal.high or 0):.1f} %"
        missing = f"; {self.equal.n_missing} are missing" if self.equal.n_missing else ""
        return (
            f"{round(self.equal.value * n)} of {n} verdicts are equal ({100 * self.equal.value:.1f} %, 95 % interval "
            f"{interval}), and no rate differs by more than {100 * self.largest:.1f} points{missing}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Prompts that fast mode did not ask, since the rates of a point were known before."""

    points: int
    """Points at which prompts were left out, of all."""
    all_points: int
    responses: int
    """Responses that were left out, of those that all prompts would have made at these points and the others."""
    all_responses: int

    def words(self) -> str:
        """Write it as a sentence."""
        return (
            f"at {self.points} of {self.all_points} points prompts were left out, since every rate there was known "
            f"within 10 points before all were asked: {self.responses:,} of {self.all_responses:,} responses. The "
            "interval of such a rate is a 95 % confidence sequence for the rate over the whole set, which holds "
            "whenever one stops"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FastMode:
    """The savings of fast mode, and how far its verdicts can be relied on."""

    budget: int | None
    """Calibrated: the most tokens of a response; None before that."""
    longest: int | None
    """The most tokens after which a verdict of the pilot stood."""
    pilot: int
    """Responses by which it was calibrated."""
    max_new_tokens: int
    """The most tokens of a response in exact mode."""
    points: int
    """Points of the sample that is measured in exact mode too."""
    checks: tuple[ExactCheck, ...]
    """One a judge, in the study's order."""
    left_out: LeftOut | None = None
    """Where points were stopped before all prompts were asked."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Landscape:
    """A measured study: what is drawn, compared and published."""

    name: str
    model: str
    panels: tuple[Panel, ...]
    judges: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Caveats that belong beside the numbers, in plain sentences."""
    trajectories: tuple[Trajectory, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    """Differences between panels that differ in one thing: system prompt, or jailbreak wrapping."""
    fast: FastMode | None = None
    """Where the study was measured in fast mode."""

    @property
    def summary(self) -> Mapping[str, Estimate]:
        """The statistics of the first panel."""
        return self.panels[0].summary

    def __repr__(self) -> str:
        """A screen of it: what was mapped, and the statistics of the first panels with their intervals."""
        n_points = sum(len(panel.points) for panel in self.panels)
        count = f"{len(self.panels)} panel{'' if len(self.panels) == 1 else 's'}"
        lines = [f"Landscape of {self.model}: {count}, {n_points} points, judges {', '.join(self.judges)}"]
        for number, panel in enumerate(self.panels[:_PANELS]):
            named = f"{panel.region.name}, {panel.prompts}, system {panel.system}, judge {panel.judge}"
            lines.append(f"panel {number}: {named}")
            shown = [(name, found) for name, found in panel.summary.items() if name in _SHOWN[number > 0]]
            lines += [f"  {name:<12} {found.words():<24} n = {found.n}" for name, found in shown]
        left = len(self.panels) - _PANELS
        return "\n".join([*lines, *([f"… {left} more"] if left > 0 else [])])


_PANELS = 6
"""Panels that a repr shows."""
_SHOWN = (
    ("answered", "radius", "harm_radius", "depth", "margin", "collapse", "visage", "over_refusal", "answer_radius"),
    ("answered", "radius", "margin"),
)
"""Their statistics: of the first, and of every other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A paired difference between two panels of one landscape, over the same directions and prompts."""

    region: str
    kind: str
    """What differs: `system` or `prompts`."""
    statistic: str
    """E.g. `margin`, `retention`."""
    before: str
    """Name of the system prompt or prompt set that is taken as the reference."""
    after: str
    estimate: Estimate
    """after − before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest: what a study ran on and with, written before the first token."""

    created: str
    """UTC, ISO 8601."""
    study: Mapping[str, object]
    study_hash: str
    model: Mapping[str, object]
    """Reference, resolved path or commit, fingerprint, dtype, parameter counts."""
    perturbed: tuple[str, ...]
    """Canonical names of the tensors that random directions move."""
    excluded: Mapping[str, str]
    """Canonical name → why it is left alone."""
    template_hash: str
    batch_size: int
    environment: Mapping[str, object] = field(default_factory=dict[str, object])
    """Versions, platform, device, threads."""
    prompt_sets: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    """Name → source, number and hash of its prompts; of a public set also hub, revision, licence and citation."""
    phrase_lists: Mapping[str, str] = field(default_factory=dict[str, str])
    """Judge → hash of its phrase list."""
