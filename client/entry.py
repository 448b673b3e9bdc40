"""Where the `quorum` script begins: importing the command takes most of its start."""


def main() -> int:
    """Run `client.main`; Ctrl-C while it is being imported ends without a traceback too."""
    try:
        from client.main import main as command  # noqa: PLC0415 - inside what catches Ctrl-C

        return command()
    except KeyboardInterrupt:
        return 130
