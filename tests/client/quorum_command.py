"""`quorum` as a child process, with the client's command alone; needs no installation."""

import sys
from importlib.metadata import EntryPoint

from client.main import main

SOLVE = EntryPoint("solve", "client.commands.solve:solve", "quorum.commands")

if __name__ == "__main__":
    sys.exit(main(entries=[SOLVE]))
