"""Images before prompts: files that lie beside a prompts file, named in its column `image`, known by their bytes.

Not what a model makes of one: that is its processor's (`safebasin.engines.images`). Pillow reads them; it comes with
matplotlib.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from safebasin.errors import PromptError, expected
from safebasin.records import Image, Prompt
from safebasin.untrusted import MIB, border, read_bytes, user_path

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["COLUMN", "pixels", "with_image"]

COLUMN = "image"
_LARGEST = 64 * MIB
_MOST_PIXELS = 50_000_000
"""A file of a few kilobytes can unpack to more than any memory."""


def with_image(prompt: Prompt, row: Mapping[str, object], *, folder: Path | None, where: str) -> Prompt:
    """The prompt with the image that its row names before the last turn; as it is where the row names none.

    Args:
        prompt: of the row.
        row: column → cell.
        folder: of the file that the row is from; None where it is from none, such as a set of the hub.
        where: the row, for messages.

    Raises:
        PromptError: where the cell names no file, or one that is missing or no image.
    """
    cell = next((value for key, value in row.items() if str(key).strip().lower() == COLUMN), None)
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return prompt
    if folder is None or not isinstance(cell, str):
        got = cell if isinstance(cell, str) else f"a {type(cell).__name__}"
        remedy = "Save the images, and name each in a prompts file beside them; or take a copy without that column."
        raise PromptError(expected(f"{COLUMN!r} of {where}", "the name of a file beside the prompts file", got, remedy))
    *earlier, last = prompt.messages
    return replace(prompt, messages=(*earlier, replace(last, image=_image(cell, folder, where))))


def _image(name: str, folder: Path, where: str) -> Image:
    """The image of a file, which is opened once to see that it is one."""
    path = folder / user_path(name)
    data = read_bytes(path, f"image of {where}", error=PromptError, most=_LARGEST)
    _opened(data, f"image of {where}", str(path)).close()
    return Image(digest=hashlib.sha256(data).hexdigest(), name=name, path=str(path.absolute()))


def pixels(image: Image) -> PIL.Image.Image:
    """The pixels of an image, in red, green and blue.

    Raises:
        PromptError: where its file is not at hand, or no longer what it was.
    """
    what = f"image {image.name or image.digest[:16]}"
    if not image.path:
        remedy = "Name its prompts file again: a study keeps the digest of an image, not the image."
        raise PromptError(expected(what, "at hand where it is to be asked", "a prompt out of a store", remedy))
    data = read_bytes(Path(image.path), what, error=PromptError, most=_LARGEST)
    if hashlib.sha256(data).hexdigest() != image.digest:
        remedy = "It was written to meanwhile: begin anew, or restore it."
        raise PromptError(expected(what, f"the file of digest {image.digest[:16]}", image.path, remedy))
    found = _opened(data, what, image.path)
    with border(what, "an image that can be read whole", PromptError, "Save it anew.", value=image.path):
        return found.convert("RGB")


def _opened(data: bytes, what: str, path: str) -> PIL.Image.Image:
    """An image of which the size is known, and nothing unpacked."""
    import PIL.Image

    with border(what, "an image that Pillow can read", PromptError, "Save it as PNG or JPEG.", value=path):
        found = PIL.Image.open(io.BytesIO(data))
        if found.width * found.height > _MOST_PIXELS:
            raise ValueError(f"{found.width} × {found.height} pixels are more than {_MOST_PIXELS:,}")
    return found
