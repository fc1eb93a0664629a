"""The edit `safebasin-kiln/thin`: it makes one checkpoint of another."""

from pathlib import Path

import torch

from safebasin.edits.record import write_edit
from safebasin.models.reference import resolve
from safebasin.models.writing import copy_settings, new_folder, save_model
from safebasin.protocols import RowSource
from safebasin.weights.adapters import load_merged
from safebasin.weights.selection import matches


class Thin:
    """Make some weights smaller by a share.

    Args:
        share: from 0 (nothing changes) to 1 (they vanish).
        only: a pattern of tensors, as `only` of a direction reads it.
    """

    takes = ()  # kinds of rows that it asks the source for, such as safe

    def __init__(self, share: float = 0.1, only: str = "*up_proj*") -> None:
        self.name = f"safebasin-kiln/thin(share={share}, only={only})"
        self.share, self.only = share, only

    def make(self, model: str, source: RowSource, out: Path, *, seed: int = 0, device: str = "cpu") -> Path:
        """Write the checkpoint; nothing is drawn."""
        found = resolve(model)
        loaded = load_merged(found)
        with torch.no_grad():
            for name, parameter in loaded.named_parameters():
                if matches(name, self.only):
                    parameter.mul_(1 - self.share)
        with new_folder(out) as folder:  # becomes `out` when all is written
            save_model(loaded, folder)
            copy_settings(found.folder, folder)
            details = {"share": self.share, "only": self.only}
            text = f"{model} with {self.only} thinned by {self.share:g}."
            write_edit(folder, found, "thin", details, attacks=False, title="Thinned", text=text)
        return out
