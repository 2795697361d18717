"""The command line's way in: `python -m gateway …` and `bedrock-gateway …`."""

from __future__ import annotations

from gateway.cli.main import app


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
