"""Reading a stored study: the rows become a landscape. No model; nothing here measures.

stored           a study, opened once: its plan, its rows, and what is missing
last_plan        what a folder was last asked: its plan, and the versions of its judges
language_tests   the tests of language that a folder was calibrated with
score_reach      how far the scores of a folder go
certificates     exact bounds of what Gaussian noise on the weights certifies
fast_mode        token budget of fast mode, and its agreement with exact mode
traces           trajectories of training runs, as they were projected
tables           verdicts as arrays
summaries        the statistics of a panel, by name; which judge stands behind which
results          the landscape of a plan: panels, comparisons, notes
notes            what readers should know of it
compare_panels   paired differences between the panels of one study
compare_studies  several studies that ask the same, and their ranking
sweep            many tuned models of one base, beside it
agreement        judges compared with one another and with human labels
labels           human labels, read from a file
grades           harmfulness score and rate of a judge that grades
points           one point of a plan by its coordinates
samples          responses as rows to be shown, hazardous text withheld
browsing         a page of them that passes a filter, of a study that may still run
row_blocks       the same in columns, a place at a time, for what is written
flat_rows        these rows with each value in a column of its own
export           rows as a Parquet, JSONL or CSV file
landscape_json   the landscape as plain values, and their schema
"""
