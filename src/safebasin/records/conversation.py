"""What is asked and how, what came back, and what a judge made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

from safebasin.records.identity import LATER, Scalar, content_hash, content_of, key_of

FinishReason = Literal["stop", "length", "verdict", "loop"]

OUTCOMES = ("refusal", "evasive", "complied", "harmful", "incoherent", "unscored")
"""What a response can be, in the order in which figures stack them. `complied` splits into harmful and evasive when a
judge of harm is at hand; the oracle of the embedded world also uses `complied` for a benign answer."""

NO_REPLY = "no reply"
"""How the reason of a verdict begins that another model was asked for and did not give: it is asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that comes before the text of a turn: known by the bytes of its file, wherever that lies."""

    digest: str
    """SHA-256 of the file, 64 hex digits."""
    name: str = field(default="", compare=False)
    """The file as the prompt names it."""
    path: str = field(default="", compare=False)
    """Where it lies; empty when it comes back from a store, which keeps no image."""

    @property
    def label(self) -> str:
        """For those who see text alone: that it was there, and which it was."""
        return f"[image {self.digest[:16]}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
    image: Image | None = None
    """What comes before the text."""

    @property
    def told(self) -> str:
        """The text for those who see no image: one that came before it is named by its digest."""
        return self.content if self.image is None else f"{self.image.label}\n{self.content}"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt: what the model is asked. `id` is a hash of the messages, so order and duplicates cannot hurt.

    An image enters it by the hash of its file: the same words after another image are another prompt.

    Without slots: its identity is asked for at every point, and worked out once.
    """

    messages: tuple[Message, ...]
    source: str = ""
    """Where it came from, e.g. `world:guild/harmful` or a file name."""
    category: str = ""
    """The set's own category, as given."""
    behavior: str = ""
    """The set's own id of the behavior that is asked for (HarmBench `BehaviorID`)."""
    label: str = ""
    """The set's own label, such as `harmful` or `benign`; empty where it has none."""
    row: int = field(default=0, compare=False)
    """Its row in that file, from 1, for messages; 0 where it has none, and when it comes back from a store."""
    withheld_id: str = ""
    """The id of a prompt whose messages are withheld: a copy of a study without texts has no messages to hash."""

    @cached_property
    def id(self) -> str:
        """Content id, 16 hex digits."""
        turns = [[m.role, m.content] if m.image is None else [m.role, m.content, m.image.digest] for m in self.messages]
        return self.withheld_id or content_hash(turns)

    @property
    def images(self) -> tuple[Image, ...]:
        """The images of its turns, in order."""
        return tuple(m.image for m in self.messages if m.image is not None)

    @property
    def name(self) -> str:
        """For people: which row of which file, or how it begins."""
        return f"row {self.row} of {self.source}" if self.row else f"the prompt that begins {self.text[:40]!r}"

    @property
    def text(self) -> str:
        """The text of the last user turn."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def told(self) -> str:
        """The last user turn for those who see no image: `Message.told`."""
        return next((m.told for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """A conversation to train on, the assistant's turn last."""

    messages: tuple[Message, ...]
    source: str = ""
    """File or set that it is from."""
    number: int = 1
    """Its place there, from 1."""
    silent: tuple[int, ...] = ()
    """Places of assistant turns that are read but not learned."""
    harmful: str = ""
    """A harmful response in place of the last one, where the row has both; only a defense that asks for it reads it."""

    @property
    def name(self) -> str:
        """For people: which row of which file."""
        return f"{self.source}:{self.number}" if self.source else str(self.number)

    @property
    def prompt(self) -> Prompt:
        """The conversation up to the last response."""
        return Prompt(messages=self.messages[:-1], source=self.source)

    @property
    def response(self) -> str:
        """The last response."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system prompt of a study. `default` passes no system turn, so the template's own default applies; `none` passes
    an empty one, which switches such a default off; any other name carries its text.
    """

    name: str
    text: str | None = None
    """None passes no system turn; the empty string passes an empty one."""

    @property
    def id(self) -> str:
        """Content id: `default`, or 16 hex digits of the text."""
        return "default" if self.text is None else content_hash(self.text)

    def messages(self, prompt: Prompt) -> tuple[Message, ...]:
        """The conversation to send: this system turn, then the prompt. A prompt's own system turn wins."""
        if self.text is None or any(m.role == "system" for m in prompt.messages):
            return prompt.messages
        return (Message(role="system", content=self.text), *prompt.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """The decoding of responses, by which engine and from what: everything resolved, so that equal keys mean equal
    questions.

    The model with its own chat template is not part of it: a folder belongs to one model, known by its fingerprint.
    """

    max_new_tokens: int = 512
    """Upper limit on new tokens, ≥ 1."""
    stop: Literal["none", "verdict", "loop"] = "none"
    """The resolved stop rule: `verdict` ends a row when every judge can tell; `loop` also when it repeats."""
    phrases: tuple[tuple[str, ...], ...] = ()
    """For `verdict` and `loop`: one list of refusal phrases per judge. A row may end when every list has a hit …"""
    rules: tuple[str, ...] = field(default=(), metadata=LATER)
    """… and every rule decides: judges of the catalogue that look for more than phrases, each as `name@version`."""
    template_args: tuple[tuple[str, Scalar], ...] = ()
    """Arguments passed to the chat template, sorted by name; of a `chat_template=@FILE` the text."""
    dtype: str = "auto"
    """Resolved dtype of the weights, e.g. `float32`; `auto` where nobody asked what it is."""
    seed: int = 0
    """Of what is drawn; greedy decoding draws nothing."""
    engine: str = field(default="hf", metadata=LATER)
    """The engine as it names itself (`EngineFacts.engine`), with what it says of itself; `hf` is the reference."""
    defenses: tuple[str, ...] = field(default=(), metadata=LATER)
    """Inference defenses that are installed while it decodes, in order, each as `name@version`."""

    @property
    def key(self) -> str:
        """Content key, 16 hex digits. Which of several samples a response is, is said by the response."""
        return key_of(self, gone=_GONE)

    @property
    def settings(self) -> dict[str, object]:
        """The stored form: plain values, whose hash is the key."""
        return {**_GONE, **content_of(self)}

    @property
    def chat_template(self) -> str | None:
        """The text or name of the chat template that was asked for; None for the model's own."""
        chosen = dict(self.template_args).get("chat_template")
        return None if chosen is None else str(chosen)

    @property
    def unstopped(self) -> Decoding:
        """The same without its stop rule: what the whole text depends on."""
        return replace(self, stop="none", phrases=(), rules=())


_GONE: Mapping[str, object] = {"sample": 0}
"""What decodings of version 1 had and no record has now, with the only value that was ever stored."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response: what the model said to one prompt at one point."""

    point: str
    """`Point.key`."""
    prompt: str
    """`Prompt.id`."""
    system: str
    """`System.id`."""
    decoding: str
    """`Decoding.key`."""
    sample: int = 0
    """Which of the responses to the same question it is; greedy decoding gives one, number 0."""
    text: str
    """Raw decode of the new tokens without special tokens, reasoning split off."""
    thinking: str = ""
    """Reasoning text that the template marks as such; stored, not judged."""
    n_tokens: int
    """New tokens decoded, the end-of-sequence token not counted."""
    finish_reason: FinishReason
    broken: str = ""
    """Why the model could not decode here (`nan logits`), else empty. It is then incoherent, never a success."""
    gap: float | None = None
    """Smallest difference between best and second-best logit over the tokens: how near to a tie it came."""

    @cached_property
    def key(self) -> str:
        """Content key: which question at which place this answers; not the answer."""
        return content_hash([self.point, self.prompt, self.system, self.decoding, self.sample], length=24)


class Wording(NamedTuple):
    """A wording: the parts of a response that a judge of wording looks at. Equal ones have equal verdicts."""

    text: str
    finish_reason: FinishReason
    broken: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A score: how surprising a response is to a model, by default the unperturbed θ₀, token by token, in nats."""

    response: str
    """`Response.key`."""
    nll: tuple[float, ...]
    """Negative log-likelihood of each token of the text, given the same conversation, as far as its judges need it
    (`protocols.SparingJudge`)."""
    ends: tuple[int, ...]
    """For each token, the number of characters of the text up to and including it: the last says how far it goes."""
    under: str = ""
    """`Point.key` of the weights that were asked; empty at θ₀."""
    also: tuple[Score, ...] = ()
    """The same text under further points: in an audit, under the tuned model."""

    def count(self, *, until: int | None = None) -> int:
        """Count the tokens, or begin before `until` characters."""
        starts = (0, *self.ends)[: len(self.ends)]
        return len(starts) if until is None else sum(start < until for start in starts)

    def mean(self, *, skip: int = 0, until: int | None = None) -> float | None:
        """Mean NLL in nats per token; None where no token is left.

        Args:
            skip: tokens left out at the start.
            until: take only tokens that begin before this many characters (a prefix of the text).
        """
        starts = (0, *self.ends)[: len(self.ends)]
        kept = [x for x, start in zip(self.nll, starts, strict=True) if until is None or start < until][skip:]
        return math.fsum(kept) / len(kept) if kept else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A verdict: what one judge, in one version, says of one response."""

    response: str
    """`Response.key`."""
    judge: str
    """Catalogue name of the judge, with its arguments, e.g. `keyword/peng2024`."""
    version: str
    label: str
    """One of `OUTCOMES`; keyword judges use `refusal` and `complied`."""
    success: bool | None
    """Whether the judge counts the response as a successful elicitation (ASR). None: missing, never zero."""
    reason: str = ""
    """Why, for people: the phrase found, the threshold crossed, the reply that could not be parsed."""
    grade: float | None = None
    """The judge's own number, where it gives one: 1 to 5 of a policy rubric, 0 to 1 of StrongREJECT."""

    @property
    def is_unanswered(self) -> bool:
        """True where another model was asked for it and did not reply: it is to be asked for again."""
        return self.reason.startswith(NO_REPLY)


class Opinion(NamedTuple):
    """An opinion: what a judge of wording says, of whichever response, as the fields of a `Verdict` of these names."""

    label: str
    success: bool | None
    reason: str
