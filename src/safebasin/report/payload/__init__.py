"""What the page's script draws from, as plain values for JSON. Pure.

Every string that others wrote is made visible here; that it is escaped is the business of whoever embeds it.

    across_panels  what the page draws from several panels: overlays, groups, and what else was measured along a line
    panels         one panel as plain values for the page: its cells, and the curves or surfaces of every judge
    samples        responses as the page lists them: prompts once each, and rows that refer to them and to a cell
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from safebasin.records import Landscape
from safebasin.report.colors import (
    ASR_SCALE,
    JUDGE_COLORS,
    JUDGE_COLORS_DARK,
    OUTCOME_COLORS,
    OUTCOME_WORDS,
    SERIES_COLORS,
    SERIES_COLORS_DARK,
    SERIES_DASHES,
    SERIES_MARKERS,
)
from safebasin.report.differences import joined
from safebasin.report.layout import groups, overlays
from safebasin.report.payload.across_panels import group_values, measurement_values, overlay_values
from safebasin.report.payload.panels import panel_values
from safebasin.report.payload.samples import (
    MAX_CHARACTERS,
    MAX_SAMPLES,
    SampleResponse,
    ShownSample,
    by_panel,
    listed,
    most_per_place,
)
from safebasin.report.sanitize import visible
from safebasin.stats.ranking import Ranking

__all__ = [
    "MAX_CHARACTERS",
    "MAX_SAMPLES",
    "SampleResponse",
    "ShownSample",
    "comparison_payload",
    "embedded_json",
    "most_per_place",
    "page_payload",
]


def page_payload(landscape: Landscape, samples: Iterable[ShownSample]) -> dict[str, object]:
    """Everything that the script needs.

    Args:
        landscape: what is drawn.
        samples: responses, each under the index of its region; the origin (direction −1) serves every region.
    """
    own = by_panel(landscape, samples)
    return {
        **_palette(),
        "panels": [
            {**panel_values(landscape, panel), **listed(panel, found), "measurements": measurement_values(panel)}
            for panel, found in zip(landscape.panels, own, strict=True)
        ],
        "overlays": [overlay_values(landscape, overlay) for overlay in overlays(landscape)],
        "groups": [group_values(landscape, group) for group in groups(landscape)],
    }


def _palette() -> dict[str, object]:
    return {
        "colors": {"light": JUDGE_COLORS, "dark": JUDGE_COLORS_DARK},
        "series": {
            "light": SERIES_COLORS,
            "dark": SERIES_COLORS_DARK,
            "dashes": SERIES_DASHES,
            "markers": SERIES_MARKERS,
        },
        "scale": [[number / (len(ASR_SCALE) - 1), color] for number, color in enumerate(ASR_SCALE)],
        "outcomes": {name: {"color": color, "word": OUTCOME_WORDS[name]} for name, color in OUTCOME_COLORS.items()},
    }


def comparison_payload(landscapes: Sequence[Landscape], ranking: Ranking) -> dict[str, object]:
    """Collect what the script needs for the first panels of several landscapes, given in the order of the ranking."""
    rows = {name: row for row, name in enumerate(ranking.order)}
    return {
        **_palette(),
        "panels": [panel_values(landscape, landscape.panels[0]) for landscape in landscapes],
        "overlays": [{"panels": list(range(len(landscapes))), "names": [visible(one.name) for one in landscapes]}],
        "groups": [],
        "forest": {
            "names": [visible(name) for name in ranking.order],
            "series": list(range(len(ranking.order))),
            "value": [margin.value for margin in ranking.margins],
            "low": [margin.low for margin in ranking.margins],
            "high": [margin.high for margin in ranking.margins],
            "groups": [[min(rows[n] for n in group), max(rows[n] for n in group)] for group in joined(ranking)],
        },
    }


def embedded_json(payload: object) -> str:
    """JSON that may stand inside a `<script>` element: no character in it can end the element or open a comment."""
    text = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
