"""A tiny evaluation of inspect-ai against a server, as a program: `URL LOG_FOLDER`."""

import json
import sys

from inspect_ai import Task, eval  # noqa: A004 - inspect's own name
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate

SAMPLES = [
    Sample(input="What is the remainder when $7^{2024}$ is divided by 1000?", target="401"),
    Sample(input="What is the sum of all positive divisors of 360?", target="1170"),
]


def main(url: str, folder: str) -> None:
    """Run the task and print its accuracy, and the tokens that inspect counted."""
    model = get_model("openai-api/quorum/quorum", base_url=f"{url}/v1", api_key="none")
    task = Task(dataset=SAMPLES, solver=generate(), scorer=match(numeric=True))
    (log,) = eval(
        task,
        model=model,
        seed=7,
        temperature=0.5,
        max_tokens=4_000,
        log_dir=folder,
        display="none",
        max_connections=1,
    )
    assert log.status == "success", log.error
    assert log.results is not None
    usage = next(iter(log.stats.model_usage.values()))
    accuracy = log.results.scores[0].metrics["accuracy"].value
    sys.stdout.write(json.dumps({"accuracy": accuracy, "output_tokens": usage.output_tokens}))


if __name__ == "__main__":
    main(*sys.argv[1:])
