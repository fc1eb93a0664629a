"""The report of one study: a self-contained page that asks the network for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from safebasin.records import Landscape
from safebasin.report.differences import comparison_words
from safebasin.report.figures import Figures
from safebasin.report.page import render_page
from safebasin.report.payload import ShownSample, page_payload
from safebasin.report.sections import contents, page_sections

__all__ = ["render_html"]


def render_html(
    landscape: Landscape,
    manifest: Mapping[str, object],
    samples: Iterable[ShownSample],
    *,
    title: str,
    figures: Figures | None = None,
) -> str:
    """The page as text, to be written as UTF-8.

    Args:
        landscape: what is reported.
        manifest: `manifest.json` as plain values; may be empty.
        samples: the responses to be shown, texts None where withheld. Read once.
        title: of the page.
        figures: those of the landscape, which are not drawn again where they were saved; None makes them.
    """
    sections = page_sections(landscape, figures or Figures(landscape))
    return render_page(
        "report.html.j2",
        page_payload(landscape, samples),
        title=title,
        landscape=landscape,
        sections=sections,
        contents=contents(sections),
        differences=[(comparison, *comparison_words(landscape, comparison)) for comparison in landscape.comparisons],
        facts=_facts(manifest),
        manifest=[(key, *_shown(value)) for key, value in manifest.items()],
    )


def _facts(manifest: Mapping[str, object]) -> list[str]:
    """When and with what it was measured, for the line under the title."""
    facts: list[str] = []
    environment = manifest.get("environment")
    versions = environment.get("versions") if isinstance(environment, Mapping) else None
    if isinstance(versions, Mapping):
        facts += [f"{name} {versions[name]}" for name in ("safebasin", "transformers", "torch") if name in versions]
    model = manifest.get("model")
    if isinstance(model, Mapping) and model.get("fingerprint"):
        facts.append(f"fingerprint {str(model['fingerprint'])[:12]}")
    if created := manifest.get("created"):
        facts.append(str(created)[:10])
    return facts


def _shown(value: object) -> tuple[str, str]:
    """A value of the manifest as (short text, long text); the long one is folded away, and empty where not needed."""
    if isinstance(value, Mapping | list | tuple):
        noun = "entry" if len(value) == 1 else "entries"
        return f"{len(value)} {noun}", json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return str(value), ""
