"""The processor of a model that reads images: what makes tokens and numbers of a text and the images in it.

Not the images (`safebasin.prompts.images`), nor what the model makes of the numbers (`safebasin.engines.images`).
Processors that read videos too want torchvision for those. Where it is not installed they are built without: no prompt
has a video.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safebasin.models.files import border, read_json
from safebasin.models.quiet import quiet

__all__ = ["load_processor"]

_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Where a folder may name the class of its processor, the first wins; as transformers looks for it."""


def load_processor(folder: Path, name: str) -> Any:
    """The processor of a folder, with image processor and tokenizer; nothing is fetched, no code of a model runs.

    Args:
        folder: of a model that reads images.
        name: as the user wrote it.

    Raises:
        ModelError: where there is none that transformers can read, or one without images.
    """
    remedy = "Copy whole processor files (processor_config.json, preprocessor_config.json) into its folder."
    with quiet(), border("model", "accompanied by a processor of images where a prompt has one", name, remedy):
        found = _processor(folder)
        lacking = [part for part in ("image_processor", "tokenizer") if getattr(found, part, None) is None]
        if lacking:
            raise ValueError(f"{type(found).__name__} has no {lacking[0]}")
    return found


def _processor(folder: Path) -> Any:
    import transformers

    named = next((said for file in _FILES if (said := _class_named(folder / file))), "")
    kind = getattr(transformers, named, None)
    has_videos = kind is not None and any("video" in part for part in kind.get_attributes())
    if not has_videos or find_spec("torchvision") is not None:
        return transformers.AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return _without_videos(kind, folder)


def _class_named(path: Path) -> str:
    return str(read_json(path, path.name).get("processor_class") or "") if path.is_file() else ""


def _without_videos(kind: Any, folder: Path) -> Any:
    """A processor of that class of whose parts those of text and images are there."""
    import transformers

    class WithoutVideos(kind):
        """It takes None for a part."""

        def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
            return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    parts = {"image_processor": transformers.AutoImageProcessor, "tokenizer": transformers.AutoTokenizer}
    loaded = {
        part: auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        for part, auto in parts.items()
    }
    settings, _ = kind.get_processor_dict(folder, local_files_only=True)
    return WithoutVideos.from_args_and_dict([loaded.get(part) for part in kind.get_attributes()], settings)
