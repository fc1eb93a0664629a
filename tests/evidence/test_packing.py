"""What is in a pack and what is not, and that the same folder makes the same file."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from helpers.command import safebasin
from helpers.packs import change, members, small_study
from safebasin import api
from safebasin.errors import StoreError, UsageError
from safebasin.evidence.checking import Asked
from safebasin.evidence.packing import pack
from safebasin.evidence.unpacking import verify_pack
from safebasin.landscape.landscape_json import to_json
from safebasin.landscape.results import read_landscape
from safebasin.landscape.stored import StoredStudy
from safebasin.store.sealing import seal


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_study(tmp_path_factory.mktemp("study") / "study")


@pytest.fixture
def folder(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "study"))


def texts(database: Path) -> set[str]:
    """Every sentence that a study holds: of prompts, responses and judges."""
    with closing(sqlite3.connect(database)) as db:
        found = {text for (text,) in db.execute("SELECT text FROM responses")}
        found |= {m["content"] for (text,) in db.execute("SELECT messages FROM prompts") for m in json.loads(text)}
        found |= {reason for (reason,) in db.execute("SELECT reason FROM verdicts")}
    return {text for text in found if len(text) > 3}


def test_the_same_folder_gives_the_same_bytes(study: Path, tmp_path: Path) -> None:
    for with_text in (False, True):
        made = [pack(study, tmp_path / name, with_text=with_text) for name in ("a.zip", "b.zip")]
        assert made[0].path.read_bytes() == made[1].path.read_bytes()
        assert made[0].root == made[1].root == json.loads(members(made[0].path)["pack.json"])["root"]
    assert list(members(tmp_path / "a.zip")) == [
        "pack.json", "digests.json", "landscape.json", "manifest.json", "study.sqlite", "study.yaml",
    ]  # fmt: skip


def test_without_texts_the_database_holds_none_in_any_page(folder: Path, tmp_path: Path) -> None:
    gone = "A sentence that was deleted, and whose page is free now."
    change(folder / "study.sqlite", "UPDATE prompts SET behavior = 'a whole sentence of a goal', digest = NULL")
    change(folder / "study.sqlite", "UPDATE verdicts SET reason = 'no reply: it said a secret', digest = NULL "
           "WHERE rowid = 1")  # fmt: skip
    change(folder / "study.sqlite", "CREATE TABLE more (text)")
    change(folder / "study.sqlite", "INSERT INTO more VALUES (?)", gone)
    change(folder / "study.sqlite", "DROP TABLE more")
    change(folder / "study.sqlite", "INSERT INTO meta (key, value) VALUES ('kept', '1')")
    api.read_study(folder)
    with StoredStudy.open(folder) as study, study.store.transaction():
        pass  # gives the digests
    seal(folder)
    held = texts(folder / "study.sqlite")
    assert len(held) > 8
    assert gone.encode() in (folder / "study.sqlite").read_bytes()
    data = members(pack(folder, tmp_path / "a.zip").path)["study.sqlite"]
    assert [text for text in (*held, gone, "a whole sentence", "a secret") if text.encode() in data] == []
    data = members(pack(folder, tmp_path / "b.zip", with_text=True).path)["study.sqlite"]
    assert [text for text in held if text.encode() not in data and text.isascii() and '"' not in text] == []
    assert gone.encode() not in data


def test_statistics_follow_from_a_copy_without_texts(study: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    for name, data in members(pack(study, tmp_path / "a.zip").path).items():
        (tmp_path / "copy" / name).write_bytes(data)
    written = json.loads((study / "landscape.json").read_text())
    with StoredStudy.open(tmp_path / "copy") as copy:
        read = json.loads(to_json(read_landscape(copy)))
    assert {**read, "name": "", "notes": []} == {**written, "name": "", "notes": []}
    for verb in (["judge", tmp_path / "copy"], ["report", tmp_path / "copy"]):
        done = safebasin(*verb)
        assert (done.returncode, "one with its texts" in done.stderr) == (2, True)


def test_what_cannot_be_packed_is_help(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder must be a folder that a command wrote results to"):
        pack(tmp_path, tmp_path / "a.zip")
    with pytest.raises(UsageError, match="another file than those of"):
        pack(folder, folder / "landscape.json")
    seal(folder, with_text=True)
    with pytest.raises(UsageError, match=r"redacted; got 'one written --with-text'.*safebasin report"):
        pack(folder, tmp_path / "a.zip")
    pack(folder, tmp_path / "a.zip", with_text=True)
    change(folder / "study.sqlite", "UPDATE responses SET text = 'x'")
    with pytest.raises(StoreError, match="folder to pack must be sound; got 'database: a row of responses"):
        pack(folder, tmp_path / "b.zip")
    (folder / "digests.json").unlink()
    with pytest.raises(StoreError, match=r"one with digests.json.*safebasin report"):
        pack(folder, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["study", "a.zip"] or not list(tmp_path.glob("safebasin-*"))


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two keys and a list of signers that names the first."""
    shutil.which("ssh-keygen") or pytest.skip("no ssh-keygen here")
    made = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made / name], check=True, timeout=60)
    (made / "signers").write_text(f"me@example.org {(made / 'mine.pub').read_text()}")
    (made / "all").write_text(f"me@example.org {(made / 'mine.pub').read_text()}you {(made / 'other.pub').read_text()}")
    return made


def test_a_signature_shows_who_signed(study: Path, keys: Path, tmp_path: Path) -> None:
    done = safebasin("pack", study, "-o", tmp_path / "a.zip", "--sign", keys / "mine")
    assert done.returncode == 0
    assert "signed" in done.stdout
    done = safebasin("verify", tmp_path / "a.zip", "--allowed-signers", keys / "signers")
    assert done.returncode == 0
    assert "shown    me@example.org signed this file" in done.stdout
    assert "a.zip.sig was not checked" in safebasin("verify", tmp_path / "a.zip").stderr


def test_a_signature_of_anything_else_is_found(study: Path, keys: Path, tmp_path: Path) -> None:
    made = api.pack_results(study, tmp_path / "a.zip", sign=keys / "other").path
    assert api.verify_pack(made, allowed_signers=keys / "signers").found[-1].startswith("the signature a.zip.sig")
    assert api.verify_pack(made, allowed_signers=keys / "all").signer == "you"
    assert api.verify_pack(made, allowed_signers=keys / "all", signer="me@example.org").found
    other = api.pack_results(study, tmp_path / "b.zip", with_text=True).path
    found = api.verify_pack(other, signature=tmp_path / "a.zip.sig", allowed_signers=keys / "all")
    assert (found.signer, len(found.found)) == ("", 1)
    (tmp_path / "b.zip.sig").write_text("no signature")
    assert api.verify_pack(other, allowed_signers=keys / "all").found


def test_keys_and_lists_that_are_not_there_are_help(study: Path, keys: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sign must be the file of a key"):
        api.pack_results(study, tmp_path / "a.zip", sign=tmp_path / "none")
    assert not (tmp_path / "a.zip").exists()
    with pytest.raises(UsageError, match="--sign must be a key that can sign"):
        api.pack_results(study, tmp_path / "a.zip", sign=study / "manifest.json")
    with pytest.raises(UsageError, match="signature must be an existing file"):
        api.verify_pack(tmp_path / "a.zip", allowed_signers=keys / "signers")
    with pytest.raises(UsageError, match="--allowed-signers must be given with --signer"):
        api.verify_pack(tmp_path / "a.zip", signer="me")


def test_results_of_every_kind_are_packed_and_models_are_not(tmp_path: Path) -> None:
    claims, model = tmp_path / "claims", tmp_path / "model"
    small_study(claims / "studies" / "one")
    (claims / "studies" / "one" / "digests.json").unlink()
    (claims / "claims.json").write_text("{}")
    seal(claims)
    checked = verify_pack(pack(claims, tmp_path / "c.zip").path, Asked(recompute=True))
    assert (checked.found, checked.kind, checked.derived) == ((), "claims", ())
    assert "studies/one/study.sqlite" in members(tmp_path / "c.zip")
    (claims / "studies" / "asked.jsonl").write_text('{"prompt": "a text"}\n')
    seal(claims)
    with pytest.raises(UsageError, match=r"without files of rows; got 'studies/asked.jsonl'. Pack --with-text"):
        pack(claims, tmp_path / "d.zip")
    assert "studies/asked.jsonl" in members(pack(claims, tmp_path / "e.zip", with_text=True).path)
    model.mkdir()
    (model / "safebasin.json").write_text("{}")
    seal(model)
    with pytest.raises(UsageError, match="one of results, not of weights; got 'that of a tuned model'"):
        pack(model, tmp_path / "m.zip")
