"""The page of located layers: the band, the curves it comes from, and what scaling says of its bounds. No script.

A pure function of the document `layers.json`, so that the page shows nothing that the file lacks; no text of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safebasin.report.figures.layers import layers_svg, save_layers_figure
from safebasin.report.page import inline_image, render_still, save_still

__all__ = ["band_words", "render_layers", "save_layers"]

RULES = {
    "angle": "angle gap: grows apart from 0, and by a tenth of its largest growth (Li et al. 2025, §3.2)",
    "contrast": "contrast: as the angle gap, less the spread of harmful prompts too",
    "cosine": "cosine gap: grows by 0.001, then by 0.0001",
}


def save_layers(document: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html`, `layers.json` and `figures/layers.{png,svg,pdf,csv}`; returns the page.

    Args:
        document: what was found, as plain values.
        folder: made if needed; files of these names are overwritten.
    """
    return save_still(document, folder, "layers", page=render_layers, figure=save_layers_figure)


def render_layers(document: Mapping[str, Any]) -> str:
    """The page as text, to be written as UTF-8."""
    return render_still(
        "layers.html.j2",
        title="Layers that tell harmful requests",
        found=document,
        answer=_answer(document),
        image=inline_image(layers_svg(document)),
        rules=[(RULES.get(name, name), band_words(band)) for name, band in document["bands"].items()],
        rows=[_row(document, layer) for layer in range(document["n_layers"])],
        sweeps=[] if document["scaling"] is None else [_sweep(sweep) for sweep in document["scaling"]["sweeps"]],
        plain="" if document["scaling"] is None else _share(document["scaling"]["plain"]),
    )


def band_words(band: Mapping[str, int] | None) -> str:
    """A band for people."""
    return "none" if band is None else f"layers {band['first']} to {band['last']}"


def _answer(document: Mapping[str, Any]) -> str:
    band = document["band"]
    if band is None:
        return "No layer is found that tells harmful requests from benign ones."
    how = "the curves" if document["scaling"] is None else "the curves, then scaling"
    return (
        f"Layers {band['first']} to {band['last']} of {document['n_layers']}, counted from 0, by {how}. "
        f'Freeze them with finetune --defense "sppft(layers={band["first"]}-{band["last"]})".'
    )


def _row(document: Mapping[str, Any], layer: int) -> dict[str, Any]:
    curves, band, control = document["curves"], document["band"], document["control"]
    return {
        "layer": layer,
        "inside": band is not None and band["first"] <= layer <= band["last"],
        "cosines": [f"{means[layer]:.4f}" for means in curves["cosine"].values()],
        "gap": _degrees(curves["angle_gap"][layer]),
        "rise": _degrees(curves["rise"][layer]),
        "contrast": _degrees(curves["contrast"][layer]),
        "control": "" if control is None else _degrees(control["angle_gap"][layer]),
    }


def _degrees(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:.2f} [{estimate['low']:.2f}, {estimate['high']:.2f}]".replace("-", "−")


def _share(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "not known"
    return f"{100 * estimate['value']:.1f} % [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"


def _sweep(sweep: Mapping[str, Any]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for candidate in sweep["candidates"]:
        lead = candidate["lead"]
        is_apart = lead is not None and lead["low"] is not None and lead["low"] > 0
        rows.append(
            {
                "band": band_words(candidate["band"]),
                "refused": _share(candidate["refused"]),
                "said": "chosen" if lead is None else "apart from the chosen one" if is_apart else "not told apart",
            }
        )
    return {"bound": sweep["bound"], "rows": rows}
