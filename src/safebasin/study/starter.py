"""A study file to begin with: every key that most studies need, explained, at the default that the code has."""

from __future__ import annotations

import json

from safebasin.study.files import TARGET_RANGE, make
from safebasin.study.model import Study

__all__ = ["starter_study"]

_MODEL = "world:guild/aligned"


def starter_study(schema: str) -> str:
    """The text of the file; without its comments it is what `safebasin map` measures without an argument.

    Args:
        schema: where its JSON Schema lies, seen from the file.
    """
    study = make({"model": _MODEL})
    axis = study.regions[0].axes[0]
    default = {name: field.default for name, field in Study.model_fields.items()}
    return f"""# yaml-language-server: $schema={schema}
# What `safebasin map study.yaml -o DIR` measures; `safebasin plan study.yaml` says what that costs. What is commented
# out stands at its default. An option of the command line wins over its key.
schema_version: {study.schema_version}

# A folder, a hub id (org/name), FILE.gguf, or a checkpoint of the embedded world.
model: {study.model}

# One set or several: a file (.csv, .jsonl, .txt, ...), a name of `safebasin list prompts`, a hub id, or world:NAME/SET.
# A model that is not of an embedded world must name them.
prompts:
  - source: {study.prompts[0].source}
    name: {study.prompts[0].title}  # in tables and figures
    # label: harmful  # or benign: what those prompts are that do not say it

# At most this many prompts of each set, from its start; null takes all.
# limit: {default["limit"]}

# System prompts: default (the model's own), none, a name of `safebasin list system`, a text, or @FILE.
# systems: {json.dumps(list(study.systems))}

# One axis is a line, two are a plane. An axis of kind `to`, `adapter`, `quant`, ... leads to a `target`: a fine-tuned
# model at α = 1, say, where its range is {TARGET_RANGE} by default.
axes:
  - kind: {axis.kind}  # see: safebasin list direction
    # seed: {axis.seed}
    # directions: {axis.directions}  # independent ones of this seed
    # normalize: {axis.normalize}  # or filter, model, none
    # range: "{axis.range}"  # LO:HI:N; for this model
    # only: "*mlp*"  # patterns of the parameters that move; all, if left out

# grid measures every point, auto those where the landscape moves, at most `budget` of them.
# points: {study.regions[0].points}

# Who decides: names of `safebasin list judge`; the first is that of the statistics.
# judges: {json.dumps(list(study.judges))}

decoding:
  max_new_tokens: {study.decoding.max_new_tokens}  # for this model
  # stop: {study.decoding.stop}  # or none, verdict, loop: when a response may end before its last token

# Fewer points and tokens, and no VISAGE; how far its verdicts agree with the exact ones is measured on a sample.
# fast: {json.dumps(default["fast"])}

# How it runs; the result does not depend on these.
# device: {study.device}  # cpu, cuda, cuda:N, mps
# gpus_per_worker: {study.gpus_per_worker}  # more where a model does not fit one
# batch_size: {study.batch_size}
# low_memory: {study.low_memory}

# dtype: {study.dtype}  # float32, bfloat16, float16; this one can change a result
"""
