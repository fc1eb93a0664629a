"""The rule that chooses a direction, on the published candidates of five models: it takes the published one.

Candidates and choices are figures of github.com/andyrdt/refusal_direction (9d852fa, Apache-2.0), to three places: all
that the rule allows, and those that would win if a part of it were left out. Counts of what is allowed are published.
"""

from __future__ import annotations

import math

import pytest

from safebasin.edits.refusal_direction.selecting import Candidate, kept, select
from safebasin.errors import ModelError

Figures = tuple[int, int, float, float, float]
"""Position, layer, ablation, steering, KL."""

GEMMA_2B: tuple[Figures, ...] = (
    (-5, 10, 4.920, -13.507, 0.003), (-4, 8, -5.051, 5.951, 0.018), (-4, 9, -10.285, 6.478, 0.014),
    (-4, 10, -11.691, 6.502, 0.028), (-4, 11, -10.555, 4.173, 0.012), (-4, 12, -11.524, -1.920, 0.044),
    (-3, 1, -18.421, -13.956, 13.145), (-2, 10, -14.419, 6.789, 0.066), (-2, 11, -13.456, 5.982, 0.025),
    (-2, 12, -14.195, 6.592, 0.125), (-2, 13, -7.879, 5.237, 0.029), (-2, 14, -7.385, 4.024, 0.055),
    (-2, 15, -8.574, 4.293, 0.052), (-2, 16, -7.086, 3.747, 0.077), (-1, 8, -9.375, 1.141, 0.050),
    (-1, 9, -8.006, 4.886, 0.034), (-1, 10, -14.120, 6.678, 0.054), (-1, 7, -5.261, -7.665, 0.020),
)  # fmt: skip
LLAMA_2_7B: tuple[Figures, ...] = (
    (-1, 14, -5.617, 5.986, 0.071), (-4, 15, -4.271, 3.389, 0.095), (-2, 13, -3.976, 5.824, 0.087),
    (-2, 14, -3.266, 6.202, 0.067), (-4, 16, -2.477, 3.012, 0.077), (-6, 29, -9.547, -8.739, 9.900),
    (-6, 30, math.nan, -8.505, math.nan), (-6, 31, math.nan, -9.540, math.nan), (-4, 11, -9.027, 5.188, 0.262),
    (-5, 12, -7.969, 5.209, 0.163), (-5, 14, -6.659, 4.422, 0.125), (-4, 14, -6.506, 3.687, 0.126),
    (-5, 15, -4.673, 3.584, 0.102), (-5, 17, -1.863, -4.295, 0.055),
)  # fmt: skip
LLAMA_3_8B: tuple[Figures, ...] = (
    (-5, 12, -9.855, 7.676, 0.059), (-2, 12, -9.588, 7.962, 0.026), (-1, 12, -9.224, 9.130, 0.028),
    (-3, 12, -9.136, 3.155, 0.075), (-5, 13, -8.754, 7.361, 0.060), (-2, 11, -8.695, 8.987, 0.023),
    (-1, 11, -8.252, 9.372, 0.044), (-5, 11, -7.725, 7.864, 0.030), (-3, 11, -7.170, 0.104, 0.026),
    (-1, 10, -6.344, 5.878, 0.090), (-5, 10, -4.952, 7.707, 0.042), (-5, 9, -4.097, 3.176, 0.055),
    (-2, 10, -3.892, 1.264, 0.041), (-5, 16, -2.294, 2.599, 0.086), (-3, 14, -1.819, 5.906, 0.014),
    (-3, 15, -0.525, 6.763, 0.075), (-1, 13, -0.214, 5.671, 0.032), (-3, 19, 1.393, 0.760, 0.088),
    (-3, 20, 1.503, 0.980, 0.083), (-2, 13, 1.507, 6.432, 0.007), (-3, 21, 2.770, 0.527, 0.081),
    (-3, 22, 3.178, 0.229, 0.075), (-4, 13, 3.654, 2.113, 0.085), (-4, 10, 5.724, 4.686, 0.097),
    (-4, 11, 6.059, 3.440, 0.095), (-3, 13, -5.545, 3.278, 0.156), (-5, 18, -3.057, -0.083, 0.036),
)  # fmt: skip
QWEN_1_8B: tuple[Figures, ...] = (
    (-2, 15, -5.057, 1.651, 0.066), (-1, 15, -5.022, 1.763, 0.069), (-2, 16, -4.511, 1.360, 0.044),
    (-2, 13, -4.495, 1.186, 0.076), (-1, 16, -4.489, 1.569, 0.045), (-1, 13, -4.423, 1.273, 0.083),
    (-4, 15, -4.420, 1.498, 0.067), (-4, 16, -4.376, 1.048, 0.047), (-2, 17, -3.859, 1.263, 0.064),
    (-1, 17, -3.725, 1.403, 0.062), (-2, 18, -3.520, 1.662, 0.063), (-1, 18, -3.310, 1.680, 0.064),
    (-4, 1, -8.543, -6.526, 7.726), (-4, 14, -4.523, 1.752, 0.142), (-4, 21, -2.895, -1.328, 0.053),
)  # fmt: skip
YI_6B: tuple[Figures, ...] = (
    (-5, 20, -6.748, 1.639, 0.047), (-1, 22, -6.311, 1.839, 0.043), (-1, 24, -5.919, 1.670, 0.089),
    (-1, 21, -5.774, 1.729, 0.049), (-1, 23, -5.418, 1.617, 0.080), (-5, 22, -3.542, 1.304, 0.065),
    (-5, 21, -3.324, 1.305, 0.099), (-5, 18, -6.994, 2.211, 0.324), (-5, 19, -6.929, 1.753, 0.128),
    (-4, 27, -4.881, -4.029, 0.045),
)  # fmt: skip


def candidates(figures: tuple[Figures, ...]) -> list[Candidate]:
    return [Candidate(position=p, layer=layer, ablation=a, steering=s, kl=kl) for p, layer, a, s, kl in figures]


@pytest.mark.parametrize(
    ("figures", "n_layers", "choice", "n_allowed"),
    [
        (GEMMA_2B, 18, (-2, 10), None),
        (LLAMA_2_7B, 32, (-1, 14), 5),
        (LLAMA_3_8B, 32, (-5, 12), 25),
        (QWEN_1_8B, 24, (-2, 15), 12),
        (YI_6B, 32, (-5, 20), 7),
    ],
    ids=["gemma-2b-it", "llama-2-7b-chat", "llama-3-8b-it", "qwen-1.8b-chat", "yi-6b-chat"],
)
def test_the_published_choice_of_five_models(
    figures: tuple[Figures, ...], n_layers: int, choice: tuple[int, int], n_allowed: int | None
) -> None:
    found = candidates(figures)
    best = select(found, n_layers)
    assert (best.position, best.layer) == choice
    assert n_allowed is None or len(kept(found, n_layers)) == n_allowed


def test_each_part_of_the_rule_is_needed() -> None:
    """Without the bound on KL, on steering or on layers another candidate has the lowest score."""
    fair = Candidate(position=-1, layer=3, ablation=-1, steering=1, kl=0.05)
    others = [
        Candidate(position=-1, layer=3, ablation=-2, steering=1, kl=0.11),
        Candidate(position=-1, layer=3, ablation=-2, steering=-0.1, kl=0.05),
        Candidate(position=-1, layer=8, ablation=-2, steering=1, kl=0.05),
        Candidate(position=-1, layer=3, ablation=math.nan, steering=1, kl=0.05),
        Candidate(position=-1, layer=3, ablation=-2, steering=1, kl=math.nan),
    ]
    assert kept([*others, fair], 10) == (fair,)
    edge = Candidate(position=-2, layer=7, ablation=-3, steering=0, kl=0.1)
    assert select([fair, edge], 10) == edge, "bounds are part of what is allowed"
    with pytest.raises(ModelError, match=r"refusal direction must be .* got 'none of 5'"):
        select(others, 10)
    worst = Candidate(position=-1, layer=9, ablation=-4, steering=-9, kl=7)
    assert select([*others, fair, worst], 10, "lowest") == worst
    assert len(kept(others, 10, "lowest")) == 4, "a score that is no number is none"
