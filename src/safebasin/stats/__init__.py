"""Statistics of safety landscapes, on plain arrays: definitions, intervals, comparisons, agreement.

numpy and scipy only; no model, no file, no figure. Rates are fractions in [0, 1]. Definitions and the simulated
coverage of the intervals are in the documentation's page on method.
"""

from safebasin.stats.agreement import Confusion, confusion, confusions, estimate_accuracy, estimate_kappa
from safebasin.stats.clusters import estimate_clustered_rate
from safebasin.stats.composition import collapse, estimate_collapse
from safebasin.stats.correction import Accuracy, estimate_corrected_rate
from safebasin.stats.estimates import (
    crossed_cell,
    estimate_depth,
    estimate_headroom,
    estimate_margin,
    estimate_radius,
    estimate_rate,
    estimate_visage,
)
from safebasin.stats.filling import fill_line, fill_plane
from safebasin.stats.grades import estimate_mean_grade
from safebasin.stats.intervals import Interval, bootstrap_prompts, interval, jackknife, wilson
from safebasin.stats.krippendorff import estimate_alpha
from safebasin.stats.landscape import Radius, Side, depth, headroom, margin, on_grid, radius, reaches, visage
from safebasin.stats.order import Kendall, kendall, partial_kendall
from safebasin.stats.paired import (
    FEWEST_DIRECTIONS,
    estimate_margin_difference,
    estimate_paired_difference,
    mcnemar,
    tango,
)
from safebasin.stats.ranking import RankedPair, Ranking, rank_by_margin
from safebasin.stats.retention import estimate_retention_difference
from safebasin.stats.sides import nearer_side, on_side, side_headline
from safebasin.stats.smoothing import (
    Certificate,
    certified_radius,
    certify,
    clopper_pearson_low,
    smoothed_at,
    smoothed_share_at,
)
from safebasin.stats.surface import radius_2d

__all__ = [
    "FEWEST_DIRECTIONS",
    "Accuracy",
    "Certificate",
    "Confusion",
    "Interval",
    "Kendall",
    "Radius",
    "RankedPair",
    "Ranking",
    "Side",
    "bootstrap_prompts",
    "certified_radius",
    "certify",
    "clopper_pearson_low",
    "collapse",
    "confusion",
    "confusions",
    "crossed_cell",
    "depth",
    "estimate_accuracy",
    "estimate_alpha",
    "estimate_clustered_rate",
    "estimate_collapse",
    "estimate_corrected_rate",
    "estimate_depth",
    "estimate_headroom",
    "estimate_kappa",
    "estimate_margin",
    "estimate_margin_difference",
    "estimate_mean_grade",
    "estimate_paired_difference",
    "estimate_radius",
    "estimate_rate",
    "estimate_retention_difference",
    "estimate_visage",
    "fill_line",
    "fill_plane",
    "headroom",
    "interval",
    "jackknife",
    "kendall",
    "margin",
    "mcnemar",
    "nearer_side",
    "on_grid",
    "on_side",
    "partial_kendall",
    "radius",
    "radius_2d",
    "rank_by_margin",
    "reaches",
    "side_headline",
    "smoothed_at",
    "smoothed_share_at",
    "tango",
    "visage",
    "wilson",
]
