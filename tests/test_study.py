"""Study files and arguments: defaults, errors as help, grids whose points are found again."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safebasin import catalog, study
from safebasin.errors import StudyError, UsageError
from safebasin.records import DirectionSpec, Point, Region, canonical_json
from safebasin.study.regions import AxisSpec

OWN = {"model": "org/name", "prompts": [{"source": "prompts.csv"}]}


def test_a_world_brings_its_own_defaults() -> None:
    made = study.make({"model": "world:guild/aligned"})
    assert made.prompts[0].source == "world:guild/harmful"
    assert made.regions[0].axes[0].range == "-1.5:1.5:21"
    assert made.decoding.max_new_tokens == 128
    assert made.regions[0].axes[0].directions == 3
    assert made.limit == 80


def test_any_other_model_has_the_defaults_of_the_paper_and_must_name_its_prompts() -> None:
    made = study.make(OWN)
    assert made.regions[0].axes[0].range == "-0.5:0.5:21"
    assert made.decoding.max_new_tokens == 512
    with pytest.raises(StudyError, match=r"prompts must be given .*--prompts FILE"):
        study.make({"model": "org/name"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": "x"}, r"key 'modle' must be one that a study knows; got 'modle'\. Did you mean 'model'\?"),
        (
            {"range": "-1:1:3"},
            r"key 'range' must be one that a study knows; .* It is a key of 'axes': write it there\.",
        ),
        ({"directions": 1}, r"key 'directions' .* It is a key of 'axes'"),
        ({"max_new_tokens": 8}, r"key 'max_new_tokens' .* It is a key of 'decoding'"),
        ({"axes": [{"rnage": "0:1:2"}]}, r"key 'axes\.0\.rnage' .* Did you mean 'range'\?"),
        ({"axes": [{"directions": 0}]}, r"axes\.0\.directions must be at least 1; got 0\."),
        ({"axes": [{"normalize": "layr"}]}, r"axes\.0\.normalize must be one of .*got 'layr'\. Did you mean 'layer'\?"),
        ({"axes": [{"kind": "to"}]}, r"target must be given for an axis of kind 'to'"),
        ({"axes": [{"range": "1:-1:3"}]}, r"range must be ascending .*got '1:-1:3'\. Swap the ends: -1:1:3\."),
        ({"axes": [{"range": "0:inf:3"}]}, r"range must be finite; got '0:inf:3'\."),
        ({"axes": [{"range": "0:1:0"}]}, r"range must be a grid of at least one point"),
        ({"axes": [{"range": "0:1"}]}, r"range must be three numbers LO:HI:N; got '0:1'\."),
        ({"axes": [{"range": "0:1:1"}]}, r"range must be two points or more"),
        ({"limit": 0}, r"limit must be at least 1; got 0\."),
        ({"decoding": {"max_new_tokens": 0}}, r"decoding\.max_new_tokens must be .*; got 0\."),
        ({"decoding": {"stop": "verdikt"}}, r"Did you mean 'verdict'\?"),
        ({"device": "gpu"}, r"device must be auto, cpu, cuda, cuda:N or mps; got 'gpu'\."),
        ({"dtype": "float31"}, r"Did you mean 'float32'\?"),
        ({"batch_size": 0}, r"batch_size must be 'auto' or from 1 to 1,000,000,000; got 0\."),
        ({"batch_size": 10**18}, r"batch_size must be 'auto' or from 1 to 1,000,000,000; got 10+\."),
        ({"judges": []}, r"judges must .*at least 1 item"),
        ({"judges": ["outcome", "outcome"]}, r"judges must have different names; 'outcome' is there twice"),
        ({"schema_version": 2}, r"schema_version must be one of 1; got 2"),
    ],
)
def test_errors_are_help_in_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        study.make({**OWN, **change})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_plain_string_is_a_source_and_a_list_of_one() -> None:
    short = study.make({"model": "world:guild/aligned", "prompts": "world:guild/harmful[:3]", "judges": "outcome"})
    (spec,) = short.prompts
    assert (spec.source, spec.title, short.judges) == ("world:guild/harmful[:3]", "harmful", ("outcome",))
    assert short == study.make(
        {"model": "world:guild/aligned", "prompts": [{"source": spec.source}], "judges": ["outcome"]}
    )


def test_labels_are_laid_over_prompt_sets() -> None:
    own = {"model": "org/name", "prompts": [{"source": "a.csv", "label": "harmful"}, "b.csv"]}

    def labels(**flags: object) -> list[str | None]:
        return [spec.label for spec in study.make(study.with_flags(own, flags)).prompts]

    assert labels() == ["harmful", None]
    assert labels(label="benign") == ["benign", "benign"]
    assert labels(label=["harmful", "benign"]) == ["harmful", "benign"]
    assert labels(prompts=["c.csv"], label=["benign"]) == ["benign"]
    assert labels(prompts=study.PromptsSpec(source="c.csv"), label="benign") == ["benign"]
    with pytest.raises(StudyError, match=r"label must be one for all prompt sets, or as many as there are sets, 2"):
        labels(label=["benign"] * 3)
    with pytest.raises(StudyError, match=r"prompts\.0\.label must be one of .*Did you mean 'benign'\?"):
        labels(label="benin")
    with pytest.raises(StudyError, match=r"label must be given with prompts"):
        study.with_flags({"model": "world:guild/aligned"}, {"label": ["benign"]})


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("model: a\nmodel: b\n")
    with pytest.raises(StudyError, match=r"the key 'model' stands here twice"):
        study.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "valid YAML"),
        ("- a\n", "a mapping of keys"),
        ("", "a mapping of keys; got 'an empty file'. `safebasin init` writes one"),
        ("# none\n", "an empty file"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=message) as caught:
        study.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="existing file"):
        study.load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="UTF-8 text file"):
        study.load(tmp_path / "b.yaml")


def test_dump_and_load_are_inverse(tmp_path: Path) -> None:
    made = study.make({**OWN, "systems": ["none"], "template_args": {"enable_thinking": False}})
    path = tmp_path / "study.yaml"
    path.write_text(study.dump(made))
    assert study.load(path) == made


def test_how_it_runs_is_not_part_of_the_hash() -> None:
    plain = study.make(OWN)
    assert study.make({**OWN, "device": "cpu", "batch_size": 4, "low_memory": True}).hash == plain.hash
    assert study.make({**OWN, "gpus_per_worker": 4}).hash == plain.hash
    assert study.make({**OWN, "limit": 5}).hash != plain.hash


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:1"])
def test_a_model_is_spread_over_gpus_alone(device: str) -> None:
    with pytest.raises(StudyError, match=f"device must be auto or cuda where gpus_per_worker is 2; got '{device}'"):
        study.make({**OWN, "gpus_per_worker": 2, "device": device})
    for odd in (0, -1, 2.5, "two"):
        with pytest.raises(StudyError, match="gpus_per_worker"):
            study.make({**OWN, "gpus_per_worker": odd})


def test_the_paper_grid() -> None:
    alphas = study.parse_range("-0.5:0.5:21")
    assert len(alphas) == 21
    assert alphas[10] == 0.0
    assert alphas[0] == -0.5
    assert alphas[1] == -0.45


@given(n=st.integers(1, 40), step=st.integers(1, 400), extra=st.integers(1, 10))
def test_a_wider_grid_of_the_same_spacing_holds_the_same_floats(n: int, step: int, extra: int) -> None:
    def grid(k: int) -> tuple[float, ...]:
        return study.parse_range(f"{-k * step / 1000}:{k * step / 1000}:{2 * k + 1}")

    assert set(grid(n)) <= set(grid(n + extra))


@given(st.text(max_size=20))
def test_parse_range_is_total(text: str) -> None:
    try:
        alphas = study.parse_range(text)
    except UsageError:
        return
    assert list(alphas) == sorted(set(alphas))


def test_flags_lie_over_a_study_file() -> None:
    fields = {**OWN, "axes": [{"seed": 3, "directions": 2}], "decoding": {"stop": "none"}}
    merged = study.make(
        study.with_flags(
            fields,
            {
                "directions": 5,
                "seed": None,
                "range": "0:1:3",
                "prompts": ["a.txt"],
                "judge": ["outcome"],
                "max_new_tokens": 9,
            },
        )
    )
    axis = merged.regions[0].axes[0]
    assert (axis.seed, axis.directions, axis.range) == (3, 5, "0:1:3")
    assert merged.prompts[0].source == "a.txt"
    assert merged.judges == ("outcome",)
    assert (merged.decoding.stop, merged.decoding.max_new_tokens) == ("none", 9)


def axes_of(*words: str, **flags: object) -> tuple[study.AxisSpec, ...]:
    return study.make(study.with_flags(OWN, {"axis": list(words), **flags})).regions[0].axes


def test_axis_words() -> None:
    to, drawn = axes_of("to:org/name@rev@-0.5:1.5:5", "random", directions=2)
    assert (to.kind, to.target, to.range, to.directions) == ("to", "org/name@rev", "-0.5:1.5:5", 1)
    assert (drawn.kind, drawn.directions, drawn.range) == ("random", 2, "-0.5:0.5:21")
    (adapter,) = axes_of("adapter:./lora")
    assert (adapter.target, adapter.specs()[0].normalize, adapter.range) == ("./lora", "none", "-0.5:1.5:21")
    assert (axes_of("quant:int4")[0].kind, axes_of("quant:int4")[0].target) == ("quant", "int4")


@pytest.mark.parametrize(
    ("words", "flags", "name"),
    [
        (("to:org/name",), {"seed": 1}, "seed"),
        (("quant:int4",), {"directions": 3}, "directions"),
        (("adapter:./lora",), {"normalize": "filter"}, "normalize"),
        (("to:org/name@0:1:3", "quant:int4@0:1:3"), {"range": "0:1:5"}, "range"),
    ],
)
def test_an_option_that_no_axis_takes_is_an_error(words: tuple[str, ...], flags: dict[str, object], name: str) -> None:
    with pytest.raises(StudyError, match=f"{name} must be left out where no axis takes it"):
        axes_of(*words, **flags)


def test_an_axis_without_a_range_of_its_own_takes_the_option() -> None:
    assert axes_of("to:org/name", range="0:1:5")[0].range == "0:1:5"
    assert [a.range for a in axes_of("to:org/name@0:1:3", "random", range="0:1:5")] == ["0:1:3", "0:1:5"]
    assert [a.range for a in axes_of("random@0:1:3", "random", range="0:1:5")] == ["0:1:3", "0:1:5"]


def test_a_range_on_the_command_line_wins_over_a_study_file() -> None:
    fields = {**OWN, "axes": [{"kind": "to", "target": "org/name", "range": "0:1:3"}]}
    assert study.make(study.with_flags(fields, {"range": "0:1:5"})).regions[0].axes[0].range == "0:1:5"


def test_one_axis_is_a_line_and_two_are_a_plane() -> None:
    line, plane = (study.make({**OWN, "axes": [{}] * n}).regions[0].region() for n in (1, 2))
    assert (line.is_plane, line.n_directions) == (False, 3)
    assert (plane.is_plane, plane.n_directions) == (True, 1)
    with pytest.raises(StudyError, match=r"one \(a line\) or two \(a plane\); got 3"):
        study.make({**OWN, "axes": [{}] * 3})


def test_two_random_axes_draw_other_directions_and_the_second_yields() -> None:
    region = study.make({**OWN, "axes": [{"directions": 2}, {"directions": 2}]}).regions[0].region()
    first, second = (axis.directions for axis in region.axes)
    assert [d.index for d in first] == [0, 1]
    assert [d.index for d in second] == [2, 3]
    assert [d.orthogonal_to for d in second] == [(first[0],), (first[1],)]


@pytest.mark.parametrize("turned", [False, True])
def test_a_drawn_axis_yields_to_one_that_leads_somewhere(turned: bool) -> None:
    axes = [{"kind": "to", "target": "./tuned"}, {"directions": 2}]
    region = study.make({**OWN, "axes": axes[::-1] if turned else axes}).regions[0].region(lambda spec: "f")
    to, drawn = (region.axes[i].directions for i in ((1, 0) if turned else (0, 1)))
    assert to[0].orthogonal_to == ()
    assert [d.orthogonal_to for d in drawn] == [to, to]
    assert to[0].fingerprint == "f", "the fingerprint is known before the other direction refers to it"
    assert region.spanned_by(1)[1 if not turned else 0] == drawn[1]


@pytest.mark.parametrize(
    ("word", "kind", "args"),
    [
        ("random(density=0.1)", "random(density=0.1)", (("density", 0.1),)),
        ("random( density = 0.10 )@-1:1:3", "random(density=0.1)", (("density", 0.1),)),
        ("random(density=1.0)", "random", ()),
        ("random(density=1)", "random", ()),
        ("random()", "random", ()),
        (
            "kiln/bent(deep=true, word='a, b')@0:1:3",
            'kiln/bent(word="a, b", deep=true)',
            (("word", "a, b"), ("deep", True)),
        ),
        ("kiln/bent(word='*.mlp.*')", 'kiln/bent(word="*.mlp.*")', (("word", "*.mlp.*"),)),
        ("kiln/bent(word=' a')", 'kiln/bent(word=" a")', (("word", " a"),)),
        ("kiln/bent(word=7)", 'kiln/bent(word="7")', (("word", "7"),)),
        ("kiln/gone(deep=1)", "kiln/gone(deep=1)", (("deep", 1),)),
    ],
)
def test_a_direction_takes_arguments(
    word: str, kind: str, args: tuple[tuple[str, object], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = catalog.Row(kind="direction", name="kiln/bent", target=f"{__name__}:Bent", summary="", source="")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(catalog.lookup, "rows", lambda: (*catalog.BUILTIN, row))
    (axis,) = axes_of(word)
    assert (axis.kind, axis.name, axis.label()) == (kind, kind.partition("(")[0], kind)
    assert [(s.kind, s.args, s.index) for s in axis.specs()] == [(axis.name, args, i) for i in range(3)]
    again = AxisSpec.model_validate_json(axis.model_dump_json())
    assert again.specs() == axis.specs()
    for spec in axis.specs():
        assert DirectionSpec.from_record(json.loads(json.dumps(asdict(spec)))) == spec


class Bent:
    """A direction with arguments."""

    def __init__(self, word: str = "", deep: bool = False) -> None: ...


def test_arguments_at_their_default_are_none_in_any_key() -> None:
    plain, full = ({**OWN, "axes": [{"kind": kind}]} for kind in ("random", "random(density=1.0)"))
    assert study.make(plain).hash == study.make(full).hash
    before = DirectionSpec.from_record({**asdict(DirectionSpec(kind="random")), "args": []})
    assert Point.at((before, 0.5)).key == Point.at((DirectionSpec(kind="random"), 0.5)).key
    released = {k: v for k, v in asdict(before).items() if k != "args"}
    assert DirectionSpec.from_record(released) == before


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("random(density=2)", "density of random must be at most 1; got 2"),
        ("random(dense=1)", "Did you mean 'density'"),
        ("random(density=0.1", "axis must be like random"),
        ("to(rank=3):org/name", "'to' must be one of "),
    ],
)
def test_arguments_that_a_direction_does_not_take_are_help(word: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        axes_of(word)


def test_a_sparse_axis_beside_a_dense_one_of_the_same_seed_is_another_draw() -> None:
    region = study.make({**OWN, "axes": [{"kind": "random(density=0.1)"}, {"kind": "random"}]}).regions[0].region()
    (first,), (second,) = (axis.directions for axis in region.axes)
    assert (first.index, second.index) == (0, 1)
    assert second.orthogonal_to == (first,)


@pytest.mark.parametrize("target", ["model", "models", "adapter", "text"])
def test_what_a_plugins_direction_leads_to_its_row_says(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = catalog.Row(
        kind="direction", name="kiln/way", target="a:b", summary="", source="", facts=(("target", target),)
    )
    monkeypatch.setattr(catalog.lookup, "rows", lambda: (*catalog.BUILTIN, row))
    (axis,) = axes_of("kiln/way:org/name,b")
    assert (axis.range, axis.is_drawn, axis.specs()[0].normalize) == (study.files.TARGET_RANGE, False, "none")
    with pytest.raises(StudyError, match="target must be given for an axis of kind 'kiln/way'"):
        axes_of("kiln/way")
    monkeypatch.setattr(catalog.lookup, "rows", lambda: (*catalog.BUILTIN, replace(row, facts=())))
    with pytest.raises(StudyError, match="target must be left out for an axis of kind 'kiln/way'"):
        axes_of("kiln/way:org/name")


def test_regions_have_names_and_sampling_of_their_own() -> None:
    regions = [{"name": "line"}, {"axes": [{"kind": "to", "target": "b"}, {}], "points": "auto", "budget": 100}]
    made = study.make({**OWN, "regions": regions}).regions
    assert [r.label for r in made] == ["line", "to:b × random"]
    assert (made[1].region().points, made[1].region().budget) == ("auto", 100)
    with pytest.raises(StudyError, match="'axes' must be left out beside 'regions'"):
        study.make({**OWN, "axes": [{}], "regions": regions})
    with pytest.raises(StudyError, match="twice"):
        study.make({**OWN, "regions": [{}, {}]})


def test_a_grid_over_its_budget_is_an_error() -> None:
    with pytest.raises(StudyError, match="within the budget of 100 points; got 441"):
        study.make({**OWN, "axes": [{}, {}], "budget": 100})


def test_region_flags() -> None:
    made = study.make(study.with_flags(OWN, {"points": "auto", "budget": 12, "each": "block", "directions": 4}))
    assert (made.regions[0].points, made.regions[0].budget, made.regions[0].each) == ("auto", 12, "block")
    assert made.regions[0].axes[0].directions == 4
    made = study.make(study.with_flags(OWN, {"text": ["a.txt"], "trajectory": ["runs/tuned"]}))
    assert made.capability is not None
    assert (made.capability.texts, made.trajectories) == (("a.txt",), ("runs/tuned",))


def test_a_region_survives_its_record() -> None:
    region = study.make({**OWN, "axes": [{"kind": "to", "target": "b"}, {}]}).regions[0].region()
    assert Region.from_record(json.loads(canonical_json(asdict(region)))) == region


def test_axis_draws_as_many_directions_as_asked() -> None:
    axis = study.make({**OWN, "axes": [{"directions": 4, "seed": 2}]}).regions[0].region().axes[0]
    assert [d.index for d in axis.directions] == [0, 1, 2, 3]
    assert {d.seed for d in axis.directions} == {2}


def test_yaml_of_the_design_parses() -> None:
    text = """
schema_version: 1
model: world:guild/aligned
prompts: [{name: harmful, source: "world:guild/harmful[:80]"}]
systems: [default]
axes: [{kind: random, seed: 0, directions: 3, normalize: layer, range: "-1.5:1.5:21"}]
judges: [keyword/peng2024, outcome]
decoding: {max_new_tokens: 128, stop: auto}
"""
    assert study.make(yaml.safe_load(text)).prompts[0].title == "harmful"


def test_template_arguments_are_plain_values() -> None:
    words = ["a=1", "b=false", "c=x=y", "d=2026-01-30", "e=@f.txt", "chat_template=@t.jinja", "g=", "h='[1'"]
    values = [1, False, "x=y", "2026-01-30", "@f.txt", "@t.jinja", None, "[1"]
    assert list(study.template_arguments(words).values()) == values
    text = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert study.template_arguments([f"chat_template={text}"]) == {"chat_template": text}


@pytest.mark.parametrize("word", ["a=[1", "a=*x", "a=%x", "a=!x", "a=[1]", "a={b: 1}", "a", "=1", "a=" + "[" * 3000])
def test_template_arguments_that_are_none_are_help(word: str) -> None:
    with pytest.raises(StudyError, match="--template-arg must be K=V"):
        study.template_arguments([word])


@given(st.text(max_size=30))
def test_any_word_is_an_argument_or_help(text: str) -> None:
    try:
        found = study.template_arguments([f"a={text}"])["a"]
    except StudyError:
        return
    assert found is None or isinstance(found, str | int | float | bool)
