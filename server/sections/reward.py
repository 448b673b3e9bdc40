"""Settings of the process reward model."""

from pydantic import Field, SecretStr, field_validator

from server.sections.section import Section


class RewardSettings(Section):
    """A process reward model, for the selector `process_reward`."""

    url: str = Field(
        "none",
        description="address of a server that runs one (vLLM; SGLang for math-shepherd), or none",
    )
    model: str = Field("auto", description="what the server calls it; auto is the first it lists")
    format: str = Field(
        "auto",
        pattern="^(auto|qwen|shepherd)$",
        description="qwen (Qwen2.5-Math-PRM)|shepherd (math-shepherd); auto finds it by the name",
    )
    api_key: SecretStr = Field(SecretStr(""), description="key of that server")
    timeout_s: float = Field(
        30.0, gt=0, le=600, description="seconds that the steps of one solution may take"
    )
    at_once: int = Field(
        4, ge=1, le=256, description="requests to that server at once, each of one solution"
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if url != "none" and not url.startswith(("http://", "https://")):
            raise ValueError("must be none, or begin with http:// or https://")
        return url.rstrip("/")
