"""The figures of a landscape as files for papers: lines, planes, overlays, blocks, measurements. matplotlib, no screen.

The same landscape gives the same bytes: no date, no random ids. matplotlib is imported when a figure is drawn.

    blocks        a group of lines, such as one for each block of a model
    audit         the metrics of an audit: how much worse, beside the limit
    budgets       a stress test: a row a defense, a column a kind of budget
    canvas        size, style and saving of every figure
    data          the data of a figure as rows, and as CSV
    comparison    several studies: curves or rims over each other, margins with intervals
    defenses      a comparison of defenses: a row an arm, a column a measure, each with its interval
    files         which figures a landscape has, under which names, as files or as images for a page
    layers        located layers: curves by layer, and what scaling says
    labels        the labels in other languages
    lines         figures along a line: ASR of every judge with its bands, and what the responses are
    look          title, limits, size and language, where they are not the usual ones
    measurements  perplexity, KL and scores of tasks along a line
    mechanism     separation by layer, where a change writes, what it answers to
    plots         results on axes of one's own
    prefill       refusal behind a forced beginning, by its tokens
    overlays      figures of several panels of one line: their curves over each other, and one small axes for each
    training      the losses of a training run
    sweep         the rate of each tuned model beside that of the base
    screen        where tuned models moved, by block, and in how many directions
    planes        ASR and outcomes over planes, with the rim of the basin
"""

from safebasin.report.figures.files import Figures
from safebasin.report.figures.lines import draw_asr, draw_outcomes

__all__ = ["Figures", "draw_asr", "draw_outcomes"]
