"""Runs the task under inspect-ai, for a test: prints each scorer's verdict on each problem as JSON.

Arguments: a file of problems, a folder for logs, and either a file of recorded outputs (a JSON
list) or the URL of a server.
"""

import json
import sys
from pathlib import Path

from inspect_ai import eval as inspect_eval
from inspect_ai.model import Model, ModelOutput, get_model

from server.evaluation.inspect_task import problems


def main(data: str, logs: str, source: str) -> None:
    if source.startswith("http"):
        model: Model = get_model("openai-api/quorum/m", base_url=f"{source}/v1", api_key="none")
    else:
        texts = json.loads(Path(source).read_text())
        outputs = [ModelOutput.from_content("mockllm/model", text) for text in texts]
        model = get_model("mockllm/model", custom_outputs=outputs)
    task = problems(data, attempts=2, time_limit_s=20.0)
    (log,) = inspect_eval(task, model=model, log_dir=logs, display="none", max_samples=1)
    assert log.status == "success", log.error
    verdicts = {
        str(sample.id): {name: score.value == "C" for name, score in (sample.scores or {}).items()}
        for sample in log.samples or []
    }
    sys.stdout.write(json.dumps(verdicts))


main(*sys.argv[1:])
