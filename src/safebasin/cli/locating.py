"""`locate-layers`: which layers tell a harmful request, as SPPFT freezes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.options import BenignPrompts, Device, DType, HarmfulPrompts, RemoteCode, SystemPrompt, TemplateArgs
from safebasin.cli.output import note, print_json, say

if TYPE_CHECKING:
    from safebasin.locate.records import Located
    from safebasin.records import Estimate


@app.command("locate-layers")
def locate_layers(
    model: Annotated[str, typer.Argument(help="As for `map`. Without it: the embedded model.")] = "world:guild/aligned",
    harmful: HarmfulPrompts = None,
    benign: BenignPrompts = None,
    borderline: Annotated[
        str | None, typer.Option("--borderline", help="Benign prompts that look harmful; without them no scaling.")
    ] = None,
    control: Annotated[
        str | None, typer.Option("--control", help="Draw the curves of this model beside: the one before alignment.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of figure and page.")] = Path("runs/layers"),
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many prompts of each set.")] = 100,
    pairs: Annotated[int, typer.Option("--pairs", min=2, max=100_000, help="Random pairs of each kind.")] = 500,
    scale: Annotated[
        str, typer.Option("--scale", help="Factor on candidate bands; `auto` chooses, `none` leaves it to the curves.")
    ] = "auto",
    judge: Annotated[str, typer.Option("--judge", help="Who says what is refused.")] = "refusal",
    system: SystemPrompt = "default",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Of a response.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31, help="Of the pairs.")] = 0,
    device: Device = "auto",
    dtype: DType = "auto",
    template_arg: TemplateArgs = None,
    trust_remote_code: RemoteCode = False,
    json_: Json = False,
) -> None:
    """Find the layers that tell harmful requests. `finetune --defense "sppft(…)"` freezes them.

    Examples: `safebasin locate-layers` · `safebasin locate-layers org/chat --harmful advbench --benign benign.csv`
    """
    from safebasin import api
    from safebasin import study as studies
    from safebasin.api.locating import layers_document

    state.folder = out
    found = api.locate_layers(
        model, harmful=harmful, benign=benign, borderline=borderline, control=control, out=out, limit=limit,
        pairs=pairs, scale=scale, judge=judge, system=system, max_new_tokens=max_new_tokens, seed=seed, device=device,
        dtype=dtype, template_args=studies.template_arguments(template_arg or ()),
        trust_remote_code=trust_remote_code, note=(lambda text: None) if json_ else note,
    )  # fmt: skip
    if json_:
        print_json(layers_document(found))
        return
    _show(found)
    say(f"report   {out / 'report.html'}")


def _show(found: Located) -> None:
    curves = found.curves
    say("layer  angle gap (°)             growth (°)                contrast (°)")
    for layer, row in enumerate(zip(curves.angle_gap, curves.rise, curves.contrast, strict=True)):
        is_inside = found.band is not None and found.band.first <= layer <= found.band.last
        told = "  ".join(f"{_degrees(estimate):<24}" for estimate in row)
        say(f"{layer:>5}  {told}{'  in the band' if is_inside else ''}")
    for rule, band in found.bands.items():
        say(f"{rule:<8} {band or 'none'}")
    if found.scaling is not None:
        say(f"scaling  {found.scaling.band}, times {found.scaling.factor:g}")
    for text in found.notes:
        note(text)
    if found.band is not None:
        say(f'freeze   safebasin finetune {found.model} --defense "sppft(layers={found.band})" …')


def _degrees(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "undefined"
    return f"{estimate.value:6.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
