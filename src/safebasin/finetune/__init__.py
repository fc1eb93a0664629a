"""Training that moves a model in weight space: attacks, and defenses against them. Not how the result is measured.

    request     names, files and texts → what is asked for
    prepare     … → rows of an attack or file, defended, as tokens (`encoding`), in a setup (`setup`)
    tune        … → a folder with weights or adapter, record and card, after weight defenses where there are any
    train       the training itself, by TRL (`trainer`); `run` is what both share
    sweep       the same at every combination of some settings

    freezing, holding                layers, or single weights, that are not trained
    attacks, defenses, settings      recipes, mitigations, and how long, how fast
    data, fields, sources            rows from files and worlds
    moderation                       a judge reads rows

Defenses of all stages: the seams in `safebasin.protocols.defenses`; what makes one model of another without training on
rows: `safebasin.edits`.
"""
