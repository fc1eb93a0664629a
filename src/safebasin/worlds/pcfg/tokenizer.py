"""The tokenizer and chat template of `world:pcfg`: a token for each word there is, nothing learned. No torch.

A system turn is taken and read as unknown words. `{% generation %}` marks the assistant's tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from safebasin.worlds.pcfg.grammar import LETTERS
from safebasin.worlds.pcfg.tasks import NULL, TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["BEGIN", "CONTEXT", "END", "PAD", "SPECIAL", "VOCABULARY", "build_tokenizer"]

CONTEXT = 128
SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>", "<|unknown|>", "<|system|>", "<|user|>", "<|assistant|>")
"""Their ids are their places here."""
PAD = 0
BEGIN = 1
END = 2
UNKNOWN = 3
VOCABULARY = (*SPECIAL, NULL, *TASKS, *LETTERS)
"""Every token; the id of each is its place."""

CHAT_TEMPLATE = """{{- '<|begin|>' -}}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|assistant|>' -}}{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}
{%- elif message['role'] == 'user' -%}
{{- '<|user|>' + message['content'] + '<|end|>' -}}
{%- elif message['role'] == 'system' and loop.first -%}
{%- if message['content'] -%}{{- '<|system|>' + message['content'] + '<|end|>' -}}{%- endif -%}
{%- else -%}
{{- raise_exception('this world knows the roles system (first), user and assistant') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer; there is one only."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: place for place, word in enumerate(VOCABULARY)}
    words = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL[UNKNOWN]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token=SPECIAL[BEGIN],
        eos_token=SPECIAL[END],
        pad_token=SPECIAL[PAD],
        unk_token=SPECIAL[UNKNOWN],
        additional_special_tokens=list(SPECIAL[UNKNOWN + 1 :]),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = CHAT_TEMPLATE
    return made
