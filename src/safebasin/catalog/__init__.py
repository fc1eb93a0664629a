"""One table of every built-in: kind · name · "module:object" · summary · source. Targets are strings, resolved on use.

Third parties add rows through the entry-point group `safebasin.catalog`: each entry point resolves to an iterable of
`Row`, and the names of its rows are prefixed with the name of the package. A built-in is found the same way a
plugin is: through `get`, never by importing it. A kind of row is a file here.
"""

from safebasin.catalog.calls import parse_call
from safebasin.catalog.lookup import (
    BUILTIN,
    GROUP,
    create,
    get,
    is_exact,
    is_keyword,
    kinds,
    measures,
    of_kind,
    open_backend,
    open_engine,
    rows,
    unknown,
    world,
)
from safebasin.catalog.row import Row

__all__ = [
    "BUILTIN",
    "GROUP",
    "Row",
    "create",
    "get",
    "is_exact",
    "is_keyword",
    "kinds",
    "measures",
    "of_kind",
    "open_backend",
    "open_engine",
    "parse_call",
    "rows",
    "unknown",
    "world",
]
