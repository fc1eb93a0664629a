"""Files to begin with, and the schemas that editors read to complete and check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safebasin.api.requests import checks_keywords
from safebasin.errors import UsageError, expected

__all__ = ["file_schema", "write_starter"]


@checks_keywords
def file_schema(kind: str) -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of `study` or `policy` files.

    It knows shapes, names and bounds; what only a look at model or prompts can tell, `safebasin plan` checks.

    Raises:
        UsageError: where there is no such kind of file.
    """
    from safebasin.audit.schema import policy_schema
    from safebasin.study.schema import study_schema

    made = {"study": study_schema, "policy": policy_schema}
    if kind not in made:
        raise UsageError(expected("kind of file", "study or policy", kind, "E.g.: safebasin schema study."))
    return made[kind]()


@checks_keywords
def write_starter(folder: str | Path = ".") -> tuple[Path, ...]:
    """Write `study.yaml` and `policy.yaml`, every key explained, and the schema of each beside it.

    Args:
        folder: made if needed.

    Returns:
        The files, those to edit first.

    Raises:
        UsageError: where one of them is there already, and then nothing is written.
        StoreError: where the folder cannot be written.
    """
    from safebasin.audit.schema import starter_policy
    from safebasin.study.starter import starter_study
    from safebasin.writing import target_file, write_text

    made = Path(folder)
    texts = {"study.yaml": starter_study("study.schema.json"), "policy.yaml": starter_policy("policy.schema.json")}
    schemas = {f"{kind}.schema.json": file_schema(kind) for kind in ("study", "policy")}
    texts |= {name: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for name, schema in schemas.items()}
    for name in texts:
        if (made / name).exists() or (made / name).is_symlink():
            remedy = "Nothing was written. Name another folder, or move the file away."
            raise UsageError(expected("folder", f"one without {name}", str(made), remedy))
    made.mkdir(parents=True, exist_ok=True)
    paths = {name: target_file(made / name, "folder") for name in texts}
    for name, text in texts.items():
        write_text(paths[name], text)
    return tuple(made / name for name in texts)
