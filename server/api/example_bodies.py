"""Bodies of requests and answers, one a model of the wire, as the description of the API has them.

They tell one story: a problem of a run, solved by four attempts. What is left out here is completed
by the model's own defaults; requests hold what a caller would send.
"""

from typing import Any

Body = dict[str, Any]

PROBLEM = "What is the remainder when $7^{2024}$ is divided by 1000?"
MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"
SOLVE, RUN, LEASE, LABEL = (
    "solve-5b0c7d1f2a3e", "contest-2026-04-15", "lease-9f2c41d07ab3", "label-7d1f2a3e",
)  # fmt: skip
CREATED = "2026-03-01T12:00:00.000000Z"
TOKENS = {"prompt": 1620, "sampled": 1043, "appended": 96}
BALLOT = [{"answer": "401", "votes": 3, "weight": 3.0, "attempts": [0, 1, 3]}]


def _attempt(index: int, answer: str | None, end: str, detail: str) -> Body:
    return {
        "attempt": index, "seed": 7 + index, "end": end, "detail": detail, "answer": answer,
        "weight": 1.0 if answer else 0.0, "turns": 2, "tool_calls": 1, "seconds": 19.8 + index / 2,
        "tokens": {"prompt": 405, "sampled": 258 + index, "appended": 24},
    }  # fmt: skip


ANSWERED = "the message ended with an answer"
RESULT: Body = {
    "solve_id": SOLVE,
    "problem_id": "p-17",
    "answer": "401",
    "end": "agreement",
    "detail": "3 of 4 attempts agree on 401",
    "strategy": "tir",
    "ballot": BALLOT,
    "attempts": [
        _attempt(0, "401", "answered", ANSWERED),
        _attempt(1, "401", "answered", ANSWERED),
        _attempt(2, None, "early_stop", "enough attempts agreed"),
        _attempt(3, "401", "answered", ANSWERED),
    ],
    "tokens": TOKENS,
    "saved": {"attempts_cut": 1, "attempts_unlaunched": 0, "tokens": 120},
    "seconds": 21.4,
    "model": MODEL,
    "sandbox": "forked, tier namespaces",
}
INFO: Body = {
    "solve_id": SOLVE, "state": "finished", "created": CREATED, "problem": PROBLEM,
    "problem_id": "p-17", "run": RUN, "strategy": "tir", "model": MODEL, "attempts": 4,
    "answer": "401", "end": "agreement", "seconds": 21.4, "tokens": TOKENS,
}  # fmt: skip
GIVEN: Body = {
    "problem_id": "p-18", "answer": "660", "rung": "boxed", "seconds": 300.0,
    "notes": ["the server did not answer in time"], "told_at": CREATED,
}  # fmt: skip
RUNNING: Body = {
    "id": RUN, "name": "Rehearsal of a contest", "state": "open", "problems": 50, "done": 1,
    "running": 1, "limit_s": 18_000, "elapsed_s": 431.5, "seconds_left": 17_568.5,
    "created_at": CREATED, "budget": "adaptive",
    "solves": [
        {"id": SOLVE, "problem_id": "p-17", "state": "finished", "answer": "401", "seconds": 21.4,
         "limit_s": 351.2},
        {"id": "solve-c41d07ab39f2", "problem_id": "p-19", "state": "running", "limit_s": 360.0},
    ],
    "answers": [GIVEN],
}  # fmt: skip
MODEL_INFO: Body = {"id": MODEL, "created": 1_772_366_400, "max_model_len": 32_768}
USAGE: Body = {
    "prompt_tokens": 1716, "completion_tokens": 1043, "total_tokens": 2759,
    "completion_tokens_details": {"reasoning_tokens": 1040},
}  # fmt: skip
SUMMARY: Body = {
    "solve_id": SOLVE, "end": "agreement", "detail": "3 of 4 attempts agree on 401", "seconds": 21.4
}  # fmt: skip
LEASED: Body = {
    "owner": "load test", "seed": 7, "ttl_s": 30, "age_s": 4.2, "waited_s": 0.01,
    "expires_in_s": 25.8, "busy": False, "cells": 2,
}  # fmt: skip
LABELLED: Body = {
    "id": LABEL, "at": 1_772_366_431.5, "problem_id": "p-17", "solve_id": SOLVE, "attempt": 0,
    "alternate": None, "annotator": "ada", "tag": "insight", "begin": 412, "end": 460,
    "source": None, "reason": "sees that the powers of 7 repeat after 20",
}  # fmt: skip
#: Of labels as CSV.
COLUMNS = (
    "problem_id", "solve_id", "attempt", "annotator", "tag", "begin", "end", "source", "reason",
    "alternate",
)  # fmt: skip
LABEL_WISH = {name: LABELLED[name] for name in COLUMNS if LABELLED[name] is not None}
READY: Body = {
    "ready": True, "engine": {"ready": True, "state": "ready", "detail": "llama-server, 4 slots"},
    "sandbox": {"ready": True, "state": "ready", "detail": "4 kernels, tier namespaces"},
    "journal": {"ready": True, "state": "recording", "detail": ""},
    "model": MODEL, "running": 1, "queued": 0,
}  # fmt: skip
NOT_READY: Body = {
    **READY,
    "ready": False,
    "engine": {"ready": False, "state": "starting", "detail": "reading the weights"},
    "running": 0,
}

#: By the model's name.
REQUESTS: dict[str, Body] = {
    "SolveRequest": {
        "problem": PROBLEM, "problem_id": "p-17", "attempts": 4, "agree": 3, "time_limit_s": 120,
        "seed": 7,
    },
    "SelectRequest": {"selector": "weighted", "weight": "tool_errors"},
    "RunRequest": {
        "id": RUN, "name": "Rehearsal of a contest", "problems": 50, "limit_s": 18_000,
        "budget": "adaptive",
    },
    "RunFinish": {"reason": "the contest is over"},
    "RunAnswer": {name: value for name, value in GIVEN.items() if name != "told_at"},
    "TokenizeRequest": {"text": "So the answer is 401."},
    "DetokenizeRequest": {"token_ids": [4416, 279, 4226, 374, 220, 19, 15, 16, 13]},
    "LabelBatch": {"labels": [LABEL_WISH]},
}  # fmt: skip
ANSWERS: dict[str, Body] = {
    "Health": {"version": "0.1.0", "uptime_s": 731.2},
    "Readiness": READY,
    "SolveResult": RESULT,
    "SolveDetail": {**INFO, "result": RESULT},
    "SolveList": {"solves": [INFO], "next": f"1772366400.0_{SOLVE}"},
    "SelectReport": {
        "solve_id": SOLVE, "selector": "weighted", "weight_by": "tool_errors", "answer": "401",
        "reason": "most_weight", "weight": 3.0, "total": 3.0, "ballot": BALLOT, "seconds": 0.002,
    },
    "ChatCompletion": {
        "id": f"chatcmpl-{SOLVE}", "created": 1_772_366_400, "model": MODEL, "usage": USAGE,
        "choices": [
            {"index": 0, "finish_reason": "stop",
             "message": {"content": "401", "reasoning_content": "[4 attempts, 120 s]\n"}},
        ],
        "quorum": SUMMARY,
    },
    "Completion": {
        "id": "cmpl-5b0c7d1f2a3e", "created": 1_772_366_400, "model": MODEL,
        "choices": [{"index": 0, "text": " 7, 11, 13", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15},
    },
    "TokenizedText": {
        "token_ids": [4416, 279, 4226, 374, 220, 19, 15, 16, 13],
        "texts": ["So", " the", " answer", " is", " ", "4", "0", "1", "."], "model": MODEL,
    },
    "ModelList": {"data": [MODEL_INFO]},
    "ModelInfo": MODEL_INFO,
    "PolicyCatalogue": {
        "default": "tir",
        "strategies": [
            {"name": "tir", "meaning": "attempts with a kernel each, and a vote", "tools": True,
             "attempts": None, "policies": {"weight": "plain", "selector": "weighted"}},
        ],
        "policies": {
            "weight": [{"name": "plain", "usage": "plain", "meaning": "every vote weighs one"}],
        },
    },
    "SettingList": {
        "settings": [
            {"name": "solve.attempts", "value": 8, "default": 4, "changed": True,
             "meaning": "attempts per problem"},
        ],
    },
    "Run": RUNNING,
    "RunList": {
        "runs": [{**RUNNING, "solves": [], "answers": []}], "next": "1772366400.0_contest-0"
    },
    "GivenAnswer": GIVEN,
    "LabelList": {"labels": [LABELLED]},
    "Lease": {**LEASED, "lease_id": LEASE},
    "LeaseList": {"leases": [LEASED], "waiting": 0, "kernels": 4},
    "InterruptReport": {"interrupted": True},
    "CellResult": {
        "output": "2\n", "status": "ok", "interrupt_step": "none", "state_lost": False,
        "seconds": 0.004, "truncated": False,
    },
}  # fmt: skip
