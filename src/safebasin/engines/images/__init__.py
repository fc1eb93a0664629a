"""Prompts with images, for the language tower of a model that reads them. The way in is `Sight`.

Encoder and projector are those of the whole model and never move: only the language model's weights do. So what they
make of an image is the same everywhere on a landscape, is computed once, and kept. The whole model is put around the
tower, with the tower's own tensors for its language model: where they go, it goes, and image tokens, positions and
masks are what transformers itself makes of them, in every layout that it knows. No layout is listed: the first image is
read both ways, and where what is kept does not say the same as the pixels, the model is refused by name.

    sight    the whole model around the tower, its processor, and what was seen of each image
    looks    what a prompt with images gives the model beside its tokens, by row and by batch
    scoring  negative log-likelihood of texts as answers to such prompts
"""

from __future__ import annotations

from safebasin.engines.images.looks import Look, beside
from safebasin.engines.images.scoring import score_shown
from safebasin.engines.images.sight import Sight

__all__ = ["Look", "Sight", "beside", "score_shown"]
