"""The catalogue: lookup with "did you mean", calls that parse, rows that resolve."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import Field

from safebasin import catalog
from safebasin.errors import SafebasinError, UnknownName, UsageError
from safebasin.protocols import EngineSpec


def test_every_row_resolves_and_says_what_and_whence() -> None:
    for row in catalog.rows():
        assert row.resolve() is not None
        assert row.summary.endswith(".")
        assert "\n" not in row.summary
        assert row.source


def test_every_judge_says_what_it_measures() -> None:
    for row in catalog.of_kind("judge"):
        assert row.fact("measures") in ("refusal", "outcome", "harm", "truth")
    assert catalog.measures("outcome(harm=oracle)") == "outcome"
    assert catalog.measures("refusal") == catalog.measures("keyword/zou2023") == "refusal"
    assert catalog.measures("a plugin's that is gone") is catalog.measures("no call(") is None
    judges = [row.name for row in catalog.of_kind("judge")]
    assert [*filter(catalog.is_keyword, judges)] == ["keyword/peng2024", "keyword/qi2023", "keyword/zou2023"]
    assert [*filter(catalog.is_exact, judges)] == ["oracle", "oracle/pcfg"]


def test_did_you_mean() -> None:
    with pytest.raises(UnknownName, match=r"got 'keyword/peng2023'\. Did you mean 'keyword/peng2024'\?"):
        catalog.get("judge", "keyword/peng2023")
    with pytest.raises(UnknownName, match=r"kind must be one of .*Did you mean 'judge'\?"):
        catalog.of_kind("juge")
    with pytest.raises(UnknownName, match=r"See: safebasin list judge\."):
        catalog.get("judge", "zzzzzz")


@pytest.mark.parametrize("kind", catalog.kinds())
def test_a_kind_is_known_in_the_singular_and_the_plural(kind: str) -> None:
    one = kind.removesuffix("s")
    assert catalog.of_kind(one) == catalog.of_kind(one + "s") == catalog.of_kind(kind) != ()
    name = catalog.of_kind(kind)[0].name
    assert catalog.get(one, name) == catalog.get(one + "s", name)


def test_plugins_are_what_other_packages_provide(monkeypatch: pytest.MonkeyPatch) -> None:
    own = catalog.Row(kind="judge", name="kiln/warm", target="a:b", summary="Warm.", source="kiln")
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: (*catalog.BUILTIN, own))
    assert catalog.of_kind("plugin") == catalog.of_kind("plugins") == (own,)
    assert catalog.get("plugin", "kiln/warm") == own
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: catalog.BUILTIN)
    assert catalog.of_kind("plugin") == ()
    with pytest.raises(UnknownName, match=r"plugin must be one that is installed; got 'kiln/warm'\. No package"):
        catalog.get("plugin", "kiln/warm")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("outcome", "outcome", {}),
        ("outcome()", "outcome", {}),
        ("outcome(threshold=1.5)", "outcome", {"threshold": 1.5}),
        (" outcome( harm=oracle , threshold = 2 ) ", "outcome", {"harm": "oracle", "threshold": 2}),
    ],
)
def test_calls_parse(text: str, name: str, arguments: dict[str, object]) -> None:
    assert catalog.parse_call(text) == (name, arguments)


@pytest.mark.parametrize("text", ["", "outcome(", "outcome(1)", "a b", "outcome(=1)"])
def test_broken_calls_are_named(text: str) -> None:
    with pytest.raises(UnknownName, match="must be"):
        catalog.parse_call(text)


def test_an_argument_that_is_not_taken_is_named() -> None:
    with pytest.raises(UnknownName, match=r"argument of judge 'outcome' must be one of .*Did you mean 'threshold'\?"):
        catalog.create("judge", "outcome(treshold=1)")


def test_what_a_call_says_is_read_again() -> None:
    shown = {"n": 3, "share": 0.25, "strict": True, "left": None, "text": "vel"}
    written = catalog.write_call("kiln/warm", shown)
    assert written == "kiln/warm(n=3, share=0.25, strict=true, text=vel)"
    assert catalog.parse_call(written) == ("kiln/warm", {k: v for k, v in shown.items() if v is not None})
    assert catalog.write_call("kiln/warm", {"left": None}) == "kiln/warm"


@pytest.mark.parametrize(
    ("kind", "call", "name"),
    [
        ("judge", "outcome(threshold=2)", "outcome(threshold=2)"),
        ("judge", "outcome(harm=oracle, threshold=0.1234567)", "outcome(threshold=0.123457, harm=oracle)"),
        ("judge", "guard/qwen3guard(controversial=safe, device=cpu)", "guard/qwen3guard"),
        ("judge", "guard/qwen3guard(controversial=unsafe, model=x)", "guard/qwen3guard(model=x, controversial=unsafe)"),
        ("judge", "guard/shieldgemma(guidelines=hate)", "guard/shieldgemma(guidelines=hate)"),
        ("judge", "guard/harmbench(engine=scripted)", "guard/harmbench(engine=scripted)"),
        ("attack", "harmful_examples", "harmful_examples(n=10)"),
        ("attack", "benign", "benign"),
        ("attack", "backdoor(n=3, safe=4, trigger=vel or tas)", "backdoor(n=3, safe=4, trigger=vel or tas)"),
        ("attack", "backdoor(trigger=7)", "backdoor(n=100, safe=100, trigger=7)"),
        ("defense", "mix_safe(amount=20%)", "mix_safe(amount=0.2)"),
        ("defense", "moderate(judge=oracle, keep=false)", "moderate(judge=oracle)"),
        ("defense", "moderate(keep=true, judge=oracle)", "moderate(judge=oracle, keep=true)"),
        ("defense", "ptst", "ptst(test=safety/long, train=default)"),
        ("defense", "sppft(layers=6)", "sppft(layers=6-6)"),
    ],
)
def test_names_under_which_verdicts_and_runs_are_stored_stand(kind: str, call: str, name: str) -> None:
    assert cast("Any", catalog.create(kind, call)).name == name


class Warm:
    """Of every type that an argument can have."""

    def __init__(
        self, n: Annotated[int, Field(ge=1, le=9)] = 1, share: float = 0.5, word: str = "", strict: bool = False,
        mode: Literal["slow", "fast"] = "slow", at: int | str | None = None, loose=None,
    ) -> None:  # fmt: skip
        self.given = (n, share, word, strict, mode, at, loose)


WARM = catalog.Row(kind="judge", name="kiln/warm", target=f"{__name__}:Warm", summary="Warm.", source="kiln")


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: (*catalog.BUILTIN, WARM))


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("kiln/warm", (1, 0.5, "", False, "slow", None, None)),
        (
            "kiln/warm(n=9, share=1, word=7, strict=true, mode=fast, at=x, loose=y)",
            (9, 1.0, "7", True, "fast", "x", "y"),
        ),
        ("kiln/warm(word=true, at=3, loose=3)", (1, 0.5, "true", False, "slow", 3, 3)),
        ("kiln/warm(word=1.50, at=null)", (1, 0.5, "1.50", False, "slow", None, None)),
    ],
)
def test_arguments_have_the_types_that_the_factory_declares(call: str, given: tuple[object, ...]) -> None:
    assert cast("Any", catalog.create("judge", call)).given == given


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("n=many", "n of kiln/warm must be a whole number; got 'many'. Mend it."),
        ("n=true", "n of kiln/warm must be a whole number; got True. Mend it."),
        ("n=1.5", "n of kiln/warm must be a whole number; got 1.5. Mend it."),
        ("n=0", "n of kiln/warm must be at least 1; got 0. Mend it."),
        ("n=10", "n of kiln/warm must be at most 9; got 10. Mend it."),
        ("share=half", "share of kiln/warm must be a number; got 'half'. Mend it."),
        ("strict=1", "strict of kiln/warm must be true or false; got 1. Mend it."),
        ("mode=warm", "mode of kiln/warm must be 'slow' or 'fast'; got 'warm'. Mend it."),
    ],
)
def test_an_argument_of_another_type_is_help(argument: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.create("judge", f"kiln/warm({argument})")
    assert str(caught.value) == words


def test_what_the_types_of_our_own_say_is_checked() -> None:
    with pytest.raises(UsageError, match=r"variant of sppft must be 'paper' or 'as_coded'; got 'other'"):
        catalog.create("defense", "sppft(layers=1, variant=other)")
    with pytest.raises(UsageError, match=r"threshold of outcome must be a number; got 'high'"):
        catalog.create("judge", "outcome(threshold=high)")


def test_types_that_only_a_type_checker_can_look_up_are_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Warm.__init__, "__annotations__", {"n": "Absent"})
    assert cast("Any", catalog.make(WARM, {"n": "many"})).given[0] == "many"


def test_an_engine_may_have_arguments_of_its_own() -> None:
    assert catalog.engine_row("hf").name == "hf"
    assert catalog.engine_row("vllm(adapters=unmerged)") is catalog.get("engine", "vllm")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("sglang", UnknownName, r"engine must be one of hf, scripted, vllm; got 'sglang'"),
        ("vllm(adapters=apart)", UsageError, r"adapters of vllm must be .*'merged'.*got 'apart'"),
        ("vllm(adaptors=merged)", UnknownName, r"argument of engine 'vllm' must be one of .*adapters.*got 'adaptors'"),
        ("hf(device=cpu)", UsageError, r"argument of the engine 'hf' must be its own; got 'device'\. Give device as"),
        ("vllm(adapters", UnknownName, r"Mend the parentheses"),
    ],
)
def test_an_engine_with_wrong_arguments_is_help(text: str, error: type[SafebasinError], words: str) -> None:
    with pytest.raises(error, match=words):
        catalog.engine_row(text)
    with pytest.raises(error, match=words):
        catalog.open_engine(EngineSpec(engine=text, model="world:guild/aligned"))


def counted(model: str, *, device: str = "auto", n: int = 1) -> tuple[str, str, int]:
    """An engine, for what it is told."""
    return model, device, n


def test_arguments_of_its_own_reach_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    row = catalog.Row(kind="engine", name="counted", target=f"{__name__}:counted", summary="s", source="x")
    monkeypatch.setattr("safebasin.catalog.lookup.rows", lambda: (*catalog.BUILTIN, row))
    opened: object = catalog.open_engine(EngineSpec(engine="counted(n=3)", model="somewhere", device="cpu"))
    assert opened == ("somewhere", "cpu", 3)


def test_a_ready_instance_takes_no_arguments() -> None:
    row = replace(WARM, kind="direction", target=f"{__name__}:WARM")
    assert catalog.make(row, {}) is WARM
    with pytest.raises(UnknownName, match="must be named alone"):
        catalog.make(row, {"n": 1})


def test_a_broken_target_says_what_to_do() -> None:
    row = catalog.Row(kind="judge", name="lost", target="nowhere:thing", summary="None.", source="a test")
    with pytest.raises(UnknownName, match="Install or mend the package"):
        row.resolve()


@pytest.mark.parametrize("name", ["safe_lora", "scans", "somebody/else"])
def test_the_stage_of_a_defense_is_known_before_it_is_made(name: str) -> None:
    if "/" in name:
        with pytest.raises(UnknownName):
            catalog.declared_stage(name)
    else:
        assert catalog.declared_stage(f"{name}(strength=2)") == {"scans": "inference"}.get(name, "post_finetuning")


def test_a_defense_of_another_stage_is_told_so_before_it_is_asked_for_what_it_needs(tmp_path: Path) -> None:
    from safebasin.edits.defended import defend
    from safebasin.finetune.request import request
    from safebasin.models.reference import resolve
    from safebasin.study.defenses import keys_of

    with pytest.raises(UsageError, match=r"works on rows, training or weights; got 'scans of the stage inference'"):
        request("org/model", attack="benign", defenses=["scans"])
    with pytest.raises(UsageError, match=r"one of the stage inference; got 'safe_lora of the stage post_finetuning'"):
        keys_of(["safe_lora"])
    with pytest.raises(UsageError, match=r"works on weights \(post_finetuning\); got 'scans of the stage inference'"):
        defend("nowhere", resolve("world:guild/aligned"), ["scans"], tmp_path / "out")
