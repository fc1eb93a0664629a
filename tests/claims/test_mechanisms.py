"""The measures of the claims of Jain et al., run whole on models of a moment: what they compute, not what they find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safebasin.claims import mechanisms
from safebasin.claims.lab import Lab
from safebasin.claims.subject import PCFG
from safebasin.worlds.loop import Stage
from safebasin.worlds.pcfg import build as building
from safebasin.worlds.pcfg.world import FOLDER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STAGE = Stage(steps=3, batch_size=4, learning_rate=1e-3)
RECIPE = building.Recipe(
    pretraining=STAGE, instruction=STAGE, width=16, layers=2, heads=2, rows=8, batch_size=4, learning_rate=1e-3
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    pytest.importorskip("trl")
    folder = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "RECIPE", RECIPE)
        patch.setenv(FOLDER, str(folder / "world"))
        building.build(folder / "world", 0, recipe=RECIPE)
        yield Lab(folder=folder / "lab", subject=PCFG, quick=True)


@pytest.mark.parametrize("name", mechanisms.STATISTICS)
def test_every_measure_gives_a_number_with_an_interval(lab: Lab, name: str) -> None:
    finding = mechanisms.STATISTICS[name](lab)
    estimate = finding.estimate
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= estimate.value <= estimate.high
    assert "3 training seeds" in estimate.method
    assert finding.details


def test_models_are_trained_once_and_differ_by_method_and_seed(lab: Lab) -> None:
    for name in ("kept_answers", "sensitivity", "relearned"):  # they take all models that there are
        mechanisms.STATISTICS[name](lab)
    before = sorted(path.name for path in (lab.folder / "models").iterdir())
    mechanisms.STATISTICS["kept_answers"](lab)
    assert sorted(path.name for path in (lab.folder / "models").iterdir()) == before
    weights = {(lab.folder / "models" / name / "model.safetensors").read_bytes() for name in before}
    assert len(weights) == len(before) == 3 * 7  # three methods and a control, and three that relearned


def test_chance_is_that_of_the_shape(lab: Lab) -> None:
    # 16 inputs to 64 outputs: a matrix of full rank leaves chance √(1 − 16/64), one of lower rank more.
    (said,) = [text for text in mechanisms.STATISTICS["column_space"](lab).details if "by chance" in text]
    assert 0.866 <= float(said.rpartition("by chance ")[2].rstrip(".")) <= 1.0
