"""Conversations as the chat template of a model renders them.

Not a template engine: rendering is the tokenizer's own `apply_chat_template` (`templates`). What is added here is that
nothing goes wrong in silence: a missing template, a template that refuses or swallows a turn, one that wants contents
as parts, a second BOS token. Tokenizers are passed in, so nothing imports torch or transformers.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from safebasin.errors import ModelError, PromptError, expected
from safebasin.prompts.templates import Template, TemplateProblem, Tokenizer
from safebasin.records import Message, Scalar, content_hash
from safebasin.untrusted import MIB, read_text, user_path

__all__ = [
    "Rendered",
    "Tokenizer",
    "check_text_alone",
    "encode",
    "lost_turn",
    "read_template",
    "render",
    "rendered",
    "template_hash",
    "template_of",
    "template_text",
]

TemplateArgs = Mapping[str, Scalar] | Iterable[tuple[str, Scalar]]
MARK = "ENDofTURN"
"""Put behind a turn to find its end in a rendering, and so tell a short text from the same letters in the template."""
LARGEST_FILE = MIB
"""Bytes of a template's file; a usual one has a hundredth of that."""


class Rendered(NamedTuple):
    """A rendered conversation."""

    text: str
    """What the model is given, special tokens included."""
    opening: str
    """What stands there behind the conversation: the opened turn of the assistant, as far as it is written already."""


def render(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    template_args: TemplateArgs = (),
    add_generation_prompt: bool = True,
    date: str | None = None,
) -> str:
    """The text that the model is given: see `rendered`.

    Raises:
        ModelError, PromptError: as `rendered`.
    """
    return rendered(
        tokenizer, messages, template_args=template_args, add_generation_prompt=add_generation_prompt, date=date
    ).text


def rendered(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    template_args: TemplateArgs = (),
    add_generation_prompt: bool = True,
    date: str | None = None,
    with_images: bool = False,
) -> Rendered:
    """The text that the model is given, special tokens included (tokenize it without adding any: `encode` does).

    A conversation that ends with an assistant turn is left open, so that the model continues that turn. Every turn must
    be found in the text; a template that drops plain contents is passed them as parts.

    Args:
        tokenizer: a transformers tokenizer.
        messages: the conversation, at least one turn.
        template_args: passed to the template. `chat_template` names another template: one of the tokenizer's own, a
            Jinja text, or `@FILE`; `add_generation_prompt` and `continue_final_message` win over what is usual.
        add_generation_prompt: whether to open the assistant's turn; ignored where the last turn is the assistant's.
        date: the day that the template's clock shows, ISO 8601; None is today.
        with_images: whether whoever asks puts images where the template marks their places.

    Raises:
        ModelError: where the tokenizer has no chat template, or it renders without end.
        PromptError: where the template refuses the conversation, or leaves a turn out; where one has an image that
            nobody would put in.
    """
    _check_utf8(messages)
    has_images = any(m.image is not None for m in messages)
    if has_images and not with_images:
        check_text_alone(messages)
    arguments = dict(template_args)
    continued = bool(arguments.pop("continue_final_message", messages[-1].role == "assistant"))
    opened = bool(arguments.pop("add_generation_prompt", add_generation_prompt)) and not continued
    template = template_of(tokenizer, arguments, date=date)
    problem: PromptError | None = None
    in_parts = replace(template, parts=True)
    for chosen in (in_parts,) if has_images else (template, in_parts):
        try:
            return _checked(chosen, messages, opened=opened, continued=continued)
        except PromptError as error:
            problem = problem or error
    raise cast("PromptError", problem)


def _checked(template: Template, messages: Sequence[Message], *, opened: bool, continued: bool) -> Rendered:
    try:
        text = template.write(messages, opened=opened, continued=continued)
    except TemplateProblem as problem:
        raise PromptError(_refused(template, messages, str(problem))) from problem
    if template.parts and "'type':'text'" in _squeezed(text):  # printed as Python, not walked
        raise PromptError(_left_out(messages[-1]))
    whole = messages[:-1] if continued else messages
    marked = _marked(template, messages, opened=opened, continued=continued)
    lost = lost_turn(whole, text, marked)
    if lost is not None:
        raise PromptError(_left_out(lost))
    if continued:
        return Rendered(text, messages[-1].content)
    return Rendered(text, _opening(template, messages, text, marked) if opened else "")


def _marked(template: Template, messages: Sequence[Message], *, opened: bool, continued: bool) -> str | None:
    """The rendering with `MARK` behind each turn but one to be continued; None where the template refuses that."""
    last = len(messages) - 1
    turns = [m if continued and i == last else replace(m, content=m.content + MARK) for i, m in enumerate(messages)]
    try:
        return template.write(turns, opened=opened, continued=continued)
    except TemplateProblem:
        return None


def _opening(template: Template, messages: Sequence[Message], text: str, marked: str | None) -> str:
    """What the template writes behind the conversation: what opening the turn adds, else all after the last turn."""
    try:
        closed = template.write(messages, opened=False)
    except TemplateProblem:
        closed = text
    if closed != text and text.startswith(closed):
        return text[len(closed) :]
    return (marked or "").rpartition(MARK)[2]


def check_text_alone(messages: Sequence[Message]) -> None:
    """Refuse a conversation with an image, where it is read as text.

    Raises:
        PromptError: naming the image.
    """
    image = next((m.image for m in messages if m.image is not None), None)
    if image is not None:
        constraint = "text alone for what reads no images"
        remedy = "Leave its images out, or map a model that reads them by its language tower (FOLDER#language)."
        raise PromptError(expected("prompt", constraint, f"image {image.name or image.digest[:16]}", remedy))


def lost_turn(messages: Sequence[Message], text: str, marked: str | None = None) -> Message | None:
    """The first turn that is not found in a rendering; None where all have arrived.

    White space is not compared, since templates strip and fold; a text that is escaped as in JSON or HTML counts. Of an
    assistant's earlier turn its reasoning may be left out.

    Args:
        messages: the turns.
        text: the rendering.
        marked: the same with `MARK` behind each turn, which tells a short text from the template's own; None for none.
    """
    written, mark = (text, "") if marked is None else (marked, MARK)
    held = (_squeezed(written), _squeezed(html.unescape(written)))
    return next((m for m in messages if not any(form in one for one in held for form in _forms(m, mark))), None)


def _forms(message: Message, mark: str) -> Iterator[str]:
    """How a turn may stand in a rendering, without white space."""
    content = message.content
    if message.role == "assistant":
        content = re.sub(r".*(</\w+>|\[/THINK\]|<channel\|>)", "", content, flags=re.DOTALL)
    if not content.strip():
        yield ""
        return
    yield _squeezed(content + mark)
    yield from (_squeezed(json.dumps(content, ensure_ascii=ascii_)[1:-1] + mark) for ascii_ in (False, True))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def encode(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    template_args: TemplateArgs = (),
    add_generation_prompt: bool = True,
    date: str | None = None,
) -> list[int]:
    """Token ids of the rendered conversation. The template writes BOS where the model wants it, so none is added.

    Raises:
        ModelError, PromptError: as `render`.
    """
    text = render(
        tokenizer, messages, template_args=template_args, add_generation_prompt=add_generation_prompt, date=date
    )
    return list(tokenizer.encode(text, add_special_tokens=False))


def template_of(tokenizer: Tokenizer, template_args: TemplateArgs = (), *, date: str | None = None) -> Template:
    """The template that `rendered` uses, with its arguments.

    Raises:
        ModelError: as `template_text`.
    """
    arguments = dict(template_args)
    text = template_text(tokenizer, arguments)
    for key in ("chat_template", "continue_final_message", "add_generation_prompt"):
        arguments.pop(key, None)
    return Template(tokenizer=tokenizer, text=text, arguments=arguments, date=date)


def template_text(tokenizer: Tokenizer, template_args: TemplateArgs = ()) -> str:
    """The Jinja text of the template that `render` uses.

    Raises:
        ModelError: where there is none, or none of that name, or its file cannot be read.
    """
    own = tokenizer.chat_template
    chosen = dict(template_args).get("chat_template")
    if isinstance(chosen, str) and chosen.startswith("@"):
        return read_template(chosen)
    if isinstance(own, Mapping):
        named = cast("Mapping[str, str]", own)
        key = "default" if chosen is None else str(chosen)
        if key in named:
            return named[key]
        if chosen is None or "{" not in key:
            names = ", ".join(sorted(named))
            raise ModelError(
                expected("chat template", f"one of {names}", chosen, "Pass --template-arg chat_template=NAME.")
            )
    if isinstance(chosen, str):
        return chosen
    if not isinstance(own, str) or not own.strip():
        raise ModelError(
            expected(
                "model",
                "a chat model, or come with a chat template",
                None,
                "This tokenizer has none, as is usual for a base model: use its instruct variant, "
                "or pass a Jinja file with --template-arg chat_template=@FILE.",
            )
        )
    return own


def template_hash(tokenizer: Tokenizer, template_args: TemplateArgs = ()) -> str:
    """Content hash (16 hex digits) of what shapes a rendered conversation: template, arguments, special tokens.

    Raises:
        ModelError: as `template_text`.
    """
    arguments = dict(template_args)
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    template = template_text(tokenizer, arguments)
    arguments.pop("chat_template", None)
    return content_hash([template, arguments, special])


def read_template(reference: str) -> str:
    """The Jinja text of `@FILE`.

    Raises:
        ModelError: where it is no readable UTF-8 text of a usual size.
    """
    path = user_path(reference[1:])
    text = read_text(path, "chat template", error=ModelError, most=LARGEST_FILE).replace("\r\n", "\n")
    if not text.strip():
        raise ModelError(expected("chat template", "a file with a Jinja text", reference, "It is empty."))
    return text


def _check_utf8(messages: Sequence[Message]) -> None:
    for message in messages:
        try:
            message.content.encode()
        except UnicodeEncodeError as error:
            remedy = "Mend the encoding of the prompts file."
            raise PromptError(expected("conversation", "free of lone surrogates", message.content, remedy)) from error


def _left_out(lost: Message) -> str:
    constraint = "passed on whole by the chat template of this model (it leaves it out, or part of it)"
    if lost.role == "system":
        remedy = "Use --system default, or put the text into the prompt."
        return expected("system prompt", constraint, lost.content, remedy)
    remedy = "Pass another template with --template-arg chat_template=@FILE, or mend the prompt."
    return expected(f"{lost.role}'s turn", constraint, lost.content[:80], remedy)


def _refused(template: Template, messages: Sequence[Message], why: str) -> str:
    says = f"that the chat template of this model accepts (it says: {why[:300]})"
    system = next((m.content for m in messages if m.role == "system"), None)
    if system is not None and _accepts(template, [m for m in messages if m.role != "system"]):
        return expected("system prompt", f"one {says}", system, "Use --system default.")
    remedy = "Mend the roles and their order, or the --template-arg that the template reads."
    return expected("conversation", f"one {says}", [m.role for m in messages], remedy)


def _accepts(template: Template, messages: Sequence[Message]) -> bool:
    try:
        template.write(messages, opened=True)
    except TemplateProblem:
        return False
    return True
