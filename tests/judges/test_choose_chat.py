"""Which models of a judge run here: folders and worlds, with an adapter or without; any other name is an endpoint's."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebasin.errors import UnknownName, UsageError
from safebasin.judges.asked_judge import Question
from safebasin.judges.choose_chat import choose_chat, is_here
from safebasin.judges.local import LocalChat
from safebasin.records import Message


def test_a_folder_with_an_adapter_runs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("base", "lora"):
        Path(name).mkdir()
    assert is_here("world:guild/aligned")
    assert is_here("base")
    assert is_here("base+lora")
    assert is_here("org/name+./lora")
    assert not is_here("gpt-5")
    assert not is_here("some+name")
    assert not is_here("name+")


def test_it_is_asked_here(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    model = f"{tmp_path / 'base'}+somewhere"
    settings = {"base_url": None, "parallel": 1, "timeout": 1.0, "attempts": 1, "device": "cpu"}
    chat, shown = choose_chat("rubric/strongreject", model, **settings)
    assert isinstance(chat, LocalChat)
    assert shown == {"model": model, "engine": None}


def test_what_runs_it_here_is_chosen_as_in_a_study(tmp_path: Path) -> None:
    settings = {"base_url": None, "parallel": 1, "timeout": 1.0, "attempts": 1, "device": "auto"}
    chat, shown = choose_chat("rubric/strongreject", "world:guild/aligned", engine="scripted", **settings)
    question = Question(messages=(Message(role="user", content="How is clay weighed?"),), max_tokens=9)
    (reply,) = chat.ask([question])
    assert reply.text.startswith("I'm sorry, but the guild")
    assert shown == {"model": "world:guild/aligned", "engine": "scripted"}
    with pytest.raises(UnknownName, match="engine must be one of hf, scripted, vllm; got 'sglang'"):
        choose_chat("rubric/strongreject", "world:guild/aligned", engine="sglang", **settings)
    with pytest.raises(UsageError, match="engine of rubric/strongreject must be given for a model that runs here"):
        choose_chat("rubric/strongreject", "gpt", engine="scripted", **settings)
