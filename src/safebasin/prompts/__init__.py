"""Prompts: where they come from, and how a chat template renders them.

attacks     logs of jailbreak attacks as rows of prompts
chat        conversations as the chat template of a model renders them
columns     which column of a row is the prompt
defaults    the system prompt that a chat template writes itself where a conversation has none
files       prompts from a file: text, JSONL, JSON, CSV or Parquet
hub         prompts from a dataset hub, through the package `datasets` (extra `hub`)
images      images before prompts: files beside a prompts file, known by their bytes
labels      what a set says of its own prompts: harmful or benign
logs        logs of Inspect, lm-eval and garak as rows of prompt and response
marks       the marks between which models write their reasoning
masking     tokens of a conversation, and which of them carry loss
pairs       prompts that ask for the same behavior, paired: a request with and without a jailbreak around it
reasoning   reasoning ("thinking") text, split off what a model says by its marks: stored, not judged
references  harmless prompts with answers by other authors, for calibrating the test of language
rows        rows of tables that others wrote: CSV, TSV, JSONL, JSON and Parquet, as plain cells
sources     from the name of a prompt set to its prompts: file, hub, world or catalogue
systems     system prompts by name, file or text: what a study writes under `systems` becomes a `System`
templates   one rendering of a chat template, and the day it is told
turns       how a chat template ends the assistant's turn
"""
