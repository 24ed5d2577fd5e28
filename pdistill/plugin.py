"""The contract between pdistill and its plugins: everything that authors of tasks and backends import, in one place."""

from pdistill.core.contract.batches import Batch, HardRow, Loss, PolicyRow, SoftRow, TokenIds
from pdistill.core.contract.constraint import Constraint, JsonSchema, Pattern
from pdistill.core.contract.exporter import Exporter, ExportSpec, LoadedExport
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import (
    ADAPTER,
    Backend,
    Capability,
    Lora,
    Remote,
    RemoteStudent,
    Renderer,
    Sampler,
    Scorer,
    StateURI,
    StepMetrics,
    Streamer,
    Student,
    Teacher,
    TokenScores,
    Trainer,
    TrainingDefaults,
    WeightsURI,
)
from pdistill.core.contract.likeness import likeness
from pdistill.core.contract.optionfields import option
from pdistill.core.contract.prices import FREE, Prices, given_prices
from pdistill.core.contract.prompts import QUERY_FIELD, Message, Messages, Prompt, Text, framed, teacher_prompt
from pdistill.core.contract.queries import Query
from pdistill.core.contract.queryfiles import read_queries, read_text
from pdistill.core.contract.registry import Registry
from pdistill.core.contract.sampling import Allowed, Completion, Finish, Key, Request, Sampling
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.contract.task import Task
from pdistill.core.errors import (
    BackendError,
    BrokenOffError,
    ContextError,
    PdistillError,
    RunError,
    TaskError,
    UsageError,
)

__all__ = [
    "ADAPTER",
    "FREE",
    "QUERY_FIELD",
    "Allowed",
    "Backend",
    "BackendError",
    "Batch",
    "BrokenOffError",
    "Capability",
    "Completion",
    "Constraint",
    "ContextError",
    "ExportSpec",
    "Exporter",
    "Finish",
    "HardRow",
    "HardTarget",
    "JsonSchema",
    "Key",
    "LoadedExport",
    "Lora",
    "Loss",
    "Message",
    "Messages",
    "Pattern",
    "PdistillError",
    "PolicyRow",
    "Prices",
    "Prompt",
    "Query",
    "Registry",
    "Rejected",
    "Remote",
    "RemoteStudent",
    "Renderer",
    "Request",
    "RunError",
    "Sampler",
    "Sampling",
    "Scorer",
    "SoftRow",
    "StateURI",
    "StepMetrics",
    "Streamer",
    "Student",
    "Task",
    "TaskError",
    "Teacher",
    "Text",
    "TokenIds",
    "TokenScores",
    "Trainer",
    "TrainingDefaults",
    "UsageError",
    "WeightsURI",
    "framed",
    "given_prices",
    "hookimpl",
    "likeness",
    "option",
    "read_queries",
    "read_text",
    "teacher_prompt",
]
