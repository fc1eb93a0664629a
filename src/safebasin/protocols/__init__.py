"""The seams of safebasin: what a plugin may replace, each with its contract. `safebasin.testing` checks every one.

A name reaches an implementation through `safebasin.catalog` only; nothing here imports an implementation.

    backends    the seam of running: what a backend is asked to do, and what comes back
    defenses    the seams of defenses: one for each of the four stages at which a model can be defended
    edits       the seam of edits: what makes one model of another without training it on rows of text
    engines     the seam between weights and text: engines, and what they hand back
    finetuning  the seams of fine-tuning: where rows come from, and attacks
    judges      the seam of judges: those that only read, and those that ask another model
    prompts     the seams of prompts: where prompts and system prompts come from
    weights     the seams of weights: θ₀ as it is read, directions, and what a direction becomes for one model
    worlds      the seam of worlds: prompt sets with a ground truth, and models that belong to them
"""

from safebasin.protocols.backends import (
    Backend,
    EngineSpec,
    Generate,
    GenerateTogether,
    Inspect,
    Inspected,
    Measure,
    Measured,
    ReadText,
    Results,
    RunTasks,
    ScoreTexts,
    Split,
    Task,
    Trace,
)
from safebasin.protocols.defenses import (
    STAGES,
    AskingDefense,
    DataDefense,
    Defended,
    Defense,
    Guard,
    InferenceDefense,
    LiveBatch,
    Loss,
    Setup,
    Stage,
    StepHook,
    TemplatedDefense,
    TrainingDefense,
    WeightDefense,
)
from safebasin.protocols.edits import Edit
from safebasin.protocols.engines import (
    UNMERGED,
    Dated,
    Engine,
    EngineFacts,
    Generation,
    Inside,
    Inspector,
    ManyPoints,
    Prefilling,
    PrefixScorer,
    TokenScores,
)
from safebasin.protocols.finetuning import Attack, RowSource
from safebasin.protocols.judges import (
    AskedJudge,
    CalibratedJudge,
    Cost,
    DecidedJudge,
    Judge,
    RuleJudge,
    SparingJudge,
    WordingJudge,
)
from safebasin.protocols.prompts import PromptSource, SystemSource
from safebasin.protocols.weights import BaseWeights, Delta, Direction, IdentifiedDirection, WeightBlock
from safebasin.protocols.worlds import World

__all__ = [
    "STAGES",
    "UNMERGED",
    "AskedJudge",
    "AskingDefense",
    "Attack",
    "Backend",
    "BaseWeights",
    "CalibratedJudge",
    "Cost",
    "DataDefense",
    "Dated",
    "DecidedJudge",
    "Defended",
    "Defense",
    "Delta",
    "Direction",
    "Edit",
    "Engine",
    "EngineFacts",
    "EngineSpec",
    "Generate",
    "GenerateTogether",
    "Generation",
    "Guard",
    "IdentifiedDirection",
    "InferenceDefense",
    "Inside",
    "Inspect",
    "Inspected",
    "Inspector",
    "Judge",
    "LiveBatch",
    "Loss",
    "ManyPoints",
    "Measure",
    "Measured",
    "Prefilling",
    "PrefixScorer",
    "PromptSource",
    "ReadText",
    "Results",
    "RowSource",
    "RuleJudge",
    "RunTasks",
    "ScoreTexts",
    "Setup",
    "SparingJudge",
    "Split",
    "Stage",
    "StepHook",
    "SystemSource",
    "Task",
    "TemplatedDefense",
    "TokenScores",
    "Trace",
    "TrainingDefense",
    "WeightBlock",
    "WeightDefense",
    "WordingJudge",
    "World",
]
