"""The direction that parts two kinds of prompts: planted, it is found at its layer; where nothing parts, it is not."""

from __future__ import annotations

import numpy as np
import pytest

from safebasin.screen.refusal import find_axis, gap


def planted(layers: tuple[float, ...], *, n: int = 40, width: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States of noise 1, harmful ones moved along the first axis by so much after each layer."""
    draw = np.random.default_rng(seed)
    harmful, benign = (draw.standard_normal((len(layers), n, width)) for _ in range(2))
    harmful[:, :, 0] += np.asarray(layers)[:, None]
    return harmful, benign


def test_the_first_layer_that_parts_about_as_well_as_the_best_is_taken() -> None:
    harmful, benign = planted((0.0, 0.0, 9.0, 14.0))
    axis = find_axis(harmful, benign)
    assert axis.layer == 2
    assert axis.direction[0] == pytest.approx(1, abs=0.05)
    assert np.linalg.norm(axis.direction) == pytest.approx(1)
    assert axis.parted == pytest.approx(9, abs=1.5)
    assert gap(axis, harmful, benign) == pytest.approx(9, abs=0.5)
    assert gap(axis, benign, benign) == 0


def test_equal_states_have_none() -> None:
    benign = planted((0.0, 0.0))[1]
    with pytest.raises(ValueError, match="no layer tells"):
        find_axis(benign, benign)
