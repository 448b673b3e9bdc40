"""inspect-ai on the same sets: its own scorer and ours agree on the same answers."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from server.evaluation.judge import Judge
from server.evaluation.problem import Problem
from tests.server.evaluation.conftest import PROBLEMS, Rehearsal

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None or "QUORUM_TEST_INSPECT" not in os.environ,
    reason="needs inspect-ai and a network for its token counts: set QUORUM_TEST_INSPECT",
)
SCRIPT = "tests.server.evaluation.inspected"
#: Right answer, the model's, and whether that is right; both must see so.
CASES = [
    ("42", "So it is \\boxed{42}.", True), ("42", "\\boxed{43}", False),
    ("\\frac{1}{2}", "\\boxed{0.5}", True), ("\\frac{1}{2}", "\\boxed{\\frac{2}{4}}", True),
    ("2\\sqrt{2}", "\\boxed{\\sqrt{8}}", True), ("2\\sqrt{2}", "\\boxed{\\sqrt{6}}", False),
    ("x^2+1", "\\boxed{1+x^2}", True), ("7", "I do not know.", False),
]  # fmt: skip


def verdicts(data: Path, logs: Path, source: str) -> dict[str, dict[str, bool]]:
    command = [sys.executable, "-m", SCRIPT, str(data), str(logs), source]
    root = Path(__file__).parents[3]
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=root, check=False, timeout=55
    )
    assert told.returncode == 0, told.stderr[-2_000:]
    found: dict[str, dict[str, bool]] = orjson.loads(told.stdout)
    return found


async def test_its_score_of_recorded_outputs_is_ours(tmp_path: Path) -> None:
    data, outputs = tmp_path / "cases.jsonl", tmp_path / "outputs.json"
    rows = [{"id": f"c{n}", "problem": f"{n}?", "answer": case[0]} for n, case in enumerate(CASES)]
    data.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    outputs.write_bytes(orjson.dumps([case[1] for case in CASES]))
    found = verdicts(data, tmp_path / "logs", str(outputs))
    for number, (answer, text, right) in enumerate(CASES):
        both = found[f"c{number}"]
        assert both["math"] == both["quorum"] == right, (answer, text, both)
    async with Judge() as judge:
        one = Problem(id="p", statement="?", answer="2\\sqrt{2}")
        (verdict,) = await judge.judge(one, ["\\sqrt{8}"])
        assert verdict.right


def test_the_openai_route_is_scored_alike_by_both(rehearsal: Rehearsal, tmp_path: Path) -> None:
    found = verdicts(rehearsal.problems, tmp_path / "logs", rehearsal.url)
    assert len(found) == PROBLEMS
    assert all(both["math"] == both["quorum"] for both in found.values())
    assert any(both["quorum"] for both in found.values())
