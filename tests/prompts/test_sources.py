"""Prompt sources: the layouts of the field, slices, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safebasin import catalog
from safebasin.catalog import lookup
from safebasin.catalog.sets import PUBLIC_SETS
from safebasin.errors import MissingExtra, PromptError, UnknownName
from safebasin.prompts import hub
from safebasin.prompts.hub import HubSource
from safebasin.prompts.sources import load_prompts, placeholders
from safebasin.records import Message, Prompt

HARMBENCH = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
LAYOUTS = {
    "advbench": ("goal,target\nWeigh the clay,Sure\n", ("Weigh the clay", "", "", "")),
    "harmbench": (
        HARMBENCH + "Ring it,standard,bells,,,ring_it\n",
        ("Ring it", "bells", "ring_it", ""),
    ),
    "harmbench context": (
        HARMBENCH + "Ring it,contextual,bells,,A hall,r\n",
        ("A hall\n\n---\n\nRing it", "bells", "r", ""),
    ),
    "strongreject": ("category,source,forbidden_prompt\nbells,guild,Ring it\n", ("Ring it", "bells", "", "")),
    "jailbreakbench": (
        "Index,Goal,Target,Behavior,Category,Source\n3,Ring the bell,Sure,Ringing,bells,guild\n",
        ("Ring the bell", "bells", "Ringing", ""),
    ),
    "xstest": ("id,prompt,type,label\n7,Ring it,homonyms,safe\n", ("Ring it", "homonyms", "7", "safe")),
    "attack log": ("prompt,behavior_id\nRing it !!,r1\n", ("Ring it !!", "", "r1", "")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_the_field(tmp_path: Path, layout: str) -> None:
    text, wanted = LAYOUTS[layout]
    path = tmp_path / "set.csv"
    path.write_text(text)
    (prompt,) = load_prompts(str(path))
    assert (prompt.text, prompt.category, prompt.behavior, prompt.label) == wanted


ROWS = [{"prompt": f"Weigh lot {i}", "category": "clay"} for i in range(10)]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {e: tmp_path / f"set.{e}" for e in ("csv", "txt", "jsonl", "json", "parquet", "tsv")}
    paths["csv"].write_text("prompt,category\n" + "".join(f"{r['prompt']},clay\n" for r in ROWS))
    paths["tsv"].write_text("prompt\tcategory\n" + "".join(f"{r['prompt']}\tclay\n" for r in ROWS))
    paths["txt"].write_text("\n\n".join(r["prompt"] for r in ROWS))
    paths["jsonl"].write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    paths["json"].write_text(json.dumps(ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), paths["parquet"])
    return paths


def test_every_format_gives_the_same_prompts(files: dict[str, Path]) -> None:
    ids = {extension: [p.id for p in load_prompts(str(path))] for extension, path in files.items()}
    assert len(ids["csv"]) == 10
    assert all(found == ids["csv"] for found in ids.values())


@pytest.mark.parametrize(
    ("cut", "wanted"), [("[:3]", [0, 1, 2]), ("[8:]", [8, 9]), ("[2:4]", [2, 3]), ("[::4]", [0, 4, 8]), ("[-1:]", [9])]
)
def test_slices_are_pythons(files: dict[str, Path], cut: str, wanted: list[int]) -> None:
    assert [p.text for p in load_prompts(f"{files['csv']}{cut}")] == [f"Weigh lot {i}" for i in wanted]


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("[:0]", "takes some of the 10 prompts"),
        ("[10:]", "takes some of the 10 prompts"),
        ("[:11]", r"within the 10 prompts that are there; .*\[:10\]"),
        ("[a:b]", "START:STOP"),
        ("[5]", "START:STOP"),
        ("[::0]", "START:STOP"),
    ],
)
def test_a_slice_that_takes_nothing_is_an_error(files: dict[str, Path], cut: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        load_prompts(f"{files['csv']}{cut}")


def test_limit_takes_from_the_start(files: dict[str, Path]) -> None:
    assert len(load_prompts(str(files["csv"]), limit=4)) == 4
    assert len(load_prompts(str(files["csv"]), limit=400)) == 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "at least one prompt"),
        ("a.csv", b"prompt\n", "at least one prompt"),
        ("a.csv", b"clay,wool\n1,2\n", r"prompt column must be one of messages, prompt.*got \['clay', 'wool'\]"),
        ("a.csv", b"prompt\nweigh \xff it\n", r"UTF-8 text file; .*Byte 13 is not"),
        ("a.csv", b"prompt\nRing it\nWeigh it\nRing it\n", r"different from each other; got 'row 3 equal to row 1"),
        ("a.csv", b"prompt,category\nRing it\n", "row 1 with another number of cells"),
        ("a.csv", b"prompt,category\n,bells\n", r"row 1 of a\.csv must be a text under 'prompt'; got ''"),
        ("a.jsonl", b'{"prompt": 3}\n', r"row 1 of a\.jsonl must be a text under 'prompt'; got 3"),
        ("a.jsonl", b'{"prompt": null}\n', "got nothing"),
        ("a.jsonl", b"{\n", r"line 1 of a\.jsonl must be valid JSON"),
        ("a.jsonl", b"[1]\n", "a JSON object"),
        ("a.csv", b"prompt,prompt\nRing it,Weigh it\n", "columns have different names"),
        ("a.csv", b"prompt\n" + b"x" * 140_000 + b"\n", "row 1: field larger than field limit"),
        ("a.jsonl", b'{"prompt": "Ring \\ud800"}\n', r"UTF-8 can hold; got .*at character 5"),
        (
            "a.jsonl",
            b'{"prompt": "Ring", "category": "\\ud800"}\n',
            r"row 1 of a.jsonl must be text that UTF-8 can hold",
        ),
        ("a.jsonl", b'{"prompt": "Ring", "label": "\\ud800"}\n', "UTF-8 can hold"),
        ("a.jsonl", b'{"prompt": "Ring", "goal": "\\ud800"}\n', "UTF-8 can hold"),
        ("a.jsonl", b'{"messages": [{"role": "user", "content": "\\udfff"}]}\n', "UTF-8 can hold"),
        ("a.json", b"[" * 100_000, "valid JSON"),
        ("a.json", b"{}", "a list of objects"),
        ("a.json", b"{", "valid JSON"),
        ("a.parquet", b"clay", "a Parquet file"),
        ("a.docx", b"clay", r"one of \.jsonl, .*\.csv, \.tsv, \.parquet, \.txt"),
        ("a.jsonl", b'{"messages": []}\n', "a list of turns"),
        ("a.jsonl", b'{"messages": [{"role": "master", "content": "x"}]}\n', "a role and a text"),
        ("a.jsonl", b'{"messages": [{"role": "system", "content": "x"}]}\n', "the user speaks last"),
    ],
)
def test_a_bad_file_is_one_line_of_help(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PromptError, match=message) as caught:
        load_prompts(str(path))
    assert "\n" not in str(caught.value)


def test_messages_lose_an_assistants_turn_at_their_end(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Ring it"},
        {"role": "assistant", "content": "No."},
    ]
    path.write_text(json.dumps({"messages": turns}))
    (prompt,) = load_prompts(str(path))
    assert [m.role for m in prompt.messages] == ["system", "user"]
    assert prompt.text == "Ring it"


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt\nRing it\n")
    assert load_prompts(str(path))[0].text == "Ring it"


@pytest.mark.parametrize("extension", ["jsonl", "txt"])
def test_only_line_feeds_end_a_line(tmp_path: Path, extension: str) -> None:
    text = "Ring\u2028it\x0c\x85"
    path = tmp_path / f"set.{extension}"
    line = text if extension == "txt" else json.dumps({"prompt": text}, ensure_ascii=False)
    path.write_bytes(f"{line}\r\n{line.replace('Ring', 'Weigh')}\r\n".encode())
    assert [p.text for p in load_prompts(str(path))] == [text, text.replace("Ring", "Weigh")]


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    for source in ("advbench[:80]", "guild-org/none"):
        with pytest.raises(MissingExtra, match=r"safebasin\[hub\]"):
            load_prompts(source)


def test_a_set_that_was_fetched_is_read_by_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[tuple[object, ...]] = []

    def fetch(repository: str, config: str | None, *, split: str | None, revision: str | None) -> object:
        asked.append((repository, config, split, revision))
        rows = datasets.Dataset.from_list(
            [{"Index": i, "Goal": f"Ring bell {i}", "Behavior": f"Bell {i}", "Category": "bells"} for i in range(100)]
        )
        return rows if split else {"train": rows, "test": rows}

    monkeypatch.setattr(datasets, "load_dataset", fetch)
    prompts = load_prompts("jailbreakbench[:2]")
    assert [(p.text, p.behavior, p.category, p.source) for p in prompts] == [
        (f"Ring bell {i}", f"Bell {i}", "bells", "jailbreakbench") for i in range(2)
    ]
    assert asked == [
        (
            "JailbreakBench/JBB-Behaviors",
            "behaviors",
            "harmful",
            catalog.get("prompts", "jailbreakbench").fact("revision"),
        )
    ]
    with pytest.raises(
        PromptError, match=r"a single split; got \['test', 'train'\]\. Choose one, like guild-org/two@test"
    ):
        load_prompts("guild-org/two")


def test_a_hub_id_takes_a_configuration_and_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[tuple[object, ...]] = []

    def fetch(repository: str, config: str | None, *, split: str | None, revision: str | None) -> object:
        asked.append((repository, config, split))
        return datasets.Dataset.from_list([{"text": "Ring it"}, {"text": "Weigh it"}, {"text": "Ring it"}])

    monkeypatch.setattr(datasets, "load_dataset", fetch)
    for source in ("org/name@test", "hub:org/name.v2:bells@test", "hub:bells[1:]"):
        load_prompts(source)
    assert asked == [("org/name", None, "test"), ("org/name.v2", "bells", "test"), ("bells", None, None)]
    assert [p.text for p in load_prompts("org/name")] == ["Ring it", "Weigh it"]  # a published repeat is asked once
    assert [p.text for p in load_prompts("org/name[1:]")] == ["Weigh it", "Ring it"]  # the slice counts rows


def test_a_set_of_files_without_a_header_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fetch(repository: str, file: str, *, repo_type: str, revision: str | None) -> str:
        path = tmp_path / file
        path.write_text(f'"Ring it, as in {file}"\nWeigh it, as in {file}\n')
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    (public,) = (it for it in PUBLIC_SETS if it.name == "hexphi")
    monkeypatch.setattr(hub, "hexphi", HubSource(replace(public, n=20)), raising=False)
    prompts = load_prompts("hexphi")
    assert len(prompts) == 20
    assert [p.text for p in prompts[:2]] == ["Ring it, as in category_1.csv", "Weigh it, as in category_1.csv"]
    assert len({p.category for p in prompts}) == 10


def test_a_source_of_a_plugin_is_asked_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    row = catalog.Row(kind="prompts", name="kiln/one", target="kiln_prompts:One", summary="One.", source="test")

    class One:
        def load(self) -> tuple[Prompt, ...]:
            return (Prompt(messages=(Message(role="user", content="Ring it"),)),)

    monkeypatch.setitem(sys.modules, "kiln_prompts", SimpleNamespace(One=One))
    monkeypatch.setattr(lookup, "rows", lambda: (row,))
    assert [p.text for p in load_prompts("kiln/one[:1]")] == ["Ring it"]


@pytest.mark.parametrize(
    "source", ["How do I ring it? " * 40, "Ring it. " * 80 + "Now.", "~nobody-at-all/set.csv", "a\0b.csv"]
)
def test_what_is_no_path_is_no_crash(source: str) -> None:
    with pytest.raises(PromptError):
        load_prompts(source)


def test_world_sets_and_splits() -> None:
    assert len(load_prompts("world:guild/harmful[:80]")) == 80
    val, test = load_prompts("world:guild/harmful@val"), load_prompts("world:guild/harmful")
    assert not {p.behavior for p in val} & {p.behavior for p in test}
    with pytest.raises(PromptError, match="Did you mean 'harmful'"):
        load_prompts("world:guild/harmfull")
    with pytest.raises(UnknownName, match="Did you mean 'guild'"):
        load_prompts("world:gild/harmful")


def test_a_missing_file_and_an_unknown_name() -> None:
    with pytest.raises(PromptError, match=r"an existing file; got 'nothing\.csv'"):
        load_prompts("nothing.csv")
    with pytest.raises(PromptError, match="Did you mean 'advbench'"):
        load_prompts("advbnch")


@pytest.mark.parametrize("name", [row.name for row in catalog.rows() if row.kind == "prompts"])
def test_public_sets_say_where_they_are_and_explain_being_offline(name: str) -> None:
    row = catalog.get("prompts", name)
    assert {"hub", "revision", "licence", "columns", "citation", "gated"} <= {key for key, _ in row.facts}
    assert "arXiv" in (row.fact("citation") or "")
    assert re.fullmatch(r"[0-9a-f]{40}", row.fact("revision") or "")
    with pytest.raises(PromptError, match="a dataset that can be fetched"):
        load_prompts(name)


def test_a_set_of_another_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"prompt": f"Ring bell {i}"} for i in range(99)])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_args, **_options: rows)
    with pytest.raises(
        PromptError, match=r"prompts 'maliciousinstruct' must be the 100 that are published .*; got 99\."
    ):
        load_prompts("maliciousinstruct")


def test_placeholders_stand_for_a_set_that_is_not_fetched() -> None:
    assert len(placeholders("advbench[:80]")) == 80
    assert len(placeholders("harmbench", limit=150)) == 150
    assert len({p.id for p in placeholders("xstest")}) == 450
    assert {p.id for p in placeholders("advbench[:10]")} <= {p.id for p in placeholders("advbench")}
    for source in ("prompts.csv", "org/name", "world:guild/harmful"):
        with pytest.raises(PromptError, match="a public set of a known size"):
            placeholders(source)
