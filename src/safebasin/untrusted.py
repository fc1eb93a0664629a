"""Files that others wrote: the one place where they are opened, bounded and parsed. Values out, or one line of help.

Regular files only, up to a size; YAML and JSON without keys that stand twice, YAML without bombs, JSON of some
hundred levels.
Whatever a parser raises becomes an error with the name of the file. Folders of models have a border of their own
(`models.files`).
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Generator, Hashable, Iterable
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, cast

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from safebasin.errors import MissingFile, ModelError, SafebasinError, UsageError, expected

__all__ = [
    "MIB",
    "border",
    "check_typed_path",
    "is_inside",
    "is_memory",
    "read_bytes",
    "read_json",
    "read_text",
    "read_yaml",
    "scalar",
    "user_path",
    "yaml_value",
]

MIB = 2**20
_DEEPEST = 50
_MOST_NODES = 50_000
_DEEPEST_JSON = 200
"""Levels; what is deeper would end whatever walks over it, at a place that nobody can foretell."""
_LARGEST = 10**100
_YAML_CAP = MIB // 2


@contextmanager
def border(
    what: str,
    constraint: str,
    error: type[UsageError] = UsageError,
    remedy: str = "Mend it.",
    *,
    value: object = None,
) -> Generator[None]:
    """Whatever a parser raises for a file that came from elsewhere, as one line; memory that is short stays that.

    Only around foreign code: a defect of our own must not look like a broken file.

    Args:
        what: what is read, for messages.
        constraint: what it must be.
        error: kind of the error.
        remedy: what to do.
        value: what was given; the parser's own words then stand before the remedy, else in its place.

    Raises:
        UsageError: of the given kind, with the parser's own words.
    """
    try:
        yield
    except (SafebasinError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as caught:  # a panic of Rust code is no Exception
        if is_memory(caught):
            raise
        said = " ".join(str(caught).split())[:200] or type(caught).__name__
        got, then = (said, remedy) if value is None else (value, f"({said}) {remedy}")
        raise error(expected(what, constraint, got, then)) from caught


def is_memory(error: BaseException) -> bool:
    """Tell whether this is torch saying that memory is short: its own error is one, the CPU allocator raises a plain
    one.
    """
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text.lower() or "DefaultCPUAllocator" in text)


def user_path(text: str | Path) -> Path:
    """A path as a user wrote it, `~` written out; that of somebody unknown stays, and is then not there."""
    return Path(os.path.expanduser(text))


def check_typed_path(model: str) -> None:
    """Check that a model that is written as a path is there: before anything else is asked of who mistyped it.

    Args:
        model: as the user wrote it; hub ids and models of worlds pass.

    Raises:
        ModelError: where nothing is there.
    """
    bare = re.split(r"[@#+]", model)[0]
    if model.startswith((".", "/", "~")) and not user_path(model).exists() and not user_path(bare).exists():
        remedy = "Check the path; a hub id has the form org/name."
        raise ModelError(expected("model", "an existing folder or GGUF file (nothing there)", model, remedy))


def is_inside(name: str) -> bool:
    """Tell whether a relative path with `/` stays in its folder and is written as we write it."""
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and ":" not in name
    return bool(path.parts) and plain and not path.is_absolute() and ".." not in path.parts and str(path) == name


def read_bytes(path: Path, what: str, *, error: type[UsageError] = UsageError, most: int = 64 * MIB) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        what: what it is, for messages.
        error: kind of the error.
        most: bytes that it may have.

    Raises:
        UsageError: of the given kind (`MissingFile` for a `PromptError` where it is not there): no regular file, too
            large, not to be read.
    """
    shown = str(path)
    try:
        # not blocking: opening a pipe would wait for its other end
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as caught:
        kind = MissingFile if issubclass(MissingFile, error) else error
        raise kind(expected(what, "an existing file", shown, "Check the path.")) from caught
    except (OSError, ValueError) as caught:
        raise error(expected(what, "a file that can be read", shown, f"({caught}) Check the path.")) from caught
    found = os.fstat(handle)
    with open(handle, "rb") if stat.S_ISREG(found.st_mode) else _closing(handle) as file:
        if file is None:
            raise error(expected(what, "a regular file", shown, "A folder, a pipe or a device cannot be read whole."))
        if found.st_size <= most:
            try:
                data = file.read(most + 1)
            except OSError as caught:
                raise error(expected(what, "a file that can be read", shown, f"({caught}) Check it.")) from caught
            if len(data) <= most:
                return data
    size = f"at most {most // MIB} MB" if most >= MIB else f"at most {most // 1024} kB"
    raise error(expected(what, f"a file of {size}", f"{shown} ({found.st_size} bytes)", "Take a smaller one."))


@contextmanager
def _closing(handle: int) -> Generator[None]:
    try:
        yield
    finally:
        os.close(handle)


def read_text(path: Path, what: str, *, error: type[UsageError] = UsageError, most: int = 64 * MIB) -> str:
    """The text of a UTF-8 file; a byte-order mark is dropped.

    Raises:
        UsageError: as `read_bytes`, and where it is not UTF-8.
    """
    try:
        return read_bytes(path, what, error=error, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as caught:
        remedy = f"Byte {caught.start} is not; save the file as UTF-8."
        raise error(expected(what, "a UTF-8 text file", str(path), remedy)) from caught


def read_json(
    text: str, what: str, *, error: type[UsageError] = UsageError, remedy: str = "Mend it.", lenient: bool = False
) -> Any:
    """The value of a JSON text.

    Args:
        text: the text.
        what: what it is, for messages.
        error: kind of the error.
        remedy: what to do.
        lenient: of a key that stands twice take the last, as most readers do: for what a program wrote, not a person.

    Raises:
        UsageError: of the given kind, where it does not parse, holds a key twice, or is nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=None if lenient else _once)
        if text.count("[") + text.count("{") > _DEEPEST_JSON:
            _check_levels(value)
        return value
    except RecursionError as caught:
        raise error(expected(what, "valid JSON", "too many levels in one another", remedy)) from caught
    except ValueError as caught:
        raise error(expected(what, "valid JSON", str(caught), remedy)) from caught


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice in one object")
    return found


def _check_levels(value: object) -> None:
    level = [value]
    for _ in range(_DEEPEST_JSON + 1):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list)))
        level = [one for values in cast("Iterable[Iterable[object]]", inner) for one in values]
        if not level:
            return
    raise RecursionError


def read_yaml(path: Path, what: str, *, error: type[UsageError] = UsageError) -> Any:
    """The value of a YAML file of at most 512 kB.

    Raises:
        UsageError: as `read_text` and `yaml_value`.
    """
    return yaml_value(read_text(path, what, error=error, most=_YAML_CAP), what, error=error)


def yaml_value(text: str, what: str, *, error: type[UsageError] = UsageError) -> Any:
    """The value of a YAML text.

    Raises:
        UsageError: of the given kind, where it is no YAML, holds a key twice, a key that is no text, a value that is
            none (a 13th month, a number of thousands of digits), or more levels or repetitions than anybody writes.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as caught:
        mark, problem = getattr(caught, "problem_mark", None), getattr(caught, "problem", None) or str(caught)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise error(expected(f"{what}{where}", "valid YAML", problem, "Mend that line.")) from caught
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as caught:
        said = " ".join(str(caught).split())[:200]
        raise error(expected(what, "valid YAML", said, "Put the value into quotes, or mend it.")) from caught


def scalar(text: str, what: str, *, error: type[UsageError] = UsageError) -> str | int | float | bool | None:
    """A value as YAML reads it (`false`, `3`, `some text`): no list, no mapping; a date stays a text.

    Raises:
        UsageError: as `yaml_value`, and where it is a list or a mapping.
    """
    value = yaml_value(text, what, error=error)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, dict)):
        raise error(expected(what, "a plain value", text, "Put it into quotes."))
    return text


class _Loader(yaml.SafeLoader):
    """Plain YAML, bounded, in which a key that stands twice is an error instead of silently the last."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            mark = cast("Any", self.peek_event()).start_mark
            raise ComposerError(None, None, f"more than {_DEEPEST} levels in one another", mark)
        try:
            return super().compose_node(parent, index)  # pyright: ignore[reportUnknownMemberType]
        finally:
            self._depth -= 1

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _written_out(node, {}, ())
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = cast("object", self.construct_object(key_node, deep=True))  # pyright: ignore[reportUnknownMemberType]
            if not isinstance(key, str):
                problem = "a key must be plain text (put it into quotes)"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                problem = f"the key {key!r} stands here twice"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        if abs(value) > _LARGEST:
            raise ConstructorError(None, None, "a number of too many digits", node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)  # pyright: ignore[reportUnknownMemberType]


def _written_out(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Number of nodes with every alias written out; an alias is cheap until somebody walks over what it stands for."""
    if id(node) in above:
        raise ComposerError(None, None, "an alias that stands for itself", node.start_mark)
    if id(node) in known:
        return known[id(node)]
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    size = 1 + sum(_written_out(part, known, (*above, id(node))) for part in inner)
    if size > _MOST_NODES:
        problem = f"more than {_MOST_NODES:,} values, aliases written out"
        raise ComposerError(None, None, problem, node.start_mark)
    known[id(node)] = size
    return size
