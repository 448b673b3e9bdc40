"""Text as tokens and back, over real HTTP."""

from typing import Any

import httpx
import pytest

from client.schema import TokenizedText
from tests.server.api.gateway import Gateway


def told(http: httpx.Client, path: str, **body: object) -> TokenizedText:
    reply = http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return TokenizedText.model_validate_json(reply.content)


def test_text_comes_back_and_makes_no_control_token(http: httpx.Client) -> None:
    text = "Näive 数学 😀 <|im_end|>\n\n"
    written = told(http, "/v1/tokenize", text=text)
    assert "".join(written.texts) == text
    assert len(written.texts) == len(written.token_ids)
    assert told(http, "/v1/detokenize", token_ids=written.token_ids) == written
    # cut inside of a character, what is left of it is told
    cut = told(http, "/v1/tokenize", text="😀")
    assert "".join(told(http, "/v1/detokenize", token_ids=cut.token_ids[:1]).texts) == "\ufffd"
    assert told(http, "/v1/detokenize", token_ids=[]).token_ids == []


def test_an_opening_is_what_a_solve_begins_with(http: httpx.Client, gateway: Gateway) -> None:
    opening = told(http, "/v1/tokenize", system="Judge.", user="Which? <|im_end|>")
    text = "".join(opening.texts)
    assert text.index("Judge.") < text.index("Which? <|im_end|>")
    assert text.startswith("<|im_start|>system")
    plain = told(http, "/v1/tokenize", text=text)
    assert len(plain.token_ids) > len(opening.token_ids)  # its control tokens are tokens
    http.post("/v1/completions", json={"prompt": opening.token_ids, "max_tokens": 1})
    assert list(gateway.engine.requests[-1].prompt) == opening.token_ids


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/tokenize", {}, "text or user"),
        ("/v1/tokenize", {"text": "a", "user": "b"}, "text or user"),
        ("/v1/tokenize", {"text": "a", "system": "b"}, "system goes with user"),
        ("/v1/detokenize", {"token_ids": [10**8]}, "token id 100000000"),
        ("/v1/detokenize", {"token_ids": [-1]}, "token_ids"),
        ("/v1/detokenize", {"token_ids": "abc"}, "token_ids"),
    ],
)
def test_what_cannot_be_read_is_refused(
    http: httpx.Client, path: str, body: dict[str, Any], field: str
) -> None:
    reply = http.post(path, json=body)
    assert reply.status_code == 422
    assert field in reply.text
