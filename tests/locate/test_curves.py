"""Curves by layer: closed forms, no NaN where rounding leaves the unit interval, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.errors import PromptError
from safebasin.locate.curves import angle, curves, draw_pairs


def test_angles_of_equal_orthogonal_and_opposite_states() -> None:
    assert angle(np.array([1.0, 0.0, -1.0, 1.0 + 1e-12, -1.0 - 1e-12])).tolist() == [0.0, 90.0, 180.0, 0.0, 180.0]


def test_pairs_are_of_two_prompts_and_the_same_from_the_same_seed() -> None:
    found, again = draw_pairs(10, 12, 4000, seed=3), draw_pairs(10, 12, 4000, seed=3)
    for kind, sizes in (("benign-benign", (10, 10)), ("harmful-harmful", (12, 12)), ("benign-harmful", (10, 12))):
        pairs = found[kind]
        assert pairs.shape == (4000, 2)
        assert (pairs == again[kind]).all()
        assert [set(column) for column in pairs.T.tolist()] == [set(range(size)) for size in sizes]
    assert (found["benign-benign"][:, 0] != found["benign-benign"][:, 1]).all()
    assert not (draw_pairs(10, 12, 4000, seed=4)["benign-harmful"] == found["benign-harmful"]).all()


@pytest.mark.parametrize(("benign", "harmful", "words"), [(9, 20, "benign prompts"), (20, 9, "harmful prompts")])
def test_too_few_prompts_are_an_error(benign: int, harmful: int, words: str) -> None:
    with pytest.raises(PromptError, match=f"{words} must be at least 10; got 9"):
        draw_pairs(benign, harmful, 100)


def test_two_rays_have_the_angle_between_them() -> None:
    """Benign states lie on one ray, harmful ones at 0°, 30° and 90° to it: gaps, growth and cosines in closed form."""
    lengths = np.linspace(0.5, 3, 20)[:, None]
    degrees = np.radians([0.0, 30.0, 90.0])
    benign = np.stack([lengths * np.array([[1.0, 0.0]])] * 3)
    harmful = np.stack([lengths * np.array([[np.cos(a), np.sin(a)]]) for a in degrees])
    found = curves(benign, harmful, draw_pairs(20, 20, 200))
    assert [gap.value for gap in found.angle_gap] == pytest.approx([0, 30, 90], abs=1e-5)
    assert [rise.value for rise in found.rise] == pytest.approx([0, 30, 60], abs=1e-5)
    assert [rise.low for rise in found.rise] == pytest.approx([0, 30, 60], abs=1e-5)
    assert [e.value for e in (*found.contrast, *found.contrast_rise)] == pytest.approx([0, 30, 90, 0, 30, 60], abs=1e-5)
    assert found.cosine["benign-harmful"] == pytest.approx([1, 3**0.5 / 2, 0], abs=1e-9)
    assert found.cosine["harmful-harmful"] == pytest.approx([1, 1, 1])
    assert found.cosine_gap == pytest.approx([0, 1 - 3**0.5 / 2, 1], abs=1e-9)


def test_a_set_of_more_topics_moves_the_gap_and_not_the_contrast() -> None:
    """Benign prompts of two topics 80° apart, harmful ones between them, then turned out of their plane by 30°.

    Over all pairs: 80° between 20 of the 39 others of a benign prompt, 0° between harmful ones, 40° from one to the
    other at first, then the angle whose cosine is cos 40° cos 30°.
    """
    topics = np.array([[np.cos(a), np.sin(a), 0.0] for a in np.radians([-40.0, 40.0])] * 20)
    flat, up = np.array([[1.0, 0, 0]] * 40), np.array([[np.cos(np.pi / 6), 0, np.sin(np.pi / 6)]] * 40)
    every = np.array([(i, j) for i in range(40) for j in range(40)])
    others = every[every[:, 0] != every[:, 1]]
    pairs = {"benign-benign": others, "harmful-harmful": others, "benign-harmful": every}
    found = curves(np.stack([topics, topics]), np.stack([flat, up]), pairs)
    aside, inner = np.degrees(np.arccos(np.cos(np.radians(40)) * np.cos(np.pi / 6))), 80 * 20 / 39
    assert [e.value for e in found.angle_gap] == pytest.approx([40 - inner, aside - inner])
    assert [e.value for e in found.contrast] == pytest.approx([40 - inner / 2, aside - inner / 2], abs=1e-5)


@pytest.mark.slow
def test_two_sets_of_one_population_have_no_contrast_however_many_topics() -> None:
    rng = np.random.default_rng(1)
    topics = rng.normal(size=(12, 16))
    drawn = [topics[rng.integers(12, size=200)] + 0.2 * rng.normal(size=(200, 16)) for _ in range(2)]
    few = topics[:2][rng.integers(2, size=200)] + 0.2 * rng.normal(size=(200, 16))
    found = curves(np.stack([drawn[0]]), np.stack([drawn[1]]), draw_pairs(200, 200, 4000))
    assert found.contrast[0].low is not None
    assert found.contrast[0].low < 0 < (found.contrast[0].high or 0)
    narrow = curves(np.stack([drawn[0]]), np.stack([few]), draw_pairs(200, 200, 4000))
    assert (narrow.contrast[0].low or 0) > 5
    assert narrow.tells_topics == 0


@pytest.mark.slow
def test_intervals_cover_the_gap_of_all_prompts_about_as_often_as_they_say() -> None:
    """A normal population whose gap is known from a large sample; 24 prompts of each kind are drawn again and again."""
    rng = np.random.default_rng(0)

    def sample(n: int) -> tuple[np.ndarray, np.ndarray]:
        benign = rng.normal(size=(1, n, 8)) + np.array([1.0] + [0.0] * 7)
        harmful = rng.normal(size=(1, n, 8)) + np.array([0.0, 1.0] + [0.0] * 6)
        return benign, harmful

    def mean_angle(first: np.ndarray, second: np.ndarray) -> float:
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        return float(np.degrees(np.arccos((first * second).sum(axis=1) / lengths)).mean())

    (benign,), (harmful,) = sample(200_000)
    true = mean_angle(benign, harmful) - mean_angle(benign, np.roll(benign, 1, axis=0))
    held = 0
    for trial in range(40):
        gap = curves(*sample(24), draw_pairs(24, 24, 300, seed=trial), seed=trial).angle_gap[0]
        assert gap.low is not None
        assert gap.high is not None
        held += gap.low <= true <= gap.high
    assert 33 <= held <= 40
