"""Detached signatures of packs, made and checked by OpenSSH's `ssh-keygen -Y`: no cryptography of our own.

A signature says who vouches for a file, as far as the list of allowed signers is right. It says nothing about a model.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from safebasin.errors import UsageError, expected
from safebasin.untrusted import read_bytes
from safebasin.writing import write_bytes

__all__ = ["NAMESPACE", "SUFFIX", "check_key", "check_signature", "sign"]

NAMESPACE = "safebasin"
"""What signatures are for (`-n`): one that was made for something else does not count."""
SUFFIX = ".sig"
_MOST = 64 * 1024
_WAIT_S = 600.0
"""For somebody who types a passphrase."""


def check_tool() -> str:
    """Path of `ssh-keygen`.

    Raises:
        UsageError: where it is not installed.
    """
    found = shutil.which("ssh-keygen")
    if found is None:
        remedy = "Install OpenSSH 8.2 or newer, or leave the signature out."
        raise UsageError(expected("ssh-keygen", "installed", "none on the path", remedy))
    return found


def check_key(key: Path) -> Path:
    """A key's file, before anything is written.

    Raises:
        UsageError: where there is none, or nothing to sign with.
    """
    check_tool()
    if not key.is_file():
        raise UsageError(expected("--sign", "the file of a key, as ssh-keygen makes it", str(key), "Check the path."))
    return key


def sign(path: Path, key: Path) -> Path:
    """Write the signature of a file beside it, as `FILE.sig`.

    Args:
        path: the file.
        key: private key, or a public one whose private half an agent holds. A passphrase is asked for by `ssh-keygen`.

    Raises:
        UsageError: where the key cannot sign.
    """
    tool = check_tool()
    done = _run([tool, "-Y", "sign", "-q", "-f", str(key.absolute()), "-n", NAMESPACE], path)
    if done.returncode != 0 or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise UsageError(expected("--sign", "a key that can sign", str(key), f"({_words(done)}) Check it."))
    made = path.with_name(path.name + SUFFIX)
    write_bytes(made, done.stdout)
    return made


def check_signature(path: Path, signature: Path, allowed: Path, *, signer: str | None = None) -> tuple[str, str]:
    """Tell who signed a file, and what is wrong with that; one of the two is empty.

    Args:
        path: the file.
        signature: made by `sign`.
        allowed: list of signers as OpenSSH has it, lines of `NAME KEYTYPE KEY`.
        signer: the one who must have signed; anybody on the list if None.

    Raises:
        UsageError: where one of the files cannot be read.
    """
    tool = check_tool()
    read_bytes(signature, "signature", most=_MOST)
    read_bytes(allowed, "--allowed-signers")
    named = ["-s", str(signature.absolute()), "-f", str(allowed.absolute())]
    who = [signer] if signer is not None else _principals(tool, named, path)
    for one in who:
        done = _run([tool, "-Y", "verify", *named, "-n", NAMESPACE, "-I", one], path)
        if done.returncode == 0:
            return one, ""
    said = f"by {signer}" if signer is not None else "by anybody on the list of allowed signers"
    return "", f"the signature {signature.name} is not one of this file {said}"


def _principals(tool: str, named: list[str], path: Path) -> list[str]:
    done = _run([tool, "-Y", "find-principals", *named], path)
    return done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []


def _run(command: list[str], path: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the tool on a file, as its standard input."""
    try:
        with path.open("rb") as file:
            return subprocess.run(command, stdin=file, capture_output=True, timeout=_WAIT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(expected("ssh-keygen", "able to run", str(error)[:160], "Check its installation.")) from error


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode("utf-8", "replace").split())[:160] or f"exit code {done.returncode}"
