"""How the policy commands read the files they are told of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from gateway.cli.output import fail
from gateway.compose.policies import read_policies
from gateway.documents.marked_yaml import DocumentError
from gateway.policy.parse import PolicySet, parse_policies


def policies_or_exit(paths: Sequence[Path]) -> PolicySet:
    """The rules of these files and folders. Ends with status 1 and all that is wrong with them."""
    try:
        return parse_policies(read_policies(paths))
    except DocumentError as error:
        typer.echo(str(error), err=True)
        names = ", ".join(str(path) for path in paths)
        fail(f"the policies cannot be read: {names}")
