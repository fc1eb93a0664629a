"""Packs that somebody changed, each found; packs of strangers, none of which does anything but be refused."""

from __future__ import annotations

import errno
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from helpers.command import safebasin
from helpers.packs import Members, edited, listed, members, publish, small_study, with_rows, write
from safebasin.errors import StoreError
from safebasin.evidence.checking import Asked
from safebasin.evidence.packing import PACK, pack
from safebasin.evidence.unpacking import Checked, verify_pack
from safebasin.records import canonical_json
from safebasin.store.sealing import seal

RECOMPUTE = Asked(recompute=True)
TEXT = "UPDATE responses SET text = 'Another text.' WHERE key = (SELECT min(key) FROM responses)"
VERDICT = "UPDATE verdicts SET label = 'complied', success = 1 WHERE label = 'refusal'"
SCORE = "UPDATE scores SET nll = ends"
DIGEST = "UPDATE {0} SET digest = content_digest({1})"
VERDICTS = DIGEST.format("verdicts", "response, judge, version, label, success, reason, grade")
RESPONSES = DIGEST.format(
    "responses", "key, point, prompt, system, decoding, sample, text, thinking, n_tokens, finish_reason, broken, gap"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_study(tmp_path_factory.mktemp("study") / "study")


@pytest.fixture(scope="module")
def packed(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(study, tmp_path_factory.mktemp("packs") / "study.zip", with_text=True).path


def without(held: Members, name: str) -> Members:
    return {one: data for one, data in held.items() if one != name}


def renamed(held: Members) -> Members:
    return {("Landscape.json" if one == "landscape.json" else one): data for one, data in held.items()}


def statistic(document: Any) -> None:
    document["summary"]["margin"]["value"] = 0.99


def manifest(document: Any) -> None:
    document["batch_size"] = 64


def digest(document: Any) -> None:
    document["members"]["landscape.json"]["sha256"] = "0" * 64


def root(document: Any) -> None:
    document["root"] = "0" * 64


ALTERED: dict[str, tuple[Callable[[Members, Path], Members], str]] = {
    "a digest": (lambda held, _: edited(held, PACK, digest), "not the list that its root stands for"),
    "the root": (lambda held, _: edited(held, PACK, root), "not the list that its root stands for"),
    "a text": (lambda held, tmp: with_rows(held, tmp, TEXT), "study.sqlite is not what the list says"),
    "a verdict": (lambda held, tmp: with_rows(held, tmp, VERDICT), "study.sqlite is not what the list says"),
    "a score": (lambda held, tmp: with_rows(held, tmp, SCORE), "study.sqlite is not what the list says"),
    "a missing file": (lambda held, _: without(held, "manifest.json"), "manifest.json is missing"),
    "no list": (lambda held, _: without(held, PACK), "pack.json is missing"),
    "an added file": (lambda held, _: {**held, "more.txt": b"more"}, "more.txt is not on the list"),
    "a statistic": (lambda held, _: edited(held, "landscape.json", statistic), "landscape.json"),
    "a field of the manifest": (lambda held, _: edited(held, "manifest.json", manifest), "manifest.json"),
    "another name": (lambda held, _: renamed(held), "landscape.json is missing"),
    "a database that is none": (lambda held, _: {**held, "study.sqlite": b"no"}, "study.sqlite has 2 bytes"),
}


def test_a_pack_that_nobody_changed_is_sound(packed: Path) -> None:
    found = verify_pack(packed, Asked(recompute=True, note=pytest.fail))
    assert found.found == ()
    assert (found.kind, found.with_text, found.derived) == ("a study", True, ("landscape.json",))


@pytest.mark.parametrize("how", ALTERED)
def test_what_was_altered_is_found(packed: Path, tmp_path: Path, how: str) -> None:
    alter, said = ALTERED[how]
    found = verify_pack(write(tmp_path / "altered.zip", alter(members(packed), tmp_path)), Asked())
    assert any(said in what for what in found.found), found


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_pack_that_was_cut_short_is_found(packed: Path, tmp_path: Path, share: float) -> None:
    data = packed.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: int(len(data) * share)])
    (found,) = verify_pack(tmp_path / "cut.zip", Asked()).found
    assert "cut short or damaged" in found


def test_no_flipped_byte_passes(packed: Path, tmp_path: Path) -> None:
    data = packed.read_bytes()
    for place in range(40, len(data), len(data) // 30):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        (tmp_path / "flipped.zip").write_bytes(bytes(changed))
        assert verify_pack(tmp_path / "flipped.zip", Asked()).found, place


KNOWING: dict[str, tuple[tuple[str, ...], str]] = {
    "a text, its digest left": ((TEXT,), "does not hold what was written"),
    "a text, its digest blanked": ((TEXT + " AND 1", "UPDATE responses SET digest = NULL WHERE text LIKE 'Another%'"),
                                   "rows of responses are not those that the results were made of"),
    "a text with a new digest": ((TEXT, RESPONSES), "rows of responses are not those that the results were made of"),
    "verdicts with new digests": ((VERDICT, VERDICTS), "rows of verdicts"),
    "a row less": (("DELETE FROM verdicts WHERE rowid = 1",), "21 then and 20 now"),
    "texts that are said to be withheld": (
        (TEXT, "INSERT INTO meta (key, value) VALUES ('withheld', '{}')"), "hold texts, though it says"),
}  # fmt: skip
"""What somebody does who makes the list anew: the folder's own digests find it."""


@pytest.mark.parametrize("how", KNOWING)
def test_a_list_that_was_made_anew_does_not_hide_what_was_changed(packed: Path, tmp_path: Path, how: str) -> None:
    statements, said = KNOWING[how]
    held = members(packed)
    for statement in statements:
        held = with_rows(held, tmp_path, statement)
    found = verify_pack(write(tmp_path / "altered.zip", listed(held)), Asked())
    assert any(said in what for what in found.found), found


def test_a_file_under_a_list_that_was_made_anew(packed: Path, tmp_path: Path) -> None:
    held = edited(members(packed), "landscape.json", statistic)
    found = verify_pack(write(tmp_path / "altered.zip", listed(held)), Asked())
    assert "landscape.json is not what was written with the results" in found.found
    held = {**members(packed), "figures/more.png": b"more"}
    found = verify_pack(write(tmp_path / "altered.zip", listed(held)), Asked())
    assert found.found == ("figures/more.png is not one of the files of the results",)
    held = edited(members(packed), PACK, lambda document: document["environment"].clear())
    found = verify_pack(write(tmp_path / "altered.zip", listed(held)), Asked())
    assert found.found == ("pack.json names another environment than the manifests",)


def sealed_anew(packed: Path, tmp_path: Path, *statements: str, landscape: bool) -> Checked:
    """By somebody who makes every list anew, with or without the statistics."""
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path / "study", [name for name in file.namelist() if name != PACK])
    held = members(packed)
    for statement in statements:
        held = with_rows(held, tmp_path, statement)
    (tmp_path / "study/study.sqlite").write_bytes(held["study.sqlite"])
    written = (tmp_path / "study/landscape.json").read_bytes()
    publish(tmp_path / "study")
    if not landscape:
        (tmp_path / "study/landscape.json").write_bytes(written)
        seal(tmp_path / "study")
    made = pack(tmp_path / "study", tmp_path / "anew.zip", with_text=True)
    return verify_pack(made.path, RECOMPUTE)


def test_statistics_that_the_rows_do_not_give_are_found_by_recomputing(packed: Path, tmp_path: Path) -> None:
    found = sealed_anew(packed, tmp_path, VERDICT, VERDICTS, landscape=False)
    assert any(what.startswith("landscape.json: summary.margin") for what in found.found)


def test_who_changes_all_of_it_is_found_by_the_root_alone(packed: Path, tmp_path: Path) -> None:
    """What no list can show: the docs say so, and a signature is for that."""
    found = sealed_anew(packed, tmp_path, VERDICT, VERDICTS, landscape=True)
    assert found.found == ()
    assert found.root != verify_pack(packed, Asked()).root


# --- strangers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "C:\\out.txt", "a//b", "./a", "\x1b[2J"]
)
def test_a_member_that_leads_out_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    found = verify_pack(write(tmp_path / "odd.zip", {**members(packed), name: b"out"}), Asked())
    assert "may lead out of its folder" in found.found[0]
    found = verify_pack(write(tmp_path / "odd.zip", listed({**members(packed), name: b"out"})), Asked())
    assert "may lead out of its folder" in found.found[0]


def odd(packed: Path, path: Path, info: zipfile.ZipInfo, data: bytes) -> Checked:
    held = members(packed)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        for name, one in held.items():
            file.writestr(name, one)
        file.writestr(info, data)
    return verify_pack(path, Asked())


def test_links_doubles_and_bombs_are_refused(packed: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert odd(packed, tmp_path / "a.zip", link, b"/etc/passwd").found == ("link is no regular file",)
    twice = zipfile.ZipInfo("manifest.json")
    assert odd(packed, tmp_path / "b.zip", twice, b"{}").found == ("manifest.json is there twice",)
    bomb = zipfile.ZipInfo("bomb")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    (said,) = odd(packed, tmp_path / "c.zip", bomb, bytes(2**25)).found
    assert said.startswith("bomb would unfold to 33554432 bytes")
    strange = zipfile.ZipInfo("strange")
    strange.compress_type = zipfile.ZIP_BZIP2
    assert "compressed in a way" in odd(packed, tmp_path / "d.zip", strange, b"x").found[0]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema_version": 9}', "[" * 5000, '{"schema_version": 1, "members": {"a": 1}}', "\udcff"],
)
def test_a_list_that_is_none(packed: Path, tmp_path: Path, text: str) -> None:
    held = {**members(packed), PACK: text.encode("utf-8", "surrogatepass")}
    (found,) = verify_pack(write(tmp_path / "odd.zip", held), Asked()).found
    assert "pack.json" in found


OUTSIDE = (("files", "../secret"), ("files", "/etc/passwd"), ("folders", "."), ("databases", "../study.sqlite"),
           ("databases", "manifest.json"))  # fmt: skip


@pytest.mark.parametrize(("part", "name"), OUTSIDE)
def test_digests_that_name_what_is_outside(packed: Path, tmp_path: Path, part: str, name: str) -> None:
    def outside(document: Any) -> None:
        held = {"files": {"bytes": 1, "sha256": "0" * 64}, "folders": document["root"], "databases": {}}
        document[part][name] = held[part]
        rest = {key: value for key, value in document.items() if key != "root"}
        document["root"] = sha256(canonical_json(rest).encode()).hexdigest()

    held = edited(members(packed), "digests.json", outside)
    (found,) = verify_pack(write(tmp_path / "odd.zip", listed(held)), Asked()).found[:1]
    assert "a name that leads out of the folder" in found or "a database of another name" in found


def test_what_is_no_pack_is_help(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    done = safebasin("verify", tmp_path / "notes.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be a pack or a folder of results" in done.stderr
    assert safebasin("verify", tmp_path / "nowhere").returncode == 2
    (tmp_path / "empty.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert safebasin("verify", tmp_path / "empty.zip").returncode == 2


def test_the_command_says_what_is_shown_and_what_not(packed: Path, tmp_path: Path) -> None:
    done = safebasin("verify", packed)
    assert done.returncode == 0
    assert f"root     {json.loads(members(packed)[PACK])['root']}" in done.stdout
    for said in ("shown    every member", "not      who made it", "not      that the model is safe"):
        assert said in done.stdout
    altered = write(tmp_path / "altered.zip", edited(members(packed), "landscape.json", statistic))
    done = safebasin("verify", altered, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["sound"] is False


def test_a_full_disk_is_no_finding(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of the pack: whoever reads "damaged" would ask for another one."""
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode == "xb":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StoreError, match="temporary folder must be one that can be written to"):
        verify_pack(packed, Asked())
