"""The worst-case direction: the low-rank change that makes a model stop refusing fastest. An attack, not a recipe.

A few steps of gradient ascent on the likelihood of *not refusing*, on a stated handful of prompts, give a LoRA adapter
marked `unsafe: true`; the landscape then sees an ordinary `adapter` axis. **No harmful text is needed or made**: the
model's own refusals are decoded greedily, and the probability of their first tokens is pushed down (`ascent`). Own
definition: Peng et al. draw no worst-case direction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safebasin.edits.ascent import Ascent, ascend
from safebasin.edits.record import read_edit, write_edit
from safebasin.edits.refusals import OwnRefusal, by_judge, own_refusals, predicate
from safebasin.errors import MissingExtra, PromptError, UsageError, expected
from safebasin.models.reference import ResolvedModel, resolve
from safebasin.models.writing import new_folder, versions
from safebasin.protocols import RowSource
from safebasin.records import Prompt, Scalar, System

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Ascent", "WorstCase", "WorstCaseEdit", "find_worst_case", "overlap", "read_worst_case", "worst_case"]

_KIND = "worst_case"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """A worst-case direction that was found: where, from what, and by which prompts."""

    path: Path
    """The adapter's folder; not written to its record."""
    base: str
    """The model as the user wrote it."""
    fingerprint: str
    """Of the base."""
    ascent: Ascent
    system: str
    """`System.id` of the system prompt that the refusals were drawn under."""
    prompts: tuple[str, ...]
    """`Prompt.id`s of those the model refused: what the direction was found on."""
    behaviors: tuple[str, ...]
    """Their behaviors, where the set names them."""
    skipped: int
    """Prompts given that the model did not refuse; they were not used."""
    losses: tuple[float, ...]
    """Average of −log(1 − p) in nats: before the first step, and after each."""
    versions: dict[str, str]

    @property
    def reached(self) -> bool:
        """True where the last loss is at or below `ascent.enough`."""
        return self.losses[-1] <= self.ascent.enough

    @property
    def axis(self) -> str:
        """The axis to map, as `--axis` reads it."""
        return f"adapter:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCaseEdit:
    """The search for a worst case, as an edit: on the prompts of the source's refusals."""

    prompts: int
    steps: int
    judge: str
    takes: tuple[str, ...] = field(default=("safe",), init=False)

    @property
    def name(self) -> str:
        """As in the catalogue."""
        return f"{_KIND}(prompts={self.prompts}, steps={self.steps}, judge={self.judge})"

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write the adapter; see `find_worst_case`."""
        asked = dict.fromkeys(row.prompt for row in source.training_rows("safe", self.prompts, seed=seed))
        ascent = Ascent(steps=self.steps, seed=seed)
        return find_worst_case(
            model, tuple(asked), out, refuses=by_judge(self.judge), ascent=ascent, device=device
        ).path


def worst_case(prompts: int = 10, steps: int = 40, judge: str = "refusal") -> WorstCaseEdit:
    """The low-rank change that makes a model stop refusing fastest. An attack.

    Args:
        prompts: how many rows of the source are asked, ≥ 1.
        steps: of gradient ascent, at most.
        judge: what tells that the model refuses.

    Raises:
        UsageError: where a number is out of range.
    """
    Ascent(steps=steps).check()
    if prompts < 1:
        raise UsageError(expected("prompts of the worst case", "at least 1", prompts, "Raise it."))
    return WorstCaseEdit(prompts=prompts, steps=steps, judge=judge)


def find_worst_case(
    model: str,
    prompts: Sequence[Prompt],
    out: Path,
    *,
    refuses: Callable[[str], bool] | Sequence[str],
    ascent: Ascent | None = None,
    system: System | None = None,
    template_args: Iterable[tuple[str, Scalar]] = (),
    max_new_tokens: int = 64,
    device: str = "cpu",
) -> WorstCase:
    """Find the worst-case direction of a model and save it as a LoRA adapter in `out`.

    Deterministic: the same arguments, versions, device and thread count give the same bytes.

    Args:
        model: `path[@revision][#part][+adapter]` or `world:NAME/CHECKPOINT`.
        prompts: a handful (ten, say) that the model refuses, kept apart from those it is evaluated on: see `overlap`.
        out: a new or empty folder. It is written whole or not at all.
        refuses: what tells that a response refuses: a function of its text, or phrases such as those of a keyword
            judge.
        ascent: the settings; the defaults turn the embedded world's aligned model.
        system: the system prompt of the study; None passes no system turn.
        template_args: passed to the chat template; switch reasoning off here, since it is read as part of the response.
        max_new_tokens: how far responses are decoded before they are told apart.
        device: where to train, as torch names it.

    Raises:
        MissingExtra: where PEFT is not installed.
        PromptError: where the model refuses none of the prompts.
        ModelError: where the model cannot be used, or the loss is not finite; nothing is kept then.
        UsageError: where a setting is out of range, or `out` is not empty.
    """
    _require_peft()
    ascent, system = ascent or Ascent(), system or System(name="default")
    ascent.check()
    resolved = resolve(model)
    with new_folder(Path(out)) as folder:
        loaded, tokenizer = _load(resolved, device)
        asked = [system.messages(prompt) for prompt in prompts]
        refusals = own_refusals(
            loaded, tokenizer, asked, predicate(refuses), max_new_tokens=max_new_tokens, template_args=template_args
        )
        losses = ascend(loaded, _some(refusals, prompts), ascent, folder, model)
        used = [prompts[refusal.place] for refusal in refusals]
        found = _record(Path(out), resolved, ascent, system, used, len(prompts), losses)
        _describe(found, resolved, folder)
    return found


def _some(refusals: Sequence[OwnRefusal], prompts: Sequence[Prompt]) -> Sequence[OwnRefusal]:
    if not refusals:
        remedy = "Pass prompts that it refuses, or check what tells a refusal."
        raise PromptError(expected("prompts", "ones that the model refuses", f"0 of {len(prompts)}", remedy))
    return refusals


def _record(
    out: Path,
    base: ResolvedModel,
    ascent: Ascent,
    system: System,
    used: Sequence[Prompt],
    given: int,
    losses: tuple[float, ...],
) -> WorstCase:
    return WorstCase(
        path=out,
        base=str(base.ref),
        fingerprint=base.fingerprint,
        ascent=ascent,
        system=system.id,
        prompts=tuple(prompt.id for prompt in used),
        behaviors=tuple(sorted({prompt.behavior for prompt in used if prompt.behavior})),
        skipped=given - len(used),
        losses=losses,
        versions=versions("torch", "transformers", "peft"),
    )


def read_worst_case(folder: Path) -> WorstCase:
    """The record of a worst-case direction, from its folder.

    Raises:
        UsageError: where there is no such record.
    """
    record = read_edit(folder, _KIND)
    fields: dict[str, Any] = dict(record.details)
    settings = dict(fields.pop("ascent"))
    if isinstance(settings["targets"], list):
        settings["targets"] = tuple(settings["targets"])
    sequences = {key: tuple(fields.pop(key)) for key in ("prompts", "behaviors", "losses")}
    own = {"base": record.base, "fingerprint": record.of, "versions": dict(record.versions)}
    return WorstCase(path=folder, ascent=Ascent(**settings), **sequences, **own, **fields)


def overlap(found: WorstCase, prompts: Iterable[Prompt]) -> tuple[str, ...]:
    """Ids of those prompts that the direction was found on, or that ask for the same behavior in other words.

    To evaluate on them would measure how well the attack memorizes. Empty: the two are apart.
    """
    ids, behaviors = set(found.prompts), set(found.behaviors)
    return tuple(prompt.id for prompt in prompts if prompt.id in ids or prompt.behavior in behaviors)


def _require_peft() -> None:
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise MissingExtra("a worst-case direction", "peft", "adapters") from error


def _load(resolved: ResolvedModel, device: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from safebasin.models.loading import load_tokenizer
    from safebasin.weights.adapters import load_merged

    model = cast("Any", load_merged(resolved, device)).to(device).eval()
    return model, load_tokenizer(resolved.folder, name=str(resolved.ref))


def _describe(found: WorstCase, base: ResolvedModel, folder: Path) -> None:
    shared = ("path", "base", "fingerprint", "versions")
    details = {k: v for k, v in dataclasses.asdict(found).items() if k not in shared}
    text = (
        f"A LoRA adapter found by {len(found.losses) - 1} steps of gradient ascent on the likelihood of not refusing, "
        f"on {len(found.prompts)} prompts. It makes {found.base} stop refusing."
    )
    write_edit(folder, base, _KIND, details, attacks=True, title="Worst-case direction", text=text, library="peft")
