"""The wire schema, the HTTP client and the `quorum` command."""

import logging

# whoever uses the client as a library decides what is logged, and where
logging.getLogger(__name__).addHandler(logging.NullHandler())
