"""The one table of fine-tuning's options: each is read, each setting is in it, and the command line has them all."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, cast, get_type_hints

import pytest
import typer.main

from safebasin import api
from safebasin.cli import app, main
from safebasin.errors import UsageError
from safebasin.finetune.options import TuningFlags
from safebasin.finetune.request import request
from safebasin.finetune.settings import Tuning
from safebasin.study.options import Option

HINTS = get_type_hints(TuningFlags, include_extras=True)
OPTIONS = {name: extra for name, hint in HINTS.items() for extra in getattr(hint, "__metadata__", ())}


def test_every_setting_is_an_option_and_of_the_same_type() -> None:
    assert {field.name for field in fields(Tuning)} <= set(HINTS)
    settings = get_type_hints(Tuning)
    plain = get_type_hints(TuningFlags)
    assert {name: plain[name] for name in settings} == {name: hint | None for name, hint in settings.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_the_command_line_has_it(name: str) -> None:
    option: Option = OPTIONS[name]
    verb = typer.main.get_command(app).commands["finetune"]  # type: ignore[attr-defined]
    flags = {flag: p for p in verb.params for flag in p.opts}
    for flag in option.flags or ("--" + name.replace("_", "-"),):
        assert flags[flag].name == name
        assert flags[flag].help == option.help


def test_the_command_line_hands_each_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, Any] = {}

    def estimate(model: str, **flags: object) -> dict[str, object]:
        given.update(flags)
        raise UsageError("enough")

    monkeypatch.setattr(api, "estimate_moderation", estimate)
    values: dict[str, Any] = {
        "attack": "benign", "data": "d.jsonl", "eval": "e.jsonl", "safe": "s.jsonl",
        "system": "Brief.", "wrap": "{prompt}!",
        "method": "lora", "learning_rate": 1e-4, "epochs": 2, "batch_size": 3, "micro_batch": 1, "rank": 4,
        "alpha": 8.0, "targets": "q_proj,v_proj",
        "max_length": 99, "over_long": "keep", "dtype": "float32", "seed": 5, "moderate": "oracle", "mix_safe": "20%",
        "keep_flagged": True, "ptst": True, "defenses": ["sppft(layers=1)"], "template_args": {"a": 1},
    }  # fmt: skip
    assert set(values) == set(OPTIONS), "every option is tried"
    words = ["finetune", "world:guild/aligned", "-o", str(tmp_path / "out")]
    for name, value in values.items():
        flag = (OPTIONS[name].flags or ("--" + name.replace("_", "-"),))[0]
        text = "a=1" if name == "template_args" else value[0] if isinstance(value, list) else str(value)
        words += [flag] if value is True else [flag, text]
    with pytest.raises(SystemExit, match=r"^2$"):
        main(words)
    assert given == values


def test_targets_are_several_names() -> None:
    asked = request("world:guild/aligned", attack="benign", method="lora", targets="q_proj, v_proj", alpha=8)
    assert dict(asked.settings)["targets"] == ("q_proj", "v_proj")
    for name, value in (("alpha", 8), ("targets", "q_proj")):
        with pytest.raises(UsageError, match=f"--{name} must be given with --method lora"):
            request("world:guild/aligned", attack="benign", **{name: value})


def test_what_is_read_gets_into_the_request() -> None:
    asked = request(
        "world:guild/aligned", attack="benign(n=5)", data="d", safe="s", system="Brief.", wrap="{prompt}!", ptst=True,
        mix_safe=3, moderate="oracle", keep_flagged=True, defenses="sppft(layers=1)", template_args={"b": 1, "a": 2},
        learning_rate=1e-3, schedule="linear",
    )  # fmt: skip
    assert [d.name for d in asked.defenses] == [
        "moderate(judge=oracle, keep=true)", "mix_safe(amount=3)", "ptst(test=safety/long, train=default)",
        "sppft(layers=1-1)",
    ]  # fmt: skip
    assert (asked.data, asked.safe, asked.wrapper.user) == (Path("d"), Path("s"), "{prompt}!")
    assert dict(asked.settings) == {"learning_rate": 1e-3, "schedule": "linear"}
    assert asked.template_args == (("a", 2), ("b", 1))


def test_an_option_that_is_not_known_is_help() -> None:
    with pytest.raises(UsageError, match=r"option of fine-tuning must be one of .*Did you mean 'learning_rate'\?"):
        cast("Any", request)("world:guild/aligned", attack="benign", learning_rates=1)
