"""The seams of safebasin: what a plugin may replace, each with its contract. `safebasin.testing` checks every one.

A name reaches an implementation through `safebasin.catalog` only; nothing here imports an implementation.
"""

from safebasin.protocols.backends import Backend, Job
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
from safebasin.protocols.engines import Dated, Engine, Generation, Inspector, Reader, TokenScores
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
    "Engine",
    "Generation",
    "Guard",
    "InferenceDefense",
    "Inspector",
    "Job",
    "Judge",
    "LiveBatch",
    "Loss",
    "PromptSource",
    "Reader",
    "RowSource",
    "RuleJudge",
    "Setup",
    "Stage",
    "StepHook",
    "SystemSource",
    "TokenScores",
    "TrainingDefense",
    "WeightBlock",
    "WeightDefense",
    "World",
]
