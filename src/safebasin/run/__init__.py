"""Measuring: a study becomes rows. Prints and draws nothing.

dtype            what `--dtype auto` means in a study
inputs           what a study refers to, looked up: prompts, systems, regions, judges, the engine
distinct         what a study asks twice in other words
preview          what would be run, and what is done
pricing/         what the rest of a study costs: tokens, memory, hours, money
planned          the plan of a study in a folder
beginning        the folder of a study as it is written to: locked, and gone again if nothing came of it
moves            whether an engine can go where a plan wants it
execute          one run of a study in its folder: generate, score, judge, look where to measure next
driver           the loops that hand tasks to a backend and write what comes back, the only writer
together         points that are asked in one running batch: which stand together, and their tasks
local            tasks on the engine of this process
sharding         one study on machines without a network: shards, and joining them
crew             several workers: who gets which task, and what is done where one dies
processes        a crew of processes of this machine
cluster          a crew of actors on a Ray cluster
full_disk        a disk that is full where a worker writes: one line
worker           one engine, and how it does each kind of task
rounds           the rounds of a study that finds out as it goes what to ask, and which one a folder has got to
next_round       the next places of a region that is sampled adaptively
bisection        the rule behind it
prompt_settings  how the prompts are asked, recorded once and compared
continued        whether a folder goes on with the engine, dtype and template that it began with, and its dtype
noise_version    by which version of the noise a folder's random directions are drawn
token_budget     the token budget of fast mode, calibrated on its pilot
prompt_stopping  in fast mode, which points are asked more prompts, by what they were answered so far
borrowing        answers of θ₀ that another folder of the same model has
adopt            what another stop rule has left in a folder
calibration      calibrating the test of language
measurements     perplexity and KL of texts, scores of tasks, at the points of a plan
trajectories     training runs, projected onto the lines and planes of a study
judging          verdicts over what is stored
manifest         what a study ran on and with
verify           what is wrong with a stored study
ending           a wish to end, granted between two batches
heartbeat        a small file that says how far a run is
progress         what a run says of its progress
"""
