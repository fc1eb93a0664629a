"""How many tokens prompts and answers have: counted where that takes no model, else assumed, and said which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safebasin.errors import ModelError
from safebasin.models.files import border, read_bytes
from safebasin.records import Decoding, Message
from safebasin.store.db import StudyStore

__all__ = ["assumed", "count_longer", "count_prompts", "stored"]

TEMPLATE_TOKENS = 24
"""Assumed of what a chat template adds to the texts of a conversation."""
_CHARACTERS = 4
"""Assumed to a token, where there is no tokenizer that can be read."""
_MOST = 256
"""Conversations that are counted, evenly chosen."""
_SHARE = {"none": 0.67, "verdict": 0.36, "loop": 0.25}
"""Of `--max-new-tokens`, assumed of a mean answer by its stop rule: 0.36 is that of the map of docs/real.md."""


def count_prompts(conversations: Sequence[Sequence[Message]], folder: Path | None) -> tuple[float, str]:
    """Mean tokens of conversations, without their template; and where that is from.

    Args:
        conversations: as they are asked.
        folder: of the model; None where there is none.
    """
    if not conversations:
        return 0.0, "there are no prompts"
    texts = _texts(conversations[:: max(1, len(conversations) // _MOST)])
    counted = None if folder is None else _counted(folder, texts)
    if counted is None:
        mean = sum(map(len, texts)) / _CHARACTERS / len(texts)
        said = f"prompts: assumed, {_CHARACTERS} characters a token"
    else:
        mean, said = sum(counted) / len(counted), "prompts: counted by the model's tokenizer"
    return mean + TEMPLATE_TOKENS, f"{said}, and {TEMPLATE_TOKENS} for the chat template"


def count_longer(conversations: Sequence[Sequence[Message]], folder: Path | None, context: int) -> int:
    """Count the conversations that are no shorter than a context, even without their template.

    None is counted where there is no tokenizer that can be read.

    Args:
        conversations: as they are asked.
        folder: of the model; None where there is none.
        context: the most tokens that the model takes.
    """
    # a token is a byte at least, so that most need not be looked at
    long = [text for text in _texts(conversations) if len(text.encode()) >= context]
    counted = _counted(folder, long) if long and folder is not None else None
    return sum(n >= context for n in counted or ())


def _texts(conversations: Sequence[Sequence[Message]]) -> list[str]:
    return [" ".join(message.content for message in one) for one in conversations]


def _counted(folder: Path, texts: Sequence[str]) -> list[int] | None:
    """Tokens of each text; None where there is no tokenizer that can be read."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        with border(path.name, "one that can be read", str(path), "Download it again."):
            tokenizer = Tokenizer.from_buffer(read_bytes(path))
    except ModelError:
        return None
    return [len(found.ids) for found in tokenizer.encode_batch(list(texts))]


def stored(store: StudyStore | None, decoding: Decoding) -> tuple[float, float, int] | None:
    """Mean tokens of the answers of a decoding that a folder holds, mean of the longest at each point, and how many.

    None where there are none.
    """
    if store is None:
        return None
    with store.reading() as db:
        row = db.execute(
            "SELECT SUM(total) * 1.0 / SUM(n), AVG(longest), SUM(n) FROM (SELECT SUM(n_tokens) AS total, COUNT(*) AS n,"
            " MAX(n_tokens) AS longest FROM responses WHERE decoding = ? GROUP BY point, system)",
            (decoding.key,),
        ).fetchone()
    return None if row[0] is None else (float(row[0]), float(row[1]), int(row[2]))


def assumed(decoding: Decoding) -> tuple[float, float, str]:
    """Mean tokens of an answer and passes of a batch, where nothing was measured; and a sentence that says so."""
    share = _SHARE.get(decoding.stop, 1.0)
    said = (
        f"answers: assumed, {share:.0%} of --max-new-tokens under the stop rule {decoding.stop!r}, and of each batch "
        "one to the end; --probe measures"
    )
    return share * decoding.max_new_tokens, float(decoding.max_new_tokens), said
