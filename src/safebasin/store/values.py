"""How values of Python stand in the columns of the database, and come back."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from safebasin.records import Decoding, FinishReason, Image, Message, Response, Score, Verdict

__all__ = [
    "flag_to_int",
    "floats",
    "ints",
    "now",
    "pack_score",
    "pack_text",
    "read_decoding",
    "read_response",
    "read_turn",
    "read_verdict",
    "stored_int",
    "stored_ints",
    "stored_number",
    "stored_text",
    "stored_texts",
    "unpack_score",
    "unpack_text",
    "unpack_texts",
    "written_turn",
]


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def flag_to_int(flag: bool | None) -> int | None:
    """A flag as SQLite has it; None stays missing."""
    return None if flag is None else int(flag)


def stored_text(value: object) -> str:
    """A value that was stored as plain text.

    Raises:
        TypeError: where something else stands there now: SQLite keeps whatever is put into a column.
    """
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text was stored")
    return value


def stored_int(value: object) -> int:
    """A value that was stored as a whole number.

    Raises:
        TypeError: as `stored_text`.
    """
    if not isinstance(value, int):
        raise TypeError(f"{type(value).__name__} where a whole number was stored")
    return value


def stored_texts(column: Sequence[object]) -> list[str]:
    """A column of `stored_text`, checked as a whole.

    Raises:
        TypeError: as `stored_text`, of the first that is none.
    """
    return cast("list[str]", column) if set(map(type, column)) <= {str} else [stored_text(one) for one in column]


def stored_ints(column: Sequence[object]) -> list[int]:
    """A column of `stored_int`, checked as a whole.

    Raises:
        TypeError: as `stored_int`, of the first that is none.
    """
    return cast("list[int]", column) if set(map(type, column)) <= {int} else [stored_int(one) for one in column]


def pack_text(text: str) -> str | bytes:
    """Text as SQLite holds it; a lone surrogate, which it cannot hold as text, makes bytes of it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpack_text(value: str | bytes) -> str:
    """Unpack what `pack_text` was given.

    Raises:
        TypeError: as `stored_text`.
    """
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else stored_text(value)


def unpack_texts(column: Sequence[str | bytes]) -> list[str]:
    """Unpack a column of what `pack_text` was given: as `unpack_text`, checked as a whole."""
    return cast("list[str]", column) if set(map(type, column)) <= {str} else [unpack_text(one) for one in column]


def floats(blob: bytes) -> array[float]:
    """Numbers of a blob of 32-bit floats."""
    values = array("f")
    values.frombytes(blob)
    return values


def ints(blob: bytes) -> array[int]:
    """Numbers of a blob of 32-bit integers."""
    values = array("i")
    values.frombytes(blob)
    return values


def written_turn(turn: Message) -> dict[str, object]:
    """A turn as JSON; of its image what it is known by, not where it lies: one without stands there as ever."""
    written: dict[str, object] = {"role": turn.role, "content": turn.content}
    if turn.image is not None:
        written["image"] = {"digest": turn.image.digest, "name": turn.image.name}
    return written


def read_turn(stored: Mapping[str, Any]) -> Message:
    """The turn of JSON that was stored."""
    image = stored.get("image")
    found: dict[str, Any] = {**stored, "image": None if image is None else Image(**image)}
    return Message(**found)


def read_decoding(settings: dict[str, object]) -> Decoding:
    """The decoding of settings that were stored as JSON."""
    settings.pop("sample", None)
    phrases = cast("list[list[str]]", settings.pop("phrases"))
    rules = cast("list[str]", settings.pop("rules", []))
    defenses = cast("list[str]", settings.pop("defenses", []))
    arguments = cast("list[list[str]]", settings.pop("template_args"))
    return Decoding(
        phrases=tuple(tuple(p) for p in phrases),
        rules=tuple(rules),
        defenses=tuple(defenses),
        template_args=tuple((a[0], a[1]) for a in arguments),
        **cast("dict[str, int]", settings),  # pyright: ignore[reportArgumentType]
    )


def read_response(row: tuple[Any, ...]) -> Response:
    """The response of a row, its columns in the order of the record's fields."""
    point, prompt, system, decoding, sample, text, thinking, n_tokens, finish, broken, gap = row
    return Response(
        point=stored_text(point),
        prompt=stored_text(prompt),
        system=stored_text(system),
        decoding=stored_text(decoding),
        sample=stored_int(sample),
        text=unpack_text(text),
        thinking=unpack_text(thinking),
        n_tokens=stored_int(n_tokens),
        finish_reason=cast("FinishReason", stored_text(finish)),
        broken=stored_text(broken),
        gap=gap,
    )


def pack_score(score: Score) -> tuple[bytes, bytes]:
    """Likelihoods and ends of tokens as the columns `nll` and `ends`."""
    return array("f", score.nll).tobytes(), array("i", score.ends).tobytes()


def unpack_score(response: str, nll: bytes, ends: bytes, *, under: str = "") -> Score:
    """The score of these columns.

    Raises:
        ValueError: where there are not as many ends as likelihoods.
    """
    likelihoods, places = tuple(floats(nll)), tuple(ints(ends))
    if len(likelihoods) != len(places):
        raise ValueError(f"{len(likelihoods)} likelihoods with {len(places)} ends")
    return Score(response=response, nll=likelihoods, ends=places, under=under)


def stored_number(value: object) -> float | None:
    """A number that may be missing.

    Raises:
        TypeError: as `stored_text`.
    """
    if value is not None and not isinstance(value, (int, float)):
        raise TypeError(f"{type(value).__name__} where a number was stored")
    return value


def read_verdict(row: tuple[Any, ...]) -> Verdict:
    """The verdict of the columns response, judge, version, label, success, reason, grade."""
    response, judge, version, label, success, reason, grade = row
    return Verdict(
        response=response,
        judge=judge,
        version=version,
        label=stored_text(label),
        success=None if success is None else bool(success),
        reason=unpack_text(reason),
        grade=stored_number(grade),
    )
