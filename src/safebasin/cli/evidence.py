"""`verify`, `pack`: what others can check of results, and whether they are still what they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.output import note, print_json, say
from safebasin.errors import UsageError, expected

if TYPE_CHECKING:
    from safebasin.api import VerifiedPack


@app.command()
def verify(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|PACK", help="Folder of results, or a pack of one.", show_default=False)
    ],
    full: Annotated[bool, typer.Option("--full", help="Also hash the weights of the model.")] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Also derive every statistic anew from the rows, and compare.")
    ] = False,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="FILE", help="Of the pack. [default: PACK.sig]")
    ] = None,
    allowed_signers: Annotated[
        Path | None,
        typer.Option(
            "--allowed-signers", metavar="FILE", help="Whom you trust, as OpenSSH lists them: NAME KEYTYPE KEY."
        ),
    ] = None,
    signer: Annotated[str | None, typer.Option("--signer", help="The one on that list who must have signed.")] = None,
    json_: Json = False,
) -> None:
    """Check that results are what they were. Files, rows, plan and model of a folder, or a pack that somebody sent.
    Exit code 1 if not.

    Examples: `safebasin verify runs/demo --recompute` · `safebasin verify demo.zip --allowed-signers signers`
    """
    from safebasin import api

    told, derived = list[str](), list[str]()

    def tell(text: str) -> None:
        told.append(text)
        note(f"note     {text}")

    of_packs = {"--signature": signature, "--allowed-signers": allowed_signers, "--signer": signer}
    if source.is_file():
        if full:
            raise UsageError(expected("--full", "left out for a pack", full, "It holds no model."))
        pack = api.verify_pack(
            source, recompute=recompute, signature=signature, allowed_signers=allowed_signers, signer=signer, note=tell
        )
        found, root, derived = list(pack.found), pack.checked.root, list(pack.checked.derived)
    else:
        for name, value in of_packs.items():
            if value is not None:
                raise UsageError(expected(name, "left out for a folder", value, "Packs are signed: safebasin pack."))
        pack = None
        found = api.verify_study(source, full=full, recompute=recompute, note=tell, derived=derived.append)
        root = "" if found else api.results_root(source) or ""
    if json_:
        print_json({"sound": not found, "root": root, "found": found, "notes": told, "derived": derived})
    else:
        _show(source, found, root, derived if recompute else None, pack, is_noted=bool(told))
    if found:
        raise typer.Exit(1)


def _show(
    source: Path, found: list[str], root: str, derived: list[str] | None, pack: VerifiedPack | None, *, is_noted: bool
) -> None:
    for finding in found:
        note(f"found    {finding}")
    if found:
        return
    say(f"sound    {source}")
    if root:
        say(f"root     {root}")
    if derived is not None:
        but = ", but for what is noted above" if derived and is_noted else ""
        say(f"derived  {', '.join(derived) or 'nothing'}{but}")
    if pack is not None:
        for text in _shown(pack, is_noted=is_noted):
            say(f"shown    {text}")
        for text in _not_shown(pack, derived):
            say(f"not      {text}")


def _shown(pack: VerifiedPack, *, is_noted: bool) -> list[str]:
    said = [
        "every member is the one on the list, and the root stands for that list",
        "its files, and the digests of its rows, are those that its results were written with",
    ]
    if pack.checked.derived:
        but = ", but for what is noted above" if is_noted else ""
        said.append(f"what {', '.join(pack.checked.derived)} says follows from the rows{but}")
    if pack.signer:
        said.append(f"{pack.signer} signed this file, if your list of allowed signers is right")
    return said


def _not_shown(pack: VerifiedPack, derived: list[str] | None) -> list[str]:
    said = list[str]()
    if not pack.signer:
        said.append("who made it: compare the root with one that you have from the author, or check a signature")
    if derived is None:
        said.append("that the statistics follow from the rows: --recompute derives them")
    elif not derived:
        said.append("that what it says follows from rows: there is nothing in it that can be derived anew")
    if not pack.checked.with_text:
        said.append("that the verdicts fit the texts: this pack has none")
    said.append("that the responses are the model's: only measuring again shows that")
    said.append("that the model is safe: neither a sound pack nor a signature says so")
    return said


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, a zip.", show_default=False)],
    with_text: Annotated[
        bool, typer.Option("--with-text", help="With prompts, responses and the words of judges.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign it with this key of OpenSSH, as FILE.sig.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write results as one file that others can check offline. Report, statistics, manifest, a database without texts,
    and digests of all of it in one list: `safebasin verify FILE` checks them.

    Examples: `safebasin pack runs/demo -o demo.zip` · `safebasin pack runs/audit -o audit.zip --sign ~/.ssh/id_ed25519`
    """
    from safebasin import api

    state.folder = None
    made = api.pack_results(folder, out, with_text=with_text, sign=sign, note=lambda text: note(f"note     {text}"))
    if json_:
        print_json({"pack": str(made.path), "root": made.root, "members": made.members})
        return
    say(f"wrote    {made.path} ({made.members} members)")
    if sign is not None:
        say(f"signed   {made.path}.sig")
    say(f"root     {made.root}")
