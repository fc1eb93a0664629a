"""What every page shares: template environment, the one script, and the policy under which nothing else may run.

Model output is hostile input. It reaches a page by two ways only: through the template, which escapes every value and
makes control codes visible, and through JSON, which the script writes as text, never as markup. A content security
policy names the two scripts by their hashes, so that nothing else could run even if it got in.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from safebasin.report.payload import embedded_json
from safebasin.report.sanitize import visible
from safebasin.store.sealing import seal
from safebasin.writing import write_text

__all__ = ["inline_image", "render_page", "render_still", "save_still"]

SCRIPTS = ("unpack", "base", "lines", "planes", "together", "forest", "responses", "page")
"""The parts of the page's script, in order; together they are one function, and nothing of it is global."""


def render_page(template: str, payload: object, **values: object) -> str:
    """A self-contained page as text, to be written as UTF-8.

    Args:
        template: name of a file beside this module.
        payload: what the script draws from, as plain values.
        values: what the template shows; escaped there.
    """
    script = _script()
    packed, digest = _packed_plotly()
    return (
        _environment()
        .get_template(template)
        .render(
            values,
            policy=_policy(_digest(script), digest),
            style=Markup(_resource("report.css")),  # ours, and no value of others in it
            plotly=Markup(packed),
            script=Markup(script),
            payload=Markup(embedded_json(payload)),
        )
    )


def render_still(template: str, **values: object) -> str:
    """A self-contained page without any script, as text, to be written as UTF-8.

    Args:
        template: name of a file beside this module.
        values: what the template shows; escaped there.
    """
    return _environment().get_template(template).render(values, style=Markup(_resource("report.css")))


def save_still(
    document: Mapping[str, Any],
    folder: Path,
    name: str,
    *,
    page: Callable[[Mapping[str, Any]], str],
    figure: Callable[[Mapping[str, Any], Path], object],
) -> Path:
    """Write what was found as `NAME.json`, `report.html` and a figure; returns the page.

    Args:
        document: as plain values.
        folder: made if needed; files of these names are overwritten.
        name: of the document.
        page: makes the page of it.
        figure: writes its figure into a folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure(document, folder / "figures")
    write_text(folder / f"{name}.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    report = folder / "report.html"
    write_text(report, page(document))
    seal(folder)
    return report


def inline_image(svg: bytes) -> str:
    """Give the address under which a page holds a figure in itself."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


@functools.cache
def _environment() -> jinja2.Environment:
    """Made once: another one would parse every template again."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("safebasin.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["number"] = _number
    made.filters["breakable"] = _breakable
    return made


def _finalize(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(call: str) -> Markup:
    """The text of a call or a tensor, `resta(unaligned=FOLDER/base)`, that a narrow column breaks between its parts."""
    parts = re.split(r"(?<=[(=/,;])|(?=\.[A-Za-z_])", visible(call))
    return Markup("<wbr>").join(escape(part) for part in parts)


def _resource(name: str) -> str:
    return resources.files("safebasin.report").joinpath("templates", *name.split("/")).read_text(encoding="utf-8")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _script() -> str:
    parts = [_resource(f"script/{name}.js") for name in SCRIPTS]
    return '"use strict";\n(async function () {\n' + "\n".join(parts) + "})();\n"


@functools.cache
def _packed_plotly() -> tuple[str, str]:
    """The chart library, compressed for the script to unpack, and the digest of what it then runs.

    It is nine tenths of a page: compressed, a page weighs less than half. A browser without `DecompressionStream` shows
    the pictures that one without scripts shows.
    """
    from plotly.offline import get_plotlyjs

    library = get_plotlyjs()
    return base64.b64encode(zlib.compress(library.encode(), 9)).decode(), _digest(library)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _policy(*digests: str) -> str:
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
