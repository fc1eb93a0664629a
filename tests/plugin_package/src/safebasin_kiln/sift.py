"""The defense `safebasin-kiln/sift`, at the stage finetuning: it changes the rows that are trained on."""

from collections.abc import Sequence

from safebasin.errors import UsageError, expected
from safebasin.protocols import Defended, RowSource
from safebasin.records import TrainingRow


class Sift:
    """Leave out rows whose response holds a word.

    Args:
        word: case does not matter.
    """

    stage = "finetuning"
    takes = ()  # kinds of rows that it asks the source for, such as safe

    def __init__(self, word: str = "charter") -> None:
        self.name = f"safebasin-kiln/sift(word={word})"
        self.word = word.lower()

    def data(self, rows: Sequence[TrainingRow], source: RowSource, *, seed: int = 0) -> Defended:
        """The rows without the word; what was left out is named."""
        kept = tuple(row for row in rows if self.word not in row.response.lower())
        if not kept:
            raise UsageError(expected("the rows", f"ones without {self.word!r}", f"0 of {len(rows)}", "Mend them."))
        out = tuple((row.name, f"holds {self.word!r}") for row in rows if row not in kept)
        return Defended(rows=kept, flagged=out, notes=(f"{len(out)} of {len(rows)} rows hold {self.word!r}",))
