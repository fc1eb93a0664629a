"""State on disk: one folder a study, one SQLite file in it. Nothing here knows what a landscape is.

absorbing       rows of other databases of the same study, taken over under their keys
cells           where the responses of a plan stand: a row a point, a column a question, read in bulk
coded           a large table read in bulk, a number for each combination of what a few columns say
columns         what responses, scores and grades hold, in columns that are checked as a whole
completeness    whether every response has what it needs, told by indexes alone
connection      a connection to the database: how it is opened, transactions, what SQLite's errors mean
db              one SQLite file a study: what was asked, what came back, how it was scored and judged
digests         digests over the content of rows: a flipped bit or a replaced text is seen
folder          the folder of a study: making it, keeping it private, taking it away, and holding the one writer's lock
forgetting      scores that a run makes anew, since a judge needs more
holders         the lists of digests above a folder, kept true about it when it is judged or reported itself
integrity       damaged files, rows that point nowhere, content that is not what it was
key_index       keys of many responses as numbers, and which questions are answered, joined by SQLite and taken apart
measurements    numbers measured at points that are no verdicts, in the database of a study
migrations      the schema of a study's database, as a list of steps that are applied once and in order
opinions        verdicts of judges of wording, written in bulk
read_only       a database looked at: opened so that nothing is written to its file
renaming        new keys for what a folder holds, where a decoding turns out to be another one
rows            the rows of one plan, chosen by SQL and read a part at a time
sealing         one list of digests over all that a folder of results holds: `digests.json`
values          values of Python as columns of the database, and back
verdict_arrays  the verdicts of a plan as arrays, read in bulk
withholding     copies of a database for others, with its texts or without any
"""
