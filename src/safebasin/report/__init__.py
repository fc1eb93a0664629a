"""Showing a landscape: terminal, figures, page. Reads records only; nothing here measures or judges.

audit         the page of an audit: its first screen is the answer with its reason
budgets       the words of the smallest budgets that break defenses
colors        the colors and signs of every figure
comparison    the page of several studies: curves over each other, margins, who cannot be told apart
curves        the curves of a panel, as plain numbers: what figures, page and terminal all draw
defenses      the page of a comparison of defenses: one table and one figure, and what cannot be told apart
differences   what a paired difference says, in words
explanations  what each statistic says, in plain words, and what it does not
figures/      the figures of a landscape as files for papers: lines, planes, overlays, blocks, measurements
fleet         the page of a fleet: a row for each tuned model, with what was decided and by how much
frames        results as frames of pandas
gate          what a pipeline shows of an audit or a fleet: JUnit XML, and Markdown for the page of a job
headlines     one sentence that answers what a panel or a group was measured for
html          the report of one study: a self-contained page that asks the network for nothing
interpolate   linear interpolation of one number, as plain Python
layers        the page of located layers: the band, the curves it comes from, and what scaling says of its bounds
layout        what of a landscape is drawn together, and under which names: regions, overlays, groups, file names
measurements  what else was measured at the points of a panel (perplexity, KL, scores of tasks), as plain numbers
sweep         the page of a sweep: many tuned models of one base
screen        the page of a screen: tuned models in the order of an audit
mechanism     the page of a mechanism: what safety training changed in a pair of models
prefill       the page of forced beginnings: refusal behind them
page          the frame, style and scripts that every page shares
payload/      what the page's script draws from, as plain values for JSON
sanitize      text that others wrote, made safe to show: what a terminal or a browser would obey becomes visible
sections      what the page says, section by section, as plain values for its template
sides         where a basin ends on each side of a line, as a figure marks it
surfaces      the planes of a panel, as plain numbers: what figures, page and terminal all draw
terminal/     a landscape as text for a terminal: curves, maps, statistics, what the responses were
trajectories  the path of a training run on a landscape: which steps are named
"""
