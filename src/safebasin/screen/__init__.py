"""A look at tuned models before an audit: in seconds, without generation, and no verdict.

How far the weights moved and how, by layer; whether they moved back to before alignment, or along what takes the
refusal direction out; and what the first token of an answer has become. Orders tuned models: which to audit first.

    records   what is found, as plain values
    spectra   leading singular values and stable rank of a change
    refusal   the direction in which a model tells harmful requests, without asking it for a word
    along     how a change lies to other changes
    opening   how far the first token of an answer has moved
    rates     how often the screen was wrong on tuned models whose harm is known
    measure   all of it, for one base and its tuned models
"""
