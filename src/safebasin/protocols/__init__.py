"""The seams of safebasin: what a plugin may replace, each with its contract. `safebasin.testing` checks every one.

A name reaches an implementation through `safebasin.catalog` only; nothing here imports an implementation.
"""

from safebasin.protocols.backends import (
    Backend,
    EngineSpec,
    Generate,
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
    TrainingDefense,
    WeightDefense,
)
from safebasin.protocols.edits import Edit
from safebasin.protocols.engines import Dated, Engine, EngineFacts, Generation, Inside, Inspector, TokenScores
from safebasin.protocols.finetuning import Attack, RowSource
from safebasin.protocols.judges import AskedJudge, CalibratedJudge, Cost, Judge, RuleJudge
from safebasin.protocols.prompts import PromptSource, SystemSource
from safebasin.protocols.weights import BaseWeights, Delta, Direction, WeightBlock
from safebasin.protocols.worlds import World

__all__ = [
    "STAGES",
    "AskedJudge",
    "AskingDefense",
    "Attack",
    "Backend",
    "BaseWeights",
    "CalibratedJudge",
    "Cost",
    "DataDefense",
    "Dated",
    "Defended",
    "Defense",
    "Delta",
    "Direction",
    "Edit",
    "Engine",
    "EngineFacts",
    "EngineSpec",
    "Generate",
    "Generation",
    "Guard",
    "InferenceDefense",
    "Inside",
    "Inspect",
    "Inspected",
    "Inspector",
    "Judge",
    "LiveBatch",
    "Loss",
    "Measure",
    "Measured",
    "PromptSource",
    "ReadText",
    "Results",
    "RowSource",
    "RuleJudge",
    "RunTasks",
    "ScoreTexts",
    "Setup",
    "Split",
    "Stage",
    "StepHook",
    "SystemSource",
    "Task",
    "TokenScores",
    "Trace",
    "TrainingDefense",
    "WeightBlock",
    "WeightDefense",
    "World",
]
