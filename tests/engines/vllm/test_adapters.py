"""Which adapters are served beside the weights, and the copies that are; on a real vLLM: `test_unmerged`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.models import make_lora
from safebasin.engines.vllm.adapters import AT_ONCE, AdapterRoad, Copies, sort_out, why_all_merged
from safebasin.errors import ModelError
from safebasin.models.loading import load_causal
from safebasin.models.reference import resolve
from safebasin.records import DirectionSpec, Point
from safebasin.weights.adapters import read_adapter
from safebasin.weights.layout import Layout

FOLDER = resolve("world:guild/aligned").folder


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout.of(load_causal(FOLDER))


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> DirectionSpec:
    return line(make_lora(tmp_path_factory.mktemp("a") / "lora", FOLDER, rank=4, targets=["q_proj", "down_proj"]))


def line(folder: Path) -> DirectionSpec:
    return DirectionSpec(kind="adapter", target=str(folder), normalize="none")


def test_what_is_no_adapter_is_none_of_its_business(layout: Layout) -> None:
    found = sort_out([DirectionSpec(kind="random", seed=1)], layout)
    assert (dict(found.beside), dict(found.merged), found.settings()) == ({}, {}, {})
    assert found.described(0.0, 2e-3) == {}


def test_one_is_served_beside_and_another_is_merged_with_the_reason(
    tmp_path: Path, layout: Layout, lora: DirectionSpec, caplog: pytest.LogCaptureFixture
) -> None:
    saved = line(make_lora(tmp_path / "saved", FOLDER, targets=["q_proj"], modules_to_save=["norm"]))
    large = line(make_lora(tmp_path / "large", FOLDER, rank=513, targets=["q_proj"]))
    with caplog.at_level(logging.WARNING):
        found = sort_out([lora, saved, large], layout)
    assert list(found.beside) == [lora]
    assert "modules_to_save" in found.merged[saved]
    assert found.merged[large] == "its rank 513 is above 512, the most that vLLM makes room for"
    assert f"adapter {saved.target} is merged into the weights: it replaces" in caplog.text
    told = found.described(1e-6, 2e-3)["adapters"]
    assert told == {
        "unmerged": [lora.label()],
        "merged": {saved.label(): found.merged[saved], large.label(): found.merged[large]},
        "at_once": AT_ONCE,
        "cross_check": {"largest_difference_nats": 1e-6, "tolerance_nats": 2e-3},
    }
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("road", "device", "words"),
    [
        ("auto", "cpu", "three times as long on a CPU"),
        ("merged", "cuda", "as adapters=merged asks"),
        ("auto", "cuda", None),
        ("unmerged", "cpu", None),
    ],
)
def test_which_road_adapters_take_is_said(
    layout: Layout, lora: DirectionSpec, road: AdapterRoad, device: str, words: str | None
) -> None:
    found = sort_out([lora], layout, reason=why_all_merged(road, device))
    assert (lora in found.beside, lora in found.merged) == (words is None, words is not None)
    assert words is None or words in found.merged[lora]


@pytest.mark.slow
def test_what_no_merging_helps_is_refused(tmp_path: Path, layout: Layout) -> None:
    dora = line(make_lora(tmp_path / "dora", FOLDER, targets=["q_proj"], use_dora=True))
    with pytest.raises(ModelError, match=r"plain LoRA; got 'DoRA'.*to:FOLDER"):
        sort_out([dora], layout)


@pytest.mark.parametrize(("rank", "room"), [(1, 8), (8, 8), (9, 16), (300, 320)])
def test_room_is_that_of_the_largest_rank_and_of_the_layers_that_move(
    tmp_path: Path, layout: Layout, lora: DirectionSpec, rank: int, room: int
) -> None:
    other = line(make_lora(tmp_path / "other", FOLDER, rank=rank, targets=["v_proj"]))
    settings = sort_out([lora, other], layout).settings()
    assert settings.pop("lora_target_modules") == ["down_proj", "q_proj", "v_proj"]
    assert settings == {"enable_lora": True, "max_loras": AT_ONCE, "max_lora_rank": room}


def test_adapters_that_differ_in_numbers_alone_have_one_shape(
    tmp_path: Path, layout: Layout, lora: DirectionSpec
) -> None:
    targets = ["q_proj", "down_proj"]
    same = line(make_lora(tmp_path / "same", FOLDER, rank=4, alpha=3, targets=targets, seed=1))
    other = line(make_lora(tmp_path / "other", FOLDER, rank=5, targets=targets))
    shapes = sort_out([lora, same, other], layout).shapes()
    assert shapes[lora] == shapes[same] != shapes[other]


def test_a_reason_that_comes_later_takes_one_out(layout: Layout, lora: DirectionSpec) -> None:
    found = sort_out([lora], layout).without({lora: "it differs"})
    assert (dict(found.beside), dict(found.merged)) == ({}, {lora: "it differs"})


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(name: str, number: int, path: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, number=number, path=Path(path))

    for parent in ("vllm", "vllm.lora"):
        monkeypatch.setitem(sys.modules, parent, SimpleNamespace())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "vllm.lora.request", SimpleNamespace(LoRARequest=made))  # type: ignore[arg-type]


@pytest.mark.usefixtures("requests")
def test_a_copy_is_there_as_long_as_its_point_is_asked_for(layout: Layout, lora: DirectionSpec) -> None:
    near, far, last = (Point.at((lora, alpha)) for alpha in (0.5, 1.0, 2.0))
    copies = Copies(sort_out([lora], layout).beside)
    a, b = copies.requests([near, far])
    half, whole = (
        read_adapter(one.path, layout).rows("model.layers.0.self_attn.q_proj.weight", 0, 9) for one in (a, b)
    )
    assert half is not None
    assert whole is not None
    assert (2 * half - whole).abs().max() < 1e-6 < whole.abs().max()
    again, c = copies.requests([far, last])
    assert (again.number, again.path) == (b.number, b.path)
    assert not a.path.exists()
    (anew,) = copies.requests([near])
    assert anew.number not in {a.number, b.number, c.number}, "vLLM keeps what it read under a number"
    other = Copies(sort_out([lora], layout).beside).requests([near])[0]
    assert other.number > anew.number
    folder = anew.path.parent
    del copies
    assert not folder.exists()


def test_a_point_of_one_such_direction_is_served_so_and_no_other(layout: Layout, lora: DirectionSpec) -> None:
    copies, random = Copies(sort_out([lora], layout).beside), DirectionSpec(kind="random", seed=0)
    assert copies.serves(Point.at((lora, -0.5)))
    for point in (Point(), Point.at((random, 1.0)), Point.at((lora, 1.0), (random, 1.0))):
        assert not copies.serves(point)
