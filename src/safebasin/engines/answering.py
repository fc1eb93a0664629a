"""From conversations to rows to answers, for engines with a tokenizer: all of an engine but its model.

Not how tokens are chosen: an engine hands the rows of a `Batch` their tokens, one after another, and they say when they
want no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from safebasin.engines.conversations import Conversations, Encoded, Reader
from safebasin.engines.rules import stop_rules
from safebasin.engines.scoring import Tokens, tokenize
from safebasin.engines.stopping import EndWatch, LoopWatch, RefusalWatch, Rows
from safebasin.models.vocabulary import check_ids
from safebasin.prompts.chat import Tokenizer, template_hash, template_of
from safebasin.prompts.reasoning import Reasoning, special_ids
from safebasin.prompts.templates import today
from safebasin.protocols import Generation
from safebasin.records import Decoding, Message, Scalar, content_hash

__all__ = ["Answering", "Batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Conversations that are answered together; `rows` takes the tokens of their answers."""

    encoded: Sequence[Encoded]
    begun: Sequence[Sequence[int]]
    """Tokens that each answer is forced to begin with; they stand at the end of its encoded prompt."""
    limits: Sequence[int]
    """The most new tokens of each: what the decoding allows, or what the context has left."""
    eos: frozenset[int]
    rows: Rows
    reasoning: Reasoning

    def generations(self) -> list[Generation]:
        """The answers, once every row has ended."""
        return [self._generation(row) for row in range(len(self.encoded))]

    def broken_by_padding(self) -> list[int]:
        """Rows that broke and were padded: in half precision the padding itself may overflow, and reach all of its row.

        Alone they have none, so what they say there does not depend on a longer prompt beside them.
        """
        width = max(len(e.ids) for e in self.encoded)
        return [row for row, e in enumerate(self.encoded) if self.rows.broken[row] and len(e.ids) < width]

    def _generation(self, row: int) -> Generation:
        rows, opened = self.rows, self.encoded[row].opened
        ids, surplus = [*self.begun[row], *rows.ids[row]], rows.surplus[row]
        thinking, response = self.reasoning.split(ids, opened=opened, surplus=surplus)
        gap = rows.gap(row)
        return Generation(
            text=response, thinking=thinking, n_tokens=len(rows.ids[row]), finish_reason=rows.reason[row] or "length",
            broken=rows.broken[row], gap=gap if math.isfinite(gap) else None,
        )  # fmt: skip


class Answering:
    """A tokenizer with its chat template, and what ends a response of its model.

    Args:
        tokenizer: of the model.
        template_args: passed to the chat template; those of a `Decoding` win.
        date: the day that the template's clock shows, ISO 8601; None is today, and stays it.
        limit: the most tokens of prompt and response together; None for no limit.
        n_rows: tokens that the model has an embedding for.
        eos: tokens that end a response, beside those that the template ends a turn with.
        reader: gives what reads images; None where nothing does.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template_args: Mapping[str, Scalar],
        *,
        date: str | None,
        limit: int | None,
        n_rows: int,
        eos: Sequence[int],
        reader: Callable[[], Reader] | None = None,
    ) -> None:
        self.limit = limit
        self.eos = tuple(eos)
        self._tokenizer = tokenizer
        self._template_args = dict(template_args)
        self._n_rows = n_rows
        self._reader = reader
        self._unknown = frozenset(range(n_rows)).difference(tokenizer.get_vocab().values())
        """Tokens that the model can say and the tokenizer does not know: they leave no text."""
        self._silent = self._unknown | special_ids(self._chat)
        """These, and special tokens."""
        self._date = date or today(self._chat)
        self._asked: dict[str, Conversations] = {}

    @property
    def date(self) -> str | None:
        """The day that the chat template is told, ISO 8601; None where it does not ask."""
        return self._date if template_of(self._chat, self._template_args).reads_clock else None

    def set_date(self, date: str) -> None:
        """Ask as on another day from now on."""
        self._date = date

    def asking(self, decoding: Decoding) -> Conversations:
        """The conversations as they are rendered under the template arguments of a decoding.

        Raises:
            ModelError: where there is no chat template.
        """
        arguments = {**self._template_args, **dict(decoding.template_args)}
        key = content_hash([template_hash(self._chat, arguments), self._date])
        if key not in self._asked:
            self._asked[key] = Conversations(
                self._tokenizer, arguments, date=self._date, limit=self.limit, n_rows=self._n_rows,
                reader=self._reader,
            )  # fmt: skip
        return self._asked[key]

    def begin(
        self, conversations: Sequence[Sequence[Message]], begun: Sequence[Sequence[int]], decoding: Decoding
    ) -> Batch:
        """Render a batch, at least one conversation, and set up its rows; each answer begins with tokens, or with none.

        Raises:
            UnknownName: where a rule of the decoding is not in the catalogue.
            ModelError: where there is no chat template.
            PromptError: where the template refuses a conversation, it leaves no room for one new token, or has tokens
                beyond the embedding.
        """
        asking = self.asking(decoding)
        encoded = [asking.encode_begun(f"prompt {i}", c, begun[i]) for i, c in enumerate(conversations)]
        room = [(self.limit or math.inf) - len(e.ids) for e in encoded]
        limits = [int(min(decoding.max_new_tokens, r)) for r in room]
        eos = frozenset({*self.eos, *asking.ends.ids})
        rows = Rows(
            limits,
            eos=eos,
            refusals=self._refusal_watch(decoding, asking.reasoning, encoded, begun),
            loops=LoopWatch(len(limits), max(limits)) if decoding.stop == "loop" else None,
            ends=self._end_watch(asking),
        )
        return Batch(encoded=encoded, begun=begun, limits=limits, eos=eos, rows=rows, reasoning=asking.reasoning)

    def texts(
        self,
        conversations: Sequence[Sequence[Message]],
        texts: Sequence[str],
        untils: Sequence[int],
        decoding: Decoding,
    ) -> tuple[list[list[int]], list[Tokens]]:
        """Tokens of prompts, and of the texts that answer them, each up to so many of its characters.

        Where the template opens reasoning, it is closed first: texts carry no reasoning. Tokens that the context has no
        room for are left out.

        Raises:
            ModelError, PromptError: as `begin`, or where a text has tokens beyond the embedding.
        """
        asking = self.asking(decoding)
        encoded = [asking.encode(f"prompt {i}", c) for i, c in enumerate(conversations)]
        prompts = [[*e.ids, *asking.before_answer(e)] for e in encoded]
        tokens = [tokenize(self._tokenizer, t).until(until) for t, until in zip(texts, untils, strict=True)]
        for i, found in enumerate(tokens):
            check_ids(found.ids, self._n_rows, len(self._tokenizer), where=f"text {i}")
        if self.limit is None:
            return prompts, tokens
        rooms = [max(self.limit - len(p), 0) for p in prompts]
        return prompts, [Tokens(t.ids[:r], t.ends[:r]) for t, r in zip(tokens, rooms, strict=True)]

    @property
    def _chat(self) -> Tokenizer:
        return cast("Tokenizer", self._tokenizer)

    def _end_watch(self, asking: Conversations) -> EndWatch | None:
        if not asking.ends.texts:
            return None
        return EndWatch(asking.ends.texts, decode=self._decode_all, ignored=self._unknown)

    def _refusal_watch(
        self, decoding: Decoding, reasoning: Reasoning, encoded: Sequence[Encoded], begun: Sequence[Sequence[int]]
    ) -> RefusalWatch | None:
        rules = stop_rules(decoding)
        if decoding.stop == "none" or not (decoding.phrases or rules):
            return None
        return RefusalWatch(
            decoding.phrases,
            rules=rules,
            decode=self._decode_tails,
            response=lambda row, ids: reasoning.split([*begun[row], *ids], opened=encoded[row].opened).response,
            ignored=self._silent,
            n_rows=len(encoded),
        )

    def _decode_all(self, ids: list[int]) -> str:
        return cast("str", self._tokenizer.decode(ids, skip_special_tokens=False))

    def _decode_tails(self, tails: list[list[int]]) -> list[str]:
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None or getattr(self._tokenizer, "clean_up_tokenization_spaces", False):
            return cast("list[str]", self._tokenizer.batch_decode(tails, skip_special_tokens=True))
        # What `batch_decode` does, without its look at the type of every id, which took a tenth of a step.
        return cast("list[str]", fast.decode_batch(tails, skip_special_tokens=True))
