"""Into other tools, through their own Python interfaces. Measures nothing; each tool is imported where it is used.

inspect_log  a study as a log of Inspect: a sample a response, the scores of every judge
"""
