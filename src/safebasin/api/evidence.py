"""Evidence for others: folders of results checked, packed, and packs checked. The model is not needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.api.requests import checks_keywords
from safebasin.errors import UsageError, expected
from safebasin.items import path_of

if TYPE_CHECKING:
    from safebasin.audit import AuditVerdict
    from safebasin.evidence.packing import Packed
    from safebasin.evidence.unpacking import Checked

__all__ = [
    "VerifiedPack",
    "pack_results",
    "read_audit",
    "report_audit",
    "results_root",
    "verify_pack",
    "verify_study",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedPack:
    """The findings on a pack, and who signed it."""

    checked: Checked
    signer: str
    """Name of the signer on the list of allowed ones; empty where no signature was checked, or it did not hold."""
    found: tuple[str, ...]
    """One sentence a finding, those of the signature too; none where all is sound."""


@checks_keywords
def verify_study(
    folder: str | Path,
    *,
    full: bool = False,
    recompute: bool = False,
    note: Callable[[str], None] = lambda text: None,
    derived: Callable[[str], None] = lambda name: None,
) -> list[str]:
    """Check a folder of results and tell what is wrong with it, in sentences; empty where nothing is.

    Args:
        folder: a study, an audit, a fleet, or any other folder of results; a tuned or edited model, by its files.
        full: hash the weights of the model too, against the hash of the first `verify --full`.
        recompute: derive every statistic anew from the rows, and compare it with what the results say.
        note: told what could not be checked, such as rows of a release that kept no digests.
        derived: told the name of each document whose statistics `recompute` derived.

    Raises:
        StoreError: where it is no folder of results.
    """
    from safebasin.store.folder import results

    path = path_of(folder)
    results(path)  # before numpy is loaded, which waits for ever where memory is short
    from safebasin.evidence.checking import Asked, verify_folder

    return verify_folder(path, Asked(full=full, recompute=recompute, note=note, derived=derived))


@checks_keywords
def results_root(folder: str | Path) -> str | None:
    """The root of a folder's `digests.json`: one value that stands for its results; None where it has no such list.

    Raises:
        StoreError: where the list is not what safebasin wrote.
    """
    from safebasin.store.sealing import read_seal
    from safebasin.writing import DIGESTS

    return read_seal(path_of(folder)).root if (path_of(folder) / DIGESTS).is_file() else None


@checks_keywords
def pack_results(
    folder: str | Path,
    out: str | Path,
    *,
    with_text: bool = False,
    sign: str | Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Packed:
    """Write a folder of results as one file that others can check; the same folder gives the same bytes.

    Args:
        folder: the results, sound by `verify_study`.
        out: the file; a signature goes beside it as `OUT.sig`.
        with_text: put prompts, responses and the words of judges into it too.
        sign: key of OpenSSH to sign the file with; no signature if None.
        note: told what could not be checked of the folder.

    Raises:
        UsageError: where the folder cannot be packed, or the key cannot sign.
    """
    from safebasin.evidence.packing import pack
    from safebasin.evidence.signing import check_key
    from safebasin.evidence.signing import sign as sign_file

    key = None if sign is None else check_key(Path(sign))
    made = pack(path_of(folder), path_of(out, "out"), with_text=with_text, note=note)
    if key is not None:
        sign_file(made.path, key)
    return made


@checks_keywords
def verify_pack(
    path: str | Path,
    *,
    recompute: bool = False,
    signature: str | Path | None = None,
    allowed_signers: str | Path | None = None,
    signer: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> VerifiedPack:
    """Check a pack offline, as a file of a stranger.

    Args:
        path: the file.
        recompute: derive every statistic anew from its rows.
        signature: of the file; `PATH.sig` if None.
        allowed_signers: list of signers, as OpenSSH has it; no signature is checked if None.
        signer: the name on that list that must have signed; any if None.
        note: told what could not be checked.

    Raises:
        UsageError: where the file is no pack at all, or signature or list cannot be read.
    """
    from safebasin.evidence.checking import Asked
    from safebasin.evidence.signing import SUFFIX, check_signature
    from safebasin.evidence.unpacking import verify_pack as check

    file, who, wrong = path_of(path, "file"), "", ""
    kept = file.with_name(file.name + SUFFIX) if signature is None else Path(signature)
    if allowed_signers is not None:
        who, wrong = check_signature(file, kept, Path(allowed_signers), signer=signer)
    elif signature is not None or signer is not None:
        given = "--signature" if signature is not None else "--signer"
        raise UsageError(expected("--allowed-signers", f"given with {given}", None, "Name the list of signers."))
    elif kept.is_file():
        note(f"{kept.name} was not checked: name whom you trust with --allowed-signers")
    checked = check(file, Asked(recompute=recompute, note=note))
    return VerifiedPack(checked=checked, signer=who, found=(*checked.found, *([wrong] if wrong else [])))


@checks_keywords
def read_audit(folder: str | Path, *, note: Callable[[str], None] = lambda text: None) -> AuditVerdict:
    """The verdict of an audit's folder, its statistics computed anew from the rows.

    Args:
        folder: the audit.
        note: told what the rows cannot give, and is as it was written.

    Raises:
        StoreError: where it holds no verdict.
    """
    import json
    from dataclasses import asdict

    from safebasin.audit.reading import read_verdict, verdict_of
    from safebasin.audit.recounting import recount

    held = asdict(read_verdict(path_of(folder)))
    now, left_out = recount(path_of(folder), held)
    for said in left_out:
        note(f"as it was written: {said}")
    return verdict_of(json.loads(json.dumps({**held, **now})))


@checks_keywords
def report_audit(folder: str | Path) -> Path:
    """Write the page of an audit or a fleet anew, from its `verdict.json` or `fleet.json`; returns the page.

    Raises:
        StoreError: where the folder holds no such file.
    """
    from safebasin.audit import fleet, run

    is_fleet = (path_of(folder) / fleet.FLEET).is_file()
    return fleet.rewrite_page(path_of(folder)) if is_fleet else run.rewrite_page(path_of(folder))
