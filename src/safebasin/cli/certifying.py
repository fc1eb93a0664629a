"""`certify`: what Gaussian noise on the weights certifies, beside what was measured and how far a tuned model moved."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.cli.app import Folder, Json, app
from safebasin.cli.output import note, print_json, say

if TYPE_CHECKING:
    from safebasin.api import CertifiedStudy
    from safebasin.landscape.certificates import CertifiedPanel


@app.command()
def certify(
    folder: Folder,
    tuned: Annotated[
        str | None,
        typer.Option("--tuned", help="Checkpoint, or folder of an adapter: how far it moved.", show_default=False),
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Of the study, by name. [default: that of its statistics]")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="By how much the share refused may fall, where a draw keeps it.")
    ] = 0.1,
    level: Annotated[float, typer.Option("--level", help="Of each lower bound, one-sided.")] = 0.95,
    json_: Json = False,
) -> None:
    """Say what noise on the weights certifies. Of a study of random directions with `--normalize none`: shares refused
    under noise with exact bounds, radii of randomized smoothing, the measured radius, and how far a tuned model moved.

    Example: `safebasin certify runs/noise --tuned runs/tuned`
    """
    from safebasin import api

    found = api.certify_study(folder, tuned=tuned, judge=judge, tolerance=tolerance, level=level)
    if json_:
        print_json(asdict(found))
        return
    for panel in found.panels:
        _show(panel, found)
    if tuned is not None and found.moved is not None:
        _show_moved(tuned, found)
    note("A certificate is about most of the models with noise added, never about one model: docs/certificates.md.")


def _show(panel: CertifiedPanel, found: CertifiedStudy) -> None:
    first = panel.certificates[0]
    say(
        f"{panel.prompts}, system {panel.system}, by {panel.judge}: {100 * first.at_origin:.1f} % refused without noise"
    )
    least = f"a draw keeps it where at most {100 * first.tolerance:g} points are lost"
    say(f"noise on {found.n_weights:,} weights; {least}; bounds at {100 * first.level:g} %, each by itself")
    say(f"{'σ':>9}  {'refused':>8}  {'draws kept':>11}  {'p at least':>10}  {'‖Δ‖ certified':>13}  prompts certified")
    for one in panel.certificates:
        draws, prompts = f"{one.kept} of {one.n_draws}", f"{one.prompts} of {round(one.at_origin * one.n_prompts)}"
        say(
            f"{one.sigma:>9.4g}  {100 * one.refused:>6.1f} %  {draws:>11}  {one.p_low:>10.3f}  {one.radius:>13.4g}  "
            f"{prompts}, median ‖Δ‖ {one.median_radius:.3g}"
        )
    measured, scale = panel.measured, math.sqrt(found.n_weights)
    if measured.value is not None:
        sign = ">" if measured.n_censored else "="
        length = f"along random directions ‖Δ‖ {sign} {measured.value * scale:.4g}"
        say(f"measured  half of the refusals are lost at σ {sign} {measured.value:.4g}: {length}")


def _show_moved(tuned: str, found: CertifiedStudy) -> None:
    from safebasin import stats

    moved, best = found.moved, max((c for p in found.panels for c in p.certificates), key=lambda c: c.radius)
    if moved is None:
        return
    times = f", {moved.inside / best.radius:.3g} times the largest certified" if best.radius > 0 else ""
    say(f"moved     {tuned}: ‖Δ‖ = {moved.inside:.4g}{times}")
    if moved.outside > 0:
        say(f"          and {moved.outside:.4g} in weights without noise, of which a certificate says nothing")
        return
    there = max(stats.smoothed_at(c.p_low, moved.inside, c.sigma) for p in found.panels for c in p.certificates)
    say(f"          certified there: at least {100 * there:.3g} % of noise draws keep it")
