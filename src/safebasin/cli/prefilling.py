"""`prefill`: refusal behind a forced beginning of the answer, and the prefilling attack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from safebasin.cli.app import Json, app, state
from safebasin.cli.output import note, plain, print_json, say


@app.command()
def prefill(
    model: Annotated[str, typer.Argument(help="As for `map`. Without it: the embedded model.")] = "world:guild/aligned",
    harmful: Annotated[
        str | None,
        typer.Option("--harmful", help="Rows of harmful requests with harmful responses. A world has its own."),
    ] = None,
    benign: Annotated[str | None, typer.Option("--benign", help="Rows of permitted requests with answers.")] = None,
    tokens: Annotated[str, typer.Option("--tokens", help="How many tokens are forced; 0 is added.")] = "0,1,2,4,8,16",
    text: Annotated[
        str | None, typer.Option("--text", help="One text for all answers. [default: each row's own response]")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of figure and page.")] = Path("runs/prefill"),
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many rows of each side.")] = 100,
    judge: Annotated[str, typer.Option("--judge", help="By name; one that needs texts alone.")] = "refusal",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Behind what is forced.")] = 48,
    system: Annotated[str, typer.Option("--system", help="As for `map`.")] = "default",
    device: Annotated[str, typer.Option("--device", help="As for `map`.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="As for `map`.")] = "auto",
    template_arg: Annotated[
        list[str] | None, typer.Option("--template-arg", metavar="K=V", help="As for `map`. Repeatable.")
    ] = None,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="As for `map`.")] = False,
    json_: Json = False,
) -> None:
    """Show refusal behind a forced beginning of the answer.

    Harmful requests whose answers have begun, and benign ones: over-refusal.

    Examples: `safebasin prefill` · `safebasin prefill org/chat --harmful rows.jsonl --benign tea.jsonl --text "Sure,"`
    """
    from safebasin import api
    from safebasin import study as studies
    from safebasin.api.prefilling import prefill_document
    from safebasin.report.prefill import prefill_words

    state.folder = out
    found = api.measure_prefill(
        model, harmful=harmful, benign=benign, tokens=_numbers(tokens), text=text, out=out, limit=limit, judge=judge,
        max_new_tokens=max_new_tokens, system=system, device=device, dtype=dtype,
        template_args=studies.template_arguments(template_arg or ()), trust_remote_code=trust_remote_code,
        note=(lambda said: None) if json_ else note,
    )  # fmt: skip
    document = prefill_document(found)
    if json_:
        print_json(document)
        return
    for said in (*prefill_words(document), *found.notes):
        say(plain(said))
    say(f"report   {out / 'report.html'}")


def _numbers(text: str) -> list[int]:
    from safebasin.errors import UsageError, expected

    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(expected("--tokens", "whole numbers with commas between", text, "E.g. 0,1,2,4,8.")) from error
