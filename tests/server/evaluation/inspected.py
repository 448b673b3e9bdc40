"""Runs the task under inspect-ai, for tests: prints each scorer's verdict on each problem as JSON.

Arguments: a folder for logs, and then pairs of a file of problems with where its answers come from:
a JSON list of recorded outputs, or the URL of a server.
"""

import json
import sys
from pathlib import Path

from inspect_ai import eval as inspect_eval
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from server.evaluation.inspect_task import problems

#: As large as recorded outputs have it: nothing was sampled.
NO_USAGE = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)


class Recorded(ModelAPI):
    """Says the recorded outputs in turn. inspect-ai's own mock counts tokens over the network."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        texts: list[str] | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, config=config or GenerateConfig())
        self._texts = iter(texts or [])

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - the interface's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        del input, tools, tool_choice, config
        output = ModelOutput.from_content(self.model_name, next(self._texts))
        output.usage = NO_USAGE
        return output


@modelapi(name="recorded")
def recorded() -> type[ModelAPI]:
    return Recorded


def verdicts(data: str, source: str, logs: str) -> dict[str, dict[str, bool]]:
    if source.startswith("http"):
        model: Model = get_model(
            "openai-api/quorum/quorum", base_url=f"{source}/v1", api_key="none"
        )
    else:
        model = get_model("recorded/outputs", texts=json.loads(Path(source).read_text()))
    task = problems(data, attempts=2, time_limit_s=20.0)
    (log,) = inspect_eval(task, model=model, log_dir=logs, display="none", max_samples=1)
    assert log.status == "success", log.error
    return {
        str(sample.id): {name: score.value == "C" for name, score in (sample.scores or {}).items()}
        for sample in log.samples or []
    }


def main(logs: str, *pairs: str) -> None:
    found = [
        verdicts(data, source, logs) for data, source in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
