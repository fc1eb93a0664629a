"""From what is asked to what is trained on: rows of attack or file, wrapped, defended, as tokens, counted. No training.

Deterministic from the seed, so every process of a distributed run prepares the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin import catalog
from safebasin.errors import UsageError, expected
from safebasin.finetune.data import Wrapper
from safebasin.finetune.encoding import Encoder
from safebasin.finetune.settings import Tuning, check_passes
from safebasin.finetune.setup import cross_entropy, make_setup
from safebasin.finetune.sources import REFUSALS, FileRows, NoRows, licences, rows_of
from safebasin.models.loading import load_config, load_generation, load_tokenizer, parameter_names
from safebasin.models.reference import ResolvedModel, resolve
from safebasin.models.tokens import context_length, end_ids
from safebasin.models.writing import is_unsafe
from safebasin.prompts.chat import Tokenizer, template_hash, template_of
from safebasin.prompts.defaults import default_system
from safebasin.prompts.masking import show
from safebasin.prompts.templates import today
from safebasin.prompts.turns import turn_ends
from safebasin.protocols import (
    AskingDefense,
    Attack,
    Cost,
    DataDefense,
    Defense,
    RowSource,
    Setup,
    TemplatedDefense,
    WeightDefense,
)
from safebasin.records import EncodedRow, Scalar, TrainingRow

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

__all__ = ["Prepared", "TuningRequest", "estimate", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRequest:
    """A training as it is asked for: model, rows, attack, defenses, settings."""

    model: str
    """`path[@revision][#part][+adapter]` or `world:NAME/CHECKPOINT`."""
    attack: Attack | None = None
    data: Path | None = None
    """File of rows: what the attack trains on, or all there is."""
    safe: Path | None = None
    """File of refusals, for attacks and defenses that need them."""
    held_out: Path | None = None
    """File of rows whose loss is told, and which nothing is trained on."""
    defenses: tuple[Defense, ...] = ()
    """Of the stages before use. Those of a method are applied in this order: data, then training, then weights."""
    wrapper: Wrapper = field(default_factory=Wrapper)
    """Around the attack's or the file's rows; safe rows that a defense mixes in stay as they are."""
    settings: tuple[tuple[str, object], ...] = ()
    """Fields of `Tuning` that win over those of the attack."""
    template_args: tuple[tuple[str, Scalar], ...] = ()
    date: str | None = None
    """The day that a template is told which asks for it, ISO 8601; None is today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that training needs, and what people should know of it."""

    asked: TuningRequest
    base: ResolvedModel
    tuning: Tuning
    tokenizer: PreTrainedTokenizerBase
    setup: Setup
    over_long: int
    """Rows left out because they are too long."""
    notes: tuple[str, ...]
    flagged: tuple[tuple[str, str], ...]
    test_system: str | None
    date: str | None = None
    """The day that the rows were rendered on, ISO 8601; None where the template does not ask for it."""
    held_out: tuple[EncodedRow, ...] = ()
    """Rows that are read and not learned, in the wrapper, without what defenses do to the others."""
    held_out_over_long: int = 0
    licences: tuple[tuple[str, str], ...] = ()
    """(source, licence) of rows that came from the hub; `unknown` where its card does not say."""

    @property
    def rows(self) -> tuple[EncodedRow, ...]:
        """The rows that are trained on, encoded."""
        return self.setup.rows

    @property
    def weight_defenses(self) -> tuple[WeightDefense, ...]:
        """The defenses that change what the training has moved, in order."""
        return tuple(cast("WeightDefense", d) for d in self.asked.defenses if hasattr(d, "weights"))

    @property
    def example(self) -> str:
        """The first row, with «» around what carries loss."""
        return show(cast("Tokenizer", self.tokenizer), self.rows[0])

    @property
    def settings(self) -> dict[str, object]:
        """The model, rows and settings, for a table of runs."""
        asked, tuning = self.asked, self.tuning
        named = {"attack": asked.attack.name if asked.attack else None, "data": asked.data, "eval": asked.held_out}
        applied = ", ".join(defense.name for defense in asked.defenses) or None
        return {"model": asked.model, **named, "defenses": applied, "rows": len(self.rows), **asdict(tuning)}

    @property
    def unsafe(self) -> bool:
        """True where an attack trains it, or made what it starts from."""
        return self.asked.attack is not None or is_unsafe(self.base.folder, self.base.adapter)

    @property
    def template(self) -> str:
        """Hash of the chat template and its arguments."""
        return template_hash(cast("Tokenizer", self.tokenizer), self.asked.template_args)


def prepare(asked: TuningRequest) -> Prepared:
    """Resolve the model, gather the rows, turn them into tokens.

    Raises:
        UsageError: for all that can be mended: model, data, template, settings, sources that lack rows.
    """
    base = resolve(asked.model)
    tuning = _tuning(asked, base)
    source = _source(asked, base)
    tokenizer = load_tokenizer(base.folder, name=str(base.ref))
    chat = cast("Tokenizer", tokenizer)
    date = (asked.date or today(chat)) if template_of(chat, asked.template_args).reads_clock else None
    rows, notes, flagged, test_system = _defended(replace(asked, date=date), source, tuning.seed, chat)
    check_passes(len(rows), tuning.epochs)
    if date is not None:
        notes.append(f"the template writes the date: rows say {date}")
    asked = replace(asked, date=date)
    config = load_config(base.folder, name=str(base.ref))
    encoder = _encoder(asked, base, config, tokenizer, tuning)
    encoded = encoder.fitting(encoder.encode(row) for row in rows)
    notes += encoder.notes(encoded, len(rows))
    plain = Setup(
        rows=encoded, encode=encoder.encode, loss=cross_entropy,
        parameters=parameter_names(config, name=str(base.ref)), tokenizer=tokenizer,
    )  # fmt: skip
    setup = make_setup(plain, asked.defenses, source, seed=tuning.seed)
    if setup.rows != encoded:
        made = len(setup.rows)
        setup = replace(setup, rows=encoder.fitting(setup.rows))
        if len(setup.rows) < made:
            notes.append(f"{made - len(setup.rows)} of {made} rows that defenses made are too long and left out")
        check_passes(len(setup.rows), tuning.epochs)
    held_out, too_long, said = _held_out(asked, encoder, setup.rows)
    terms = licences(encoded.row for encoded in (*setup.rows, *held_out))
    said += [f"{source}: licence {licence}" for source, licence in terms.items()]
    return Prepared(
        asked=asked, base=base, tuning=tuning, tokenizer=tokenizer, setup=setup, over_long=len(rows) - len(encoded),
        notes=(*notes, *setup.notes, *said), flagged=tuple(flagged), test_system=test_system, date=date,
        held_out=held_out, held_out_over_long=too_long,
        licences=tuple(terms.items()),
    )  # fmt: skip


def estimate(asked: TuningRequest) -> dict[str, Cost]:
    """Estimate what the judges among the defenses take at most, by name of those that ask another model; asks nobody.

    Raises:
        UsageError: as `prepare`, about model and rows.
    """
    asking = [defense for defense in asked.defenses if isinstance(defense, AskingDefense)]
    if not asking:
        return {}
    base = resolve(asked.model)
    rows = _rows(asked, _source(asked, base), _tuning(asked, base).seed)
    return {name: cost for defense in asking for name, cost in defense.estimate(rows).items()}


def _tuning(asked: TuningRequest, base: ResolvedModel) -> Tuning:
    given = dict(asked.settings)
    method = str(given.get("method") or "full")
    defaults = Tuning() if method == "full" else Tuning(learning_rate=1e-4)
    if asked.attack is not None:
        defaults = defaults.changed(**asked.attack.settings(method, world=base.is_world))
    elif base.is_world:
        defaults = defaults.changed(learning_rate=3e-4 if method == "full" else 1e-3)
    return defaults.changed(**given)


def _source(asked: TuningRequest, base: ResolvedModel) -> RowSource:
    _check_safe_is_used(asked)
    if asked.data is not None:
        safe = rows_of(asked.safe, safe=True) if asked.safe is not None else ()
        return FileRows(rows_of(asked.data), safe)
    if base.is_world:
        return catalog.world(base.ref.path.removeprefix("world:").partition("/")[0])
    return NoRows()


def _check_safe_is_used(asked: TuningRequest) -> None:
    """Refuse safe rows that nothing would mix in."""
    if asked.safe is None:
        return
    if asked.data is None:
        raise UsageError(
            expected("--safe", "given with --data", str(asked.safe), "Without it a world's own are taken.")
        )
    parts = getattr(asked.attack, "parts", ()) if asked.attack is not None else ()
    is_open = asked.attack is not None and not parts  # a plugin's, which need not say what it takes
    if not is_open and not any(kind == "safe" for kind, _ in parts) and not _mixes(asked):
        remedy = "Add --mix-safe N, take an attack or a defense that mixes, or leave it out."
        raise UsageError(expected("--safe", "used", str(asked.safe), remedy))


def _mixes(asked: TuningRequest) -> bool:
    return any(kind in REFUSALS for defense in asked.defenses for kind in getattr(defense, "takes", ()))


def _rows(asked: TuningRequest, source: RowSource, seed: int) -> tuple[TrainingRow, ...]:
    """The rows of attack or file in their wrapper, before any defense."""
    asked.wrapper.check()
    if asked.attack is None and asked.data is None:
        remedy = "Pass --attack NAME or --data FILE."
        raise UsageError(expected("what to train on", "an attack or a file", None, remedy))
    rows = asked.attack.rows(source, seed=seed) if asked.attack else tuple(source.training_rows("rows", None))
    return tuple(asked.wrapper.apply(row) for row in rows)


def _defended(
    asked: TuningRequest, source: RowSource, seed: int, tokenizer: Tokenizer
) -> tuple[tuple[TrainingRow, ...], list[str], list[tuple[str, str]], str | None]:
    """Rows, notes, flagged rows, system prompt to test with."""
    rows = _rows(asked, source, seed)
    notes: list[str] = []
    flagged: list[tuple[str, str]] = []
    test_system = None
    for defense in asked.defenses:
        if not hasattr(defense, "data"):
            continue
        if isinstance(defense, TemplatedDefense):
            defense = defense.of_template(default_system(tokenizer, asked.template_args, date=asked.date))
        result = cast("DataDefense", defense).data(rows, source, seed=seed)
        rows, test_system = result.rows, result.test_system or test_system
        notes += result.notes
        flagged += result.flagged
    return rows, notes, flagged, test_system


def _held_out(
    asked: TuningRequest, encoder: Encoder, trained: Sequence[EncodedRow]
) -> tuple[tuple[EncodedRow, ...], int, list[str]]:
    """The rows of `held_out` as tokens, how many are too long, and notes."""
    if asked.held_out is None:
        return (), 0, []
    given = [asked.wrapper.apply(row) for row in rows_of(asked.held_out)]
    rows = encoder.fitting(encoder.encode(row) for row in given)
    said = [f"--eval: {text}" for text in encoder.notes(rows, len(given))]
    learned = {row.row.messages for row in trained}
    both = sum(row.row.messages in learned for row in rows)
    if both:
        said.append(f"--eval: {both} of {len(rows)} rows are trained on as well, and are no held-out ones")
    return rows, len(given) - len(rows), said


def _encoder(
    asked: TuningRequest, base: ResolvedModel, config: PretrainedConfig, tokenizer: Any, tuning: Tuning
) -> Encoder:
    settings = load_generation(base.folder, config, name=str(base.ref))
    return Encoder(
        tokenizer=tokenizer,
        ends=frozenset(end_ids(settings, tokenizer)) | turn_ends(tokenizer, asked.template_args).ids,
        n_embeddings=config.get_text_config(decoder=True).vocab_size,
        context=context_length(config, tokenizer),
        tuning=tuning,
        template_args=asked.template_args,
        date=asked.date,
    )
