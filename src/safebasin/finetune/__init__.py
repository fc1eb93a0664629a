"""Training that moves a model in weight space: attacks, and defenses against them. Not how the result is measured.

    options      every option, declared once for API and command line
    request      names, files and texts → what is asked for
    prepare      … → rows of an attack or file, defended, in a setup
    encoding     … rows as tokens of one model
    setup        … what is trained, after training defenses
    tune         … → a folder with weights or adapter, record and card, after weight defenses where there are any
    train        the training itself
    trainer      … by TRL's trainer
    run          what both share: processes, checkpoints, the name of the base
    sweep        the same at every combination of some settings

    freezing     layers that are not trained
    anchored     a pull to the start, and Lisa's turns
    constrained  a loss that holds the first tokens of a response
    transitions  refusals behind part of a harmful response, and the transition to one
    holding      single weights that are not trained
    attacks      recipes
    defenses     mitigations that change rows
    moderation   a judge reads rows
    settings     how long, how fast
    data         rows of a file as conversations
    fields       the layouts that such rows come in
    sources      rows by name, from files and worlds

Defenses of all stages: the seams in `safebasin.protocols.defenses`; what makes one model of another without training on
rows: `safebasin.edits`.
"""

from safebasin.verbs import make_callable

make_callable(__name__)
