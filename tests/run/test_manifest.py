"""What the manifest says of the prompts of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from safebasin import study
from safebasin.engines.scripted import ScriptedEngine
from safebasin.prompts.sources import facts
from safebasin.records import Message, Prompt, content_hash
from safebasin.run.execute import measure
from safebasin.run.manifest import read_manifest


def manifest_of(folder: Path, texts: list[str]) -> Mapping[str, Mapping[str, object]]:
    """Prompt sets in the manifest of a small study of these prompts."""
    folder.mkdir()
    file = folder / "bells.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    made = study.make(
        {"model": "world:guild/aligned", "prompts": [{"source": str(file)}], "axes": [{"range": "-1:1:3"}]}
    )
    found = read_manifest(measure(made, folder / "study", engine=ScriptedEngine()))["prompt_sets"]
    return cast("Mapping[str, Mapping[str, object]]", found)


def test_prompt_sets_are_kept_with_number_and_hash(tmp_path: Path) -> None:
    texts = ["Ring the bell", "Weigh the bell"]
    (one,) = manifest_of(tmp_path / "one", texts).values()
    (again,) = manifest_of(tmp_path / "again", texts).values()
    (fewer,) = manifest_of(tmp_path / "fewer", texts[:1]).values()
    ids = [Prompt(messages=(Message(role="user", content=text),)).id for text in texts]
    assert one["hash"] == again["hash"] == content_hash(ids)
    assert one["hash"] != fewer["hash"]
    assert (one["n"], fewer["n"]) == (2, 1)


def test_tables_of_an_earlier_study_are_kept_in_its_history(tmp_path: Path) -> None:
    """Else they stand beside rows that they are not of, and `verify --recompute` calls them damaged."""
    fields = {"model": "world:guild/aligned", "limit": 2}
    first, other = (study.make({**fields, "axes": [{"range": f"-1:1:{n}"}]}) for n in (3, 5))
    folder = measure(first, tmp_path / "study", engine=ScriptedEngine())
    (folder / "models.json").write_text("{}")
    (folder / "models.html").write_text("<p>")
    measure(first, folder, engine=ScriptedEngine())
    assert (folder / "models.json").exists()
    measure(other, folder, engine=ScriptedEngine())
    assert not (folder / "models.json").exists()
    assert not (folder / "models.html").exists()
    assert (folder / "history" / "001-models.json").read_text() == "{}"
    assert (folder / "history" / "001-models.html").read_text() == "<p>"


def test_a_public_set_brings_what_the_catalogue_says() -> None:
    known = facts("harmbench[:10]")
    assert known["hub"] == "walledai/HarmBench (standard)"
    assert known["licence"] == "MIT"
    assert facts("world:guild/harmful") == facts("bells.csv") == {}
