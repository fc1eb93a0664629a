"""The whole model around a language tower, its processor, and what was seen of each image: made at the first one."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from safebasin.engines.decoding import running
from safebasin.engines.images.looks import Look, Seen, beside, kept
from safebasin.errors import ModelError, PromptError, expected
from safebasin.models.files import memory_errors
from safebasin.models.images import load_processor
from safebasin.models.loading import too_large
from safebasin.models.spreading import devices_of
from safebasin.models.tower import load_whole
from safebasin.prompts.images import pixels
from safebasin.records import Image
from safebasin.untrusted import border

__all__ = ["Sight"]

_TEXT = ("input_ids", "attention_mask")
_ROUNDING = 1e-3
"""Most that logits may differ, as a share of the largest."""


class Sight:
    """Reads prompts with images for a language tower.

    Args:
        tower: on its device; its weights may be anywhere. The whole model gets its tensors, and goes where they go.
        folder: of the whole model.
        name: as the user wrote it.

    Raises:
        ModelError: where there is no processor of images, the whole model cannot be loaded, does not fit the memory, or
            takes no image that was encoded before, or its tower is spread over several devices.
    """

    def __init__(self, tower: PreTrainedModel, folder: Path, name: str) -> None:
        self._name = name
        if len(devices_of(tower)) > 1:
            remedy = "Leave --gpus-per-worker out, or the images."
            raise ModelError(expected("model", "on one device where prompts have images", name, remedy))
        self._processor = load_processor(folder, name)
        try:
            with memory_errors():
                self.model: Any = _around(tower, load_whole(folder, name, dtype=tower.dtype))
        except MemoryError as error:
            raise ModelError(too_large("model with its encoder", name, error)) from error
        takes = inspect.signature(self.model.forward).parameters
        if "mm_encoder_outputs" not in takes or not hasattr(self.model.base_model, "get_image_features"):
            raise ModelError(self._unserved("it takes no image that was encoded before"))
        self._seen: dict[str, Seen] = {}
        self._proven = False

    @property
    def template(self) -> str | None:
        """The chat template of the processor; None where it has none of its own."""
        found = getattr(self._processor, "chat_template", None)
        return found if isinstance(found, str) and found.strip() else None

    def padding(self, pad: int) -> int:
        """A token to pad with: `pad`, unless the model reads that as an image."""
        image = self._image_token
        return pad if pad != image else next(i for i in (0, 1) if i != image)

    def read(self, text: str, images: Sequence[Image]) -> tuple[list[int], Look]:
        """Tokens of a rendered conversation with the places of its images filled, and what stands beside them.

        Special tokens are added as the processor's own `apply_chat_template` does: where the text does not begin with
        that of a beginning.

        Args:
            text: as the chat template renders it.
            images: in the order of their marks in it, at least one.

        Raises:
            PromptError: where an image is not at hand, or the text has not one mark for each.
            ModelError: where the processor cannot read them, or the layout of the model is not served.
        """
        if len(images) > 1:
            raise PromptError(expected("prompt", "one with a single image", len(images), "Leave the others out."))
        self._check_marks(text, images)
        shown = [pixels(image) for image in images]
        begins = str(getattr(self._processor.tokenizer, "bos_token", None) or "")
        given = {"add_special_tokens": False} if begins and text.startswith(begins) else {}
        with border(f"image {images[0].name}", "one that the processor of this model can read", PromptError):
            found = self._processor(text=[text], images=[shown], return_tensors="pt", **given)
        ids = cast("list[int]", found["input_ids"][0].tolist())
        length = len(ids)
        inputs = {name: value for name, value in found.items() if name not in _TEXT}
        kinds = {name: value for name, value in inputs.items() if name.endswith("token_type_ids")}
        shots = {name: value for name, value in inputs.items() if name not in kinds}
        if any(tuple(value.shape) != (1, length) for value in kinds.values()):
            raise ModelError(self._unserved("its processor tells no kind of every token"))
        seen = (self._see(images[0], shots),)
        look = Look(seen=seen, kinds={name: tuple(value[0].tolist()) for name, value in kinds.items()})
        if not self._proven:
            self._prove(ids, look, {**kinds, **shots})
        return ids, look

    @property
    def _image_token(self) -> int | None:
        return getattr(self.model.config, "image_token_id", None)

    def _check_marks(self, text: str, images: Sequence[Image]) -> None:
        mark = getattr(self._processor, "image_token", None)
        n_marks = text.count(mark) if isinstance(mark, str) and mark else len(images)
        if n_marks != len(images):
            constraint = f"rendered with one {mark} for each image"
            remedy = (
                "Pass a template that writes it with --template-arg chat_template=@FILE, or take it out of the text."
            )
            raise PromptError(expected("prompt", constraint, f"{n_marks} for {len(images)}", remedy))

    @torch.inference_mode()
    def _see(self, image: Image, shots: Mapping[str, torch.Tensor]) -> Seen:
        """What encoder and projector make of an image; kept."""
        if image.digest not in self._seen:
            base = self.model.base_model
            taken = inspect.signature(base.get_image_features).parameters
            device, dtype = self.model.device, self.model.dtype
            given = {n: v.to(device, dtype) if v.is_floating_point() else v.to(device) for n, v in shots.items()}
            with running(self.model):
                features = base.get_image_features(**{n: v for n, v in given.items() if n in taken}, return_dict=True)
            large = {name for name, value in shots.items() if value.is_floating_point()}
            self._seen[image.digest] = Seen(
                features=kept(features),
                sizes={name: value for name, value in shots.items() if name not in large and "mask" not in name},
                digest=_digest(shots),
            )
        return self._seen[image.digest]

    @torch.inference_mode()
    def _prove(self, ids: Sequence[int], look: Look, inputs: Mapping[str, torch.Tensor]) -> None:
        """Try on the first image that what is kept says what its pixels say.

        Raises:
            ModelError: where it does not.
        """
        model = self.model
        row = torch.tensor([list(ids)], device=model.device)
        mask = torch.ones_like(row)
        pixelwise = {n: v.to(model.device, model.dtype) if v.is_floating_point() else v.to(model.device)
                     for n, v in inputs.items()}  # fmt: skip
        with running(model):
            theirs = model(input_ids=row, attention_mask=mask, use_cache=False, **pixelwise).logits[0, -1].float()
            ours = model(
                input_ids=row, attention_mask=mask, use_cache=False, **beside(model, row, mask, [look])
            ).logits[0, -1].float()  # fmt: skip
        if not bool(theirs.isfinite().all()):
            return  # nothing can be told under weights that say nothing finite
        if not bool((theirs - ours).abs().max() <= _ROUNDING * theirs.abs().max()):
            raise ModelError(self._unserved("what its encoder makes of an image is not all that it reads of one"))
        self._proven = True

    def _unserved(self, why: str) -> str:
        remedy = f"({type(self.model).__name__}: {why}) Leave the images out."
        return expected("model", "one whose layout of images is served", self._name, remedy)


def _around(tower: PreTrainedModel, whole: PreTrainedModel) -> PreTrainedModel:
    """The whole model with the tower's tensors for its language model, on the tower's device."""
    mine = dict(cast("torch.nn.Module", tower.get_decoder()).named_parameters())
    decoder = cast("torch.nn.Module", whole.get_decoder())
    for path in [name for name, _ in decoder.named_parameters()]:
        owner, _, leaf = path.rpartition(".")
        setattr(decoder.get_submodule(owner), leaf, mine[path])
    head, own = cast("Any", whole.get_output_embeddings()), cast("Any", tower.get_output_embeddings())
    for leaf, parameter in own.named_parameters():
        setattr(head, leaf, parameter)
    placed = cast("torch.nn.Module", whole).to(tower.device).eval().requires_grad_(requires_grad=False)
    found = cast("PreTrainedModel", placed)
    found.generation_config = tower.generation_config
    return found


def _digest(shots: Mapping[str, torch.Tensor]) -> int:
    total = hashlib.sha256()
    for name, value in sorted(shots.items()):
        total.update(f"{name}\0{tuple(value.shape)}\0".encode() + value.contiguous().numpy().tobytes())
    return int(total.hexdigest()[:15], 16)
