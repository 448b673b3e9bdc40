"""Settings of the language model."""

import shlex
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from server.sections.section import Section


class EngineSettings(Section):
    """The language model."""

    kind: str = Field(
        "llamacpp",
        pattern="^(llamacpp|sglang|openai|rehearsal|none)$",
        description="llamacpp|sglang|openai|rehearsal|none; none serves the sandbox alone",
    )
    model: str = Field(
        "qwen2.5-coder-1.5b-instruct-q4_k_m",
        description="a known name (`quorum weights list`), or the path of a GGUF file or, for other"
        " kinds than llamacpp, of a model folder; rehearsals have harmony (the default's too) and"
        " qwen of their own",
    )
    context_tokens: int = Field(
        8192, ge=512, le=1_048_576, description="tokens of context for each attempt"
    )
    slots: int = Field(
        0, ge=0, le=256, description="attempts decoded at once; 0 means as many as solve.attempts"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of the embedded engine; 0 means all cores"
    )
    gpu_layers: int = Field(-1, ge=-1, description="layers on the GPU; -1 means all that fit")
    preload: bool = Field(
        True, description="bring the model's files into the page cache while the engine starts"
    )
    start_timeout_s: float = Field(180.0, gt=0, description="seconds until the engine must answer")
    stall_timeout_s: float = Field(
        60.0, gt=0, description="seconds without a token after which a stream counts as stalled"
    )
    max_restarts: int = Field(
        5, ge=0, le=1000, description="restarts without a minute of health between, then give up"
    )
    urls: str = Field(
        "",
        description="addresses of running servers, separated by commas (sglang, openai); with"
        " sglang and none, one is started",
    )
    api_key: SecretStr = Field(SecretStr(""), description="key of the servers at engine.urls")
    api_key_file: str = Field("", description="file whose first line is that key")
    router: str = Field(
        "auto",
        pattern="^(auto|none)$",
        description="several engine.urls of sglang are spread by sglang-router where engine.python"
        " has it (auto), or by Quorum itself (none)",
    )
    python: str = Field("auto", description="interpreter that has sglang; auto is Quorum's own")
    quantisation: str = Field("auto", description="of the weights; auto leaves it to sglang")
    memory_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of GPU memory for weights and contexts; 0 is sglang's"
    )
    kv_dtype: str = Field("auto", description="data type of contexts; auto leaves it to sglang")
    attention_backend: str = Field("auto", description="kernels of sglang; auto leaves it to it")
    tensor_parallel: int = Field(1, ge=1, le=64, description="GPUs that share one copy of sglang's")
    deterministic: bool = Field(
        False, description="sglang keeps to each request's seed, which costs speed"
    )
    arguments: str = Field(
        "", description="further arguments for sglang's server, quoted as in a shell"
    )
    log: str = Field(
        "auto", description="file of sglang's output; auto is engine.log in the user's state folder"
    )

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, urls: str) -> str:
        for url in filter(None, map(str.strip, urls.split(","))):
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url} must begin with http:// or https://")
        return urls

    @field_validator("arguments")
    @classmethod
    def _can_be_split(cls, arguments: str) -> str:
        try:
            shlex.split(arguments)
        except ValueError as error:
            raise ValueError(f"must be quoted as in a shell ({error})") from None
        return arguments

    @model_validator(mode="after")
    def _kind_and_urls_agree(self) -> Self:
        if self.kind == "openai" and not self.url_list:
            raise ValueError("engine.kind openai needs the address of a server: set engine.urls")
        if self.kind in ("llamacpp", "rehearsal") and self.url_list:
            raise ValueError("engine.urls is for engine.kind sglang or openai: set engine.kind")
        return self

    @property
    def url_list(self) -> tuple[str, ...]:
        """The addresses in `urls`."""
        return tuple(filter(None, (url.strip().rstrip("/") for url in self.urls.split(","))))
