"""The methods around the two papers on the real model: the calls, and a table of what they found. It decides nothing.

Each row names its control: another tuned model, the model before alignment, as many weights at random, no defense.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BASE, ALIGNED = "world:kitchen/base", "world:kitchen/aligned"
BEGIN, END = "<!-- methods: written by studies/real/run.py -->", "<!-- end of methods -->"
TIMES = "method-times.json"
"""The file of the seconds that each step took."""
DEFENSES = (
    "mix_safe(amount=50)",
    "sppft(layers=12-21)",
    "l2",
    f"safe_lora(unaligned={BASE})",
    f"resta(unaligned={BASE})",
)
_PRUNED = ("pruned", "random")


def calls(root: Path, *, small: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Name of each step → its call of the command line, in order; the folders of `make real` are there already."""
    limit = ("--limit", "10" if small else "24")
    rows = ("--harmful", "world:kitchen/harmful", "--benign", "world:kitchen/benign", "--judge", "rule/kitchen")
    short = ("--max-new-tokens", "8") if small else ()
    tuned = (str(root / "attacked"), str(root / "styled"))
    found = [
        ("screen", ("screen", ALIGNED, *tuned, "--before", BASE)),
        ("mechanism", ("mechanism", BASE, ALIGNED, *limit)),
        ("layers", ("locate-layers", ALIGNED, "--control", BASE, *limit)),
        ("prefill", ("prefill", ALIGNED, *limit, *short)),
        ("pruned", ("attribute", ALIGNED)),
        ("random", ("attribute", ALIGNED, "--random")),
        *((f"prefill-{name}", ("prefill", str(root / name), *rows, "--tokens", "1", *short)) for name in _PRUNED),
    ]
    asked = [part for defense in DEFENSES[: 1 if small else None] for part in ("--defense", defense)]
    found.append(("defenses", ("defenses", ALIGNED, *asked, *limit)))
    return [(name, (*call, "-o", str(root / name))) for name, call in found]


def table(root: Path) -> str:
    """Both tables in Markdown: what each method found, and the comparison of defenses."""
    times = _json(root / TIMES)
    lines = ["| method | found | beside it | time |", "| --- | --- | --- | --- |"]
    for name, row in (
        ("screen", _screen),
        ("mechanism", _mechanism),
        ("layers", _layers),
        ("prefill", _prefill),
        ("pruned", _pruned),
    ):
        lines.append(f"| {row(root)} | {times[name] / 60:.1f} min |")
    arms = _json(root / "defenses" / "defenses.json")["arms"]
    lines += ["", "| after ten examples of cooking | ASR | coherent compliance | over-refusal | capability | moved |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    lines += [_arm(arm) for arm in arms]
    return "\n".join((*lines, "", f"The comparison took {times['defenses'] / 60:.0f} minutes."))


def _screen(root: Path) -> str:
    order = [(Path(model["name"]).name, model["opening"]) for model in _json(root / "screen" / "screen.json")["models"]]
    (first, worst), (last, least) = order[0], order[-1]
    harmless = f"`{last}`, harmless: {least['harmful']:.2f}"
    return f"`screen`, first token on cooking | `{first}` {worst['harmful']:.2f} | {harmless}"


def _mechanism(root: Path) -> str:
    document = _json(root / "mechanism" / "mechanism.json")
    slope = {side: _signed(change) for side, change in document["sensitivity"]["change"].items()}
    more, of = sum(m["firing_gap"]["low"] > 0 for m in document["matrices"]), len(document["matrices"])
    return (
        f"`mechanism` | τ apart in {_apart(document, 'tuned')}; the change answers more to cooking in {more} of {of} "
        f"matrices; the slope of the largest logit there {slope['harmful']} "
        f"| base: τ apart in {_apart(document, 'base')}; slope on benign prompts {slope['benign']}"
    )


def _apart(document: Mapping[str, Any], model: str) -> str:
    layers = [layer["layer"] for layer in document["layers"] if _is_apart(layer[model])]
    return f"{len(layers)} of {document['n_layers']} layers, the first {layers[0]}" if layers else "no layer"


def _is_apart(sides: Mapping[str, Any]) -> bool:
    return sides["benign"]["low"] > 0 and sides["harmful"]["high"] < 0


def _layers(root: Path) -> str:
    document = _json(root / "layers" / "layers.json")
    most = {name: max(document[name]["contrast"], key=lambda e: e["value"]) for name in ("curves", "control")}
    bands = ", ".join(
        f"{rule} {band['first']}–{band['last']}" for rule, band in document["bands"].items() if band is not None
    )
    return (
        f"`locate-layers` | contrast at most {_degrees(most['curves'])}; bands: {bands} "
        f"| base: contrast at most {_degrees(most['control'])}"
    )


def _prefill(root: Path) -> str:
    sides = _json(root / "prefill" / "prefill.json")["sides"]
    told = {
        side: ", ".join(f"{row['tokens']}: {_share(row['refused'])}" for row in rows) for side, rows in sides.items()
    }
    return f"`prefill`, refused by forced tokens | {told['harmful']} | benign requests {told['benign']}"


def _pruned(root: Path) -> str:
    record = _json(root / "pruned" / "safebasin.json")
    after = {name: _json(root / f"prefill-{name}" / "prefill.json")["sides"] for name in _PRUNED}
    said = {
        name: f"of requests for cooking refused {_share(sides['harmful'][0]['refused'])}, told how "
        f"{_share(sides['harmful'][0]['success'])}; of benign ones answered {_share(sides['benign'][0]['success'])}"
        for name, sides in after.items()
    }
    share = record["chosen"] / record["among"]
    return (
        f"`attribute`, {100 * share:.1f} % of weights set to 0 | {said['pruned']} | as many at random: {said['random']}"
    )


def _arm(arm: Mapping[str, Any]) -> str:
    found = {measure["name"]: measure["share"] for measure in arm["measures"]}
    shares = " | ".join(_share(found.get(name)) for name in ("asr", "asr_outcome", "over_refusal", "capability"))
    moved = "–" if arm["moved"] is None else f"{100 * arm['moved']:.2g} %"
    return f"| {arm['name']} | {shares} | {moved} |"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _share(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    return f"{100 * estimate['value']:.0f} % [{100 * estimate['low']:.0f}, {100 * estimate['high']:.0f}]"


def _signed(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:+.1f} [{estimate['low']:.1f}, {estimate['high']:.1f}]".replace("-", "−")


def _degrees(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:.1f}° [{estimate['low']:.1f}, {estimate['high']:.1f}]"
