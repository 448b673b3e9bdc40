"""The wire schema: every request, result and event that crosses HTTP. The only one.

The journal's rows are these events, SSE sends them, the page and the replay read them. Times are
seconds; `at` counts from the creation of the solve. Unknown fields in a request are refused;
clients must ignore event types and fields that they do not know.

Import from here: which module holds a name may change. So this is the one package of the project
whose `__init__` holds more than a docstring: names, and nothing that runs.
"""

from client.schema.base import Flag, Integer, Number, RequestModel, WireModel
from client.schema.events import (
    EVENT_ADAPTER,
    AttemptCall,
    AttemptEvent,
    AttemptFinished,
    AttemptGap,
    AttemptResult,
    AttemptSegment,
    AttemptStarted,
    AttemptText,
    AttemptWaiting,
    BallotChanged,
    Event,
    EventBase,
    SolveFinished,
    SolveQueued,
    SolveRequested,
    SolveStarted,
    SolveVersions,
)
from client.schema.problems import InvalidField, ProblemDetails
from client.schema.requests import MAX_ATTEMPTS, MAX_PROBLEM_CHARS, MAX_SEED, SolveRequest
from client.schema.results import AttemptReport, BallotLine, SolveResult, TokenCounts
from client.schema.sandbox import (
    CELL_EVENT_ADAPTER,
    MAX_CELL_TIMEOUT_S,
    MAX_CODE_CHARS,
    MAX_TTL_S,
    MAX_WAIT_S,
    CellEvent,
    CellFailed,
    CellFinished,
    CellOutput,
    CellResult,
    CellStatus,
    ExecuteRequest,
    InterruptReport,
    InterruptStep,
    Lease,
    LeaseInfo,
    LeaseList,
    LeaseRequest,
)
from client.schema.status import PART_FAILED, Health, PartStatus, Readiness
from client.schema.values import AnswerKind, AttemptEnd, Channel, SegmentKind, SolveEnd

__all__ = [
    "CELL_EVENT_ADAPTER",
    "EVENT_ADAPTER",
    "MAX_ATTEMPTS",
    "MAX_CELL_TIMEOUT_S",
    "MAX_CODE_CHARS",
    "MAX_PROBLEM_CHARS",
    "MAX_SEED",
    "MAX_TTL_S",
    "MAX_WAIT_S",
    "PART_FAILED",
    "AnswerKind",
    "AttemptCall",
    "AttemptEnd",
    "AttemptEvent",
    "AttemptFinished",
    "AttemptGap",
    "AttemptReport",
    "AttemptResult",
    "AttemptSegment",
    "AttemptStarted",
    "AttemptText",
    "AttemptWaiting",
    "BallotChanged",
    "BallotLine",
    "CellEvent",
    "CellFailed",
    "CellFinished",
    "CellOutput",
    "CellResult",
    "CellStatus",
    "Channel",
    "Event",
    "EventBase",
    "ExecuteRequest",
    "Flag",
    "Health",
    "Integer",
    "InterruptReport",
    "InterruptStep",
    "InvalidField",
    "Lease",
    "LeaseInfo",
    "LeaseList",
    "LeaseRequest",
    "Number",
    "PartStatus",
    "ProblemDetails",
    "Readiness",
    "RequestModel",
    "SegmentKind",
    "SolveEnd",
    "SolveFinished",
    "SolveQueued",
    "SolveRequest",
    "SolveRequested",
    "SolveResult",
    "SolveStarted",
    "SolveVersions",
    "TokenCounts",
    "WireModel",
]
