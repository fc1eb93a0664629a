"""Statistics of safety landscapes, on plain arrays: definitions, intervals, comparisons, agreement.

numpy and scipy only; no model, no file, no figure. Rates are fractions in [0, 1]. Definitions and the simulated
coverage of the intervals are in the documentation's page on method.

    agreement     how well two judges agree, or one judge with the truth: confusion table, accuracy, Cohen's κ
    assurance     what makes a gate's pass worth something: floors, several looks, a judge of known mistakes
    axes          the measured points of a line or of a plane: its axes, its words, and its points in one row
    budgets       the smallest budget that breaks a defense, and two of them on the same prompts
    clusters      rates over responses that are not independent: prompts are what was sampled
    completing    rows of verdicts of which a random part was asked, as rows that statistics of whole tables take
    composition   collapse: the share of gibberish among what is not refused, beyond the rim
    correction    Rogan and Gladen's correction of a rate for the judge's mistakes, with its interval
    directions    from a statistic of one line or plane to the estimate over all that were drawn
    estimates     from verdicts to estimates: value, interval, counts, and the words for how they were made
    filling       grids measured in part, filled by linear interpolation, prompt by prompt
    gate          whether a second model is worse than a first by less than a limit
    grades        means of a judge's own numbers, such as the harmfulness score of the 1 to 5 rubric
    intervals     Wilson, bootstrap over prompts, two-way jackknife; hulls over what is missing
    krippendorff  Krippendorff's α of any number of judges, nominal, with missing verdicts
    landscape     statistics of one measured curve of attack success rates: VISAGE, margin, radius, headroom, depth
    method_words  the words of `Estimate.method`: how a value and its interval were made, fit to print
    multiple      several tests at once: p-values of which all errors together keep to a level
    neighbors     prompts that nearly repeat each other, found by the words they share
    order         Kendall's τ-b, plain or with a third number partialled out
    paired        two models on the same prompts: exact McNemar test, differences of rates and margins
    planning      how likely a harmless tune passes the gate: by number of prompts and churn, enumerated exactly
    ranking       a ranking of models by margin that says which of them cannot be told apart
    retention     at how many perturbed points an outcome of the origin still holds
    sequences     confidence sequences of the rate of a finite set, which hold whenever one stops
    sides         the two sides of a line that leads somewhere, kept apart
    smoothing     exact bounds of shares under Gaussian noise, and radii of randomized smoothing
    subspaces     where a change of a matrix lies beside it, and how far clusters part
    surface       the radius of a basin in a plane: that of a disk of its area
"""

from safebasin.stats.agreement import (
    Confusion,
    confusion,
    confusions,
    estimate_accuracy,
    estimate_kappa,
    tabulate,
    tabulate_clusters,
)
from safebasin.stats.budgets import estimate_budget, estimate_budget_difference, resampled_budgets
from safebasin.stats.clusters import estimate_clustered_rate
from safebasin.stats.completing import complete_rows
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
    holding,
)
from safebasin.stats.filling import fill_line, fill_plane
from safebasin.stats.grades import estimate_mean_grade
from safebasin.stats.intervals import Interval, bootstrap_prompts, interval, jackknife, wilson
from safebasin.stats.krippendorff import estimate_alpha, estimate_numbered_alpha
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
from safebasin.stats.sequences import estimate_sequence, stopping_bias
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
    "complete_rows",
    "confusion",
    "confusions",
    "crossed_cell",
    "depth",
    "estimate_accuracy",
    "estimate_alpha",
    "estimate_budget",
    "estimate_budget_difference",
    "estimate_clustered_rate",
    "estimate_collapse",
    "estimate_corrected_rate",
    "estimate_depth",
    "estimate_headroom",
    "estimate_kappa",
    "estimate_margin",
    "estimate_margin_difference",
    "estimate_mean_grade",
    "estimate_numbered_alpha",
    "estimate_paired_difference",
    "estimate_radius",
    "estimate_rate",
    "estimate_retention_difference",
    "estimate_sequence",
    "estimate_visage",
    "fill_line",
    "fill_plane",
    "headroom",
    "holding",
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
    "resampled_budgets",
    "side_headline",
    "smoothed_at",
    "smoothed_share_at",
    "stopping_bias",
    "tabulate",
    "tabulate_clusters",
    "tango",
    "visage",
    "wilson",
]
