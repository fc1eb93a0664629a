"""A string is one item: the one function, and every function of the API that takes a list."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebasin import api, study
from safebasin.audit import audit
from safebasin.errors import StudyError, UsageError
from safebasin.finetune.request import request
from safebasin.items import items

WORLD = "world:guild/aligned"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, ()),
        ("advbench", ("advbench",)),
        ("", ("",)),
        (Path("a.csv"), (Path("a.csv"),)),
        ({"source": "a"}, ({"source": "a"},)),
        (3, (3,)),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        ((name for name in "ab"), ("a", "b")),
        ({"a": 1}.keys(), ("a",)),
        ([], ()),
    ],
)
def test_what_is_one_item_and_what_are_several(given: object, found: tuple[object, ...]) -> None:
    assert items(given) == found


@given(st.lists(st.text()))
def test_items_of_items_are_the_same(texts: list[str]) -> None:
    assert items(items(texts)) == tuple(texts)
    assert all(items(text) == (text,) for text in texts)


LISTS = {
    "prompts": ("world:guild/benign", lambda made: [p.source for p in made.prompts]),
    "judge": ("outcome", lambda made: list(made.judges)),
    "judges": ("outcome", lambda made: list(made.judges)),
    "system": ("none", lambda made: list(made.systems)),
    "systems": ("none", lambda made: list(made.systems)),
    "trajectory": ("run", lambda made: list(made.trajectories)),
    "trajectories": ("run", lambda made: list(made.trajectories)),
    "text": ("a.txt", lambda made: list(made.capability.texts)),
    "task": ("arithmetic", lambda made: list(made.capability.tasks)),
    "axis": ("to:world:guild/base", lambda made: [a.label() for a in made.regions[0].axes]),
    "axes": ("to:world:guild/base", lambda made: [a.label() for a in made.regions[0].axes]),
}


@pytest.mark.parametrize("key", LISTS)
def test_each_list_of_a_study_takes_one_string(key: str) -> None:
    one, read = LISTS[key]
    assert read(api.make_study(WORLD, **{key: one})) == [one]
    assert api.make_study(WORLD, **{key: one}) == api.make_study(WORLD, **{key: [one]})
    assert api.make_study(WORLD, **{key: one}) == api.make_study(WORLD, **{key: iter((one,))})


def test_one_mapping_or_path_is_one_item_too(tmp_path: Path) -> None:
    made = api.make_study(WORLD, prompts={"source": "a.csv", "label": "benign"}, regions={"axes": {"kind": "random"}})
    assert [(p.source, p.label) for p in made.prompts] == [("a.csv", "benign")]
    assert [len(region.axes) for region in made.regions] == [1]
    assert api.make_study(WORLD, prompts=Path("b.csv"), trajectory=Path("run")).prompts[0].source == "b.csv"
    assert api.make_study(WORLD, axis={"kind": "random"}, seed=4).regions[0].axes[0].seed == 4
    assert (
        api.make_study(WORLD, axes=["random", "random"]).regions == api.make_study(WORLD, axis=["random"] * 2).regions
    )
    path = tmp_path / "study.yaml"
    path.write_text(f"model: {WORLD}\nsystems: none\naxes: random\ncapability: {{texts: a.txt}}\n")
    read = study.load(path)
    assert (read.systems, read.regions[0].axes[0].kind) == (("none",), "random")
    assert read.capability is not None
    assert read.capability.texts == ("a.txt",)


@pytest.mark.parametrize(
    ("fields", "flags", "message"),
    [
        ({"regions": [5]}, {"points": "auto"}, r"regions\.0|0 must be"),
        ({"axes": 5}, {"seed": 1}, r"seed must be left out|must be"),
        ({"axes": []}, {}, r"axes must be one"),
        ({"decoding": "fast"}, {"stop": "none"}, r"decoding must be keys with values; got 'fast'"),
        ({"capability": 3}, {"text": "a.txt"}, r"capability must be keys with values; got 3"),
        ({"judges": None}, {}, r"judges must .*at least 1 item"),
    ],
)
def test_what_is_no_list_is_help(fields: dict[str, object], flags: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        study.make(study.with_flags({"model": WORLD, **fields}, flags))


class TuningRequest(Exception):
    """What a fake raises, with what it was given."""


def raising(*given: object, **named: object) -> object:
    raise TuningRequest(given, named)


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (lambda: api.agreement("runs/x", judges="outcome"), "safebasin.landscape.agreement.agree"),
        (lambda: api.check_claims("peng2024", only="outcome"), "safebasin.claims.check.check"),
        (lambda: api.compare_studies("outcome", out="runs/x"), "safebasin.landscape.compare_studies.compare_studies"),
        (
            lambda: list(api.finetune_sweep(WORLD, sweep="outcome", out="runs/x", attack="benign")),
            "safebasin.finetune.sweep.sweep",
        ),
    ],
)
def test_each_list_of_a_verb_takes_one_string(call: Any, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, raising)
    with pytest.raises(TuningRequest) as asked:
        call()
    given, named = asked.value.args
    passed = [value for value in (*given, *named.values()) if isinstance(value, (tuple, list))]
    assert [list(map(str, value)) for value in passed] == [["outcome"]]


@pytest.mark.parametrize(
    "call",
    [
        lambda path: api.judge_study(path, "outcom"),
        lambda path: api.judge_file(path, "outcom"),
        lambda path: api.estimate_judging(path, "outcom"),
        lambda path: api.judging_cost(path, "outcom"),
        lambda path: audit(WORLD, WORLD, out=path / "audit", judges="outcom"),
    ],
)
def test_one_judge_is_looked_up_by_its_whole_name(call: Any, tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").touch()
    with pytest.raises(UsageError, match=r"got 'outcom'\. Did you mean 'outcome'\?"):
        call(tmp_path)


def test_one_accelerator_is_looked_up_by_its_whole_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got 'h10'"):
        api.plan_study(study.make({"model": WORLD}), out=tmp_path, accelerators="h10")


def test_the_lists_of_an_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safebasin.audit.run.as_shipped", raising)
    with pytest.raises(TuningRequest) as asked:
        audit(WORLD, WORLD, out=tmp_path / "audit", judges="keyword/zou2023", systems="none")
    named = asked.value.args[1]
    assert (named["systems"], named["judges"]) == (["none"], ["keyword/zou2023", "outcome", "oracle"])


def test_one_file_of_labels_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--agreement must be a file of labels; got 'labels\.csv'"):
        audit(WORLD, WORLD, out=tmp_path / "audit", agreement="labels.csv")


def test_one_defense_alone() -> None:
    (alone,) = request(WORLD, attack="benign", defenses="ptst").defenses
    (named,) = request(WORLD, attack="benign", defenses=["ptst"]).defenses
    assert alone == named
    assert request(WORLD, attack="benign", defenses=named).defenses == (named,)


def test_every_list_of_the_api_is_tried_here() -> None:
    """A parameter that may be a list is in the table above, or among these, which take no text as an item; one text for
    `tuned` is the folder of a fleet, `models` are several, the others are numbers.
    """
    tried = {
        "judges",
        "only",
        "accelerators",
        "folders",
        "sweep",
        "systems",
        "templates",
        "defenses",
        "agreement",
        "tuned",
        "tokens",
        "models",
        "size",
        "xlim",
        "ylim",
    }
    functions = [getattr(api, name) for name in api.__all__ if inspect.isfunction(getattr(api, name))]
    for function in (*functions, audit, request):
        for name, hint in hints_of(function).items():
            if name != "return" and may_be_a_list(hint):
                assert name in tried, f"{function.__name__}({name}=…)"


def hints_of(function: Any) -> Mapping[str, str]:
    return {name: str(hint) for name, hint in function.__annotations__.items()}


def may_be_a_list(hint: str) -> bool:
    return any(word in hint for word in ("Sequence[", "Iterable[", "list[", "tuple["))
