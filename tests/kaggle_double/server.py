"""The contest's inference server, as notebooks use it."""

import os
from collections.abc import Callable
from typing import Any

from tests.kaggle_double.gateway import Gateway
from tests.kaggle_double.relay import Client, define_server


class AIMO3InferenceServer:
    """Serves named functions to the gateway."""

    def __init__(self, *endpoints: Callable[..., Any]) -> None:
        self.server, self.port = define_server(*endpoints)

    def serve(self) -> None:
        """Listen; in a rerun this blocks until the process is ended."""
        self.server.start()
        if os.getenv("KAGGLE_IS_COMPETITION_RERUN") is not None:
            self.server.wait_for_termination()

    def run_local_gateway(self, data_paths: tuple[str, ...]) -> None:
        """Run a gateway in this process, on files of one's own."""
        self.server.start()
        client = Client(ports=[self.port])
        try:
            Gateway(data_paths, client).run()
        finally:
            client.close()
            self.server.stop(0)
