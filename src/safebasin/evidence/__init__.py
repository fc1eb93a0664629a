"""Evidence that others can check: folders of results held against their digests, and packs of them for others.

checking     a folder of results: its files, rows, plan and model, against the list of digests that it keeps
packing      one file of a folder of results, for others
recomputing  every statistic derived anew from the rows, and compared with what the results say
signing      detached signatures of packs, by OpenSSH
unpacking    a pack that somebody sent, held against its own list
"""
