"""`plan`: what `map` would do, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from safebasin.cli.app import Json, app
from safebasin.cli.mapping import study_of
from safebasin.cli.options import StudyOptions, with_study_options
from safebasin.cli.output import note, print_json, say
from safebasin.errors import UsageError
from safebasin.run.progress import duration

if TYPE_CHECKING:
    from safebasin.run.preview import Planned
    from safebasin.run.pricing.records import Price, Quote


@app.command()
@with_study_options
def plan(
    options: StudyOptions,
    accelerator: Annotated[
        list[str] | None,
        typer.Option(
            "--accelerator",
            metavar="NAME",
            help="Reckon for this one, as h100. Repeatable. [default: all known]",
            show_default=False,
        ),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(
            "--price-per-hour",
            help="What an hour of it costs; with --probe alone, of this machine.",
            show_default=False,
        ),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Load the model, measure this machine for ten seconds, reckon for it too.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show what `map` would run, run nothing. Says what is done, missing or unknown, and what the rest costs.

    Example: `safebasin plan study.yaml -o runs/study` · `safebasin plan org/model --prompts advbench --probe`
    · `safebasin plan org/model --prompts advbench --accelerator h100 --price-per-hour 2.5`
    """  # fmt: skip
    from safebasin import api

    study, _ = study_of(options)
    planned = api.plan_study(
        study, out=options.out, accelerators=accelerator or (), price_per_hour=price_per_hour, probe=probe
    )
    if planned.missing:
        raise UsageError(" Also: ".join(planned.missing))
    if json_:
        print_json({**asdict(planned), "study": study.model_dump(mode="json")})
        return
    for name, value in _rows(planned):
        say(f"{name:<10} {value}")
    if planned.price is not None:
        for line in _price_lines(planned.price):
            say(line)
    for what in planned.unknown:
        note(f"not known  {what}")


def _rows(planned: Planned) -> Iterator[tuple[str, str]]:
    yield "model", planned.study.model
    yield "folder", str(planned.folder)
    yield "points", str(planned.points)
    yield "prompts", f"{planned.prompts} × {planned.systems} system {'prompt' if planned.systems == 1 else 'prompts'}"
    yield "responses", f"{planned.responses}, of which {planned.done} are done"
    yield "to decode", f"{planned.batches_left} batches, at most {planned.max_tokens_left:,} new tokens"
    n_bytes = planned.weights_bytes
    yield "weights", "unknown" if n_bytes is None else f"{n_bytes / 1e6:,.1f} MB on disk"
    if planned.unscored:
        yield "to score", f"{planned.unscored} responses that are there"
    yield "time", "unknown" if planned.seconds_left is None else _about(planned.seconds_left)


def _price_lines(price: Price) -> Iterator[str]:
    """What the rest costs, for a person: expected, and at most."""
    expected, most, memory = price.expected, price.most, price.memory
    yield ""
    yield "what is left, expected (at most)"
    yield (
        f"tokens     {expected.decoded_tokens:,} decoded ({most.decoded_tokens:,}), "
        f"{expected.read_tokens:,} of prompts ({most.read_tokens:,}), "
        f"{expected.scored_tokens:,} read once more at θ₀ ({most.scored_tokens:,})"
    )
    yield (
        f"work       {_scaled(expected.flops, 'FLOP')} ({_scaled(most.flops, 'FLOP')}), "
        f"{_scaled(expected.bytes_moved, 'B')} moved ({_scaled(most.bytes_moved, 'B')}) in {memory.dtype}"
    )
    yield (
        f"memory     {_scaled(memory.weights, 'B')} of weights, as much for θ₀ on the host, up to "
        f"{_scaled(memory.directions, 'B')} for directions, {_scaled(memory.row, 'B')} a row "
        f"(keys and values {_scaled(memory.cache, 'B')})"
    )
    for sentence in price.said:
        yield f"           {sentence}"
    for number, line in enumerate(price.formula):
        yield f"{'' if number else 'formula':<10} {line}"
    yield ""
    yield f"{'on':<16} {'dtype':<9} {'memory':>8} {'batch':>6} {'expected':>10} {'at most':>10} {'cost, USD':>20}"
    for quote in (*([price.here] if price.here else []), *price.quotes):
        yield _quote_line(quote)
    if price.here is not None and price.probed is not None:
        yield (
            f"here: C {price.here.compute_efficiency:.1%} of {_scaled(price.here.peak_flops, 'FLOP/s')}, "
            f"B {price.here.bandwidth_efficiency:.1%} of {_scaled(price.here.bandwidth, 'B/s')}, measured in "
            f"{price.probed.seconds:.0f} s; {price.probed.start_seconds:.0f} s to load"
        )
    if price.quotes:
        one = price.quotes[0]
        yield (
            f"elsewhere: C {one.compute_efficiency:.0%}, B {one.bandwidth_efficiency:.0%}, assumed; loading, the "
            "report and the launching of kernels, which is most of a small model's time, left out; none of them was run"
        )
        yield f"numbers: {price.sources}"
    for sentence in price.advice:
        yield f"fits       {sentence}"


def _quote_line(quote: Quote) -> str:
    head = f"{quote.name:<16} {quote.dtype:<9} {_scaled(quote.memory_bytes, 'B'):>8}"
    if quote.seconds is None or quote.seconds_most is None:
        needed = f"does not fit; needs {quote.devices_needed}"
        return f"{head} {needed:>28}"
    cost = (
        "" if quote.cost is None or quote.cost_most is None else f"{_dollars(quote.cost)} ({_dollars(quote.cost_most)})"
    )
    return f"{head} {quote.batch:>6} {_seconds(quote.seconds):>10} {_seconds(quote.seconds_most):>10} {cost:>20}"


def _about(seconds: float) -> str:
    return "under a second" if 0 < seconds < 0.5 else f"about {duration(seconds)}"


def _seconds(seconds: float) -> str:
    """What rounds to 0 s is not nothing."""
    return "< 1 s" if 0 < seconds < 0.5 else duration(seconds)


def _dollars(cost: float) -> str:
    return "< 0.01" if 0 < cost < 0.005 else f"{cost:,.2f}"


def _scaled(value: float, unit: str) -> str:
    """A number with three digits and a prefix: 1.23 TB."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3g} E{unit}"
