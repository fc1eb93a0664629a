"""One table of every built-in: kind · name · "module:object" · summary · source. Targets are strings, resolved on use.

Third parties add rows through the entry-point group `safebasin.catalog`: each entry point resolves to an iterable of
`Row`, and the names of its rows are prefixed with the name of the package. A built-in is found the same way a
plugin is: through `get`, never by importing it. A kind of row is a file here.

    backends    the backends that the catalogue names
    calls       how the catalogue is called: `name(key=value, …)`, split into the name and its arguments
    directions  the directions that the catalogue names
    edits       the edits that the catalogue names: what makes one model of another without training it on rows
    engines     the engines that the catalogue names
    finetuning  the fine-tuning attacks and the defenses that the catalogue names
    judges      the judges that the catalogue names: those that only read, and those that ask another model
    lookup      finding a row by kind and name, and what its facts say
    making      calling what a row points to, with arguments of the types that it declares
    row         a row: one thing by name, and where its code is
    sets        the public prompt sets that safebasin can fetch: where each is, its licence, and how to cite it
    systems     the system prompts that the catalogue names: which texts ship, and where the published ones are found
    worlds      the worlds that the catalogue names
"""

from safebasin.catalog.calls import parse_call, write_call
from safebasin.catalog.lookup import (
    BUILTIN,
    GROUP,
    canonical,
    create,
    declared_stage,
    engine_row,
    get,
    is_exact,
    is_keyword,
    kinds,
    measures,
    of_kind,
    open_backend,
    open_engine,
    rows,
    target_of,
    world,
)
from safebasin.catalog.making import make, unknown
from safebasin.catalog.row import Row

__all__ = [
    "BUILTIN",
    "GROUP",
    "Row",
    "canonical",
    "create",
    "declared_stage",
    "engine_row",
    "get",
    "is_exact",
    "is_keyword",
    "kinds",
    "make",
    "measures",
    "of_kind",
    "open_backend",
    "open_engine",
    "parse_call",
    "rows",
    "target_of",
    "unknown",
    "world",
    "write_call",
]
