"""What a study costs before it is run: tokens, operations, bytes, memory, hours, money. An estimate, and says so.

records       the nouns of a price
lengths       how many tokens prompts and answers have, or are assumed to have
work          tokens → operations and bytes: arithmetic alone
accelerators  the table of named accelerators that ships
quotes        work and memory → hours and cost on a device, and what to change where a model does not fit
probe         ten seconds on the machine at hand: its two constants, and how long answers are
estimate      all of it for a plan
"""
