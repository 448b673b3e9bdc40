"""A model's tokens: encoding, decoding and control tokens, local and synchronous."""

from server.vocabulary.errors import UnknownControlToken, UnknownToken, VocabularyError
from server.vocabulary.gguf_metadata import read_metadata
from server.vocabulary.vocabulary import TextDecoder, Vocabulary

__all__ = [
    "TextDecoder",
    "UnknownControlToken",
    "UnknownToken",
    "Vocabulary",
    "VocabularyError",
    "read_metadata",
]
