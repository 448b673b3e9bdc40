"""inspect-ai on the same sets: its own scorer and ours agree on the same answers."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.server.evaluation.conftest import PROBLEMS, Rehearsal

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("inspect_ai") is None,
        reason="needs inspect-ai: pip install inspect-ai",
    ),
    # Its import alone takes seconds, and many on a busy machine.
    pytest.mark.timeout(240),
]
SCRIPT = "tests.server.evaluation.inspected"
Verdicts = dict[str, dict[str, bool]]
#: Right answer, the model's, and whether that is right; both must see so.
CASES = [
    ("42", "So it is \\boxed{42}.", True), ("42", "\\boxed{43}", False),
    ("\\frac{1}{2}", "\\boxed{0.5}", True), ("\\frac{1}{2}", "\\boxed{\\frac{2}{4}}", True),
    ("2\\sqrt{2}", "\\boxed{\\sqrt{8}}", True), ("2\\sqrt{2}", "\\boxed{\\sqrt{6}}", False),
    ("x^2+1", "\\boxed{1+x^2}", True), ("7", "I do not know.", False),
    ("12,345", "\\boxed{12345}", True), ("(3, 4)", "\\boxed{(4, 3)}", False),
    ("90^\\circ", "\\boxed{90}", True), ("\\frac{9}{7}", "\\boxed{1.2857}", False),
]  # fmt: skip


@pytest.fixture(scope="module")
def found(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> list[Verdicts]:
    """Return the verdicts on recorded outputs, and on the route's; one process has both."""
    folder = tmp_path_factory.mktemp("inspect")
    data, outputs = folder / "cases.jsonl", folder / "outputs.json"
    rows = [{"id": f"c{n}", "problem": f"{n}?", "answer": case[0]} for n, case in enumerate(CASES)]
    data.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    outputs.write_bytes(orjson.dumps([case[1] for case in CASES]))
    command = [
        sys.executable, "-m", SCRIPT, str(folder / "logs"),
        str(data), str(outputs), str(rehearsal.problems), rehearsal.url,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False,
        timeout=200, env={**os.environ, "HOME": str(folder), "INSPECT_TELEMETRY": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    told: list[Verdicts] = orjson.loads(done.stdout)
    return told


def test_its_score_of_recorded_outputs_is_ours(found: list[Verdicts]) -> None:
    recorded = {int(name.removeprefix("c")): both for name, both in found[0].items()}
    assert sorted(recorded) == list(range(len(CASES)))
    for number, (answer, text, right) in enumerate(CASES):
        assert recorded[number] == {"math": right, "quorum": right}, (answer, text)


def test_the_openai_route_is_scored_alike_by_both(found: list[Verdicts]) -> None:
    assert len(found[1]) == PROBLEMS
    assert all(both["math"] == both["quorum"] for both in found[1].values())
    assert any(both["quorum"] for both in found[1].values())
