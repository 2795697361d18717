"""All commands, each noun from its own file."""

from __future__ import annotations

import typer

from gateway.cli import (
    audit,
    budget,
    config,
    emergency,
    journal,
    key,
    policy,
    policy_diff,
    policy_explain,
    policy_replay,
    policy_test,
    prices,
    usage,
)
from gateway.cli.demo import demo
from gateway.cli.serve import serve

app = typer.Typer(
    name="bedrock-gateway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An enforcement gateway for Amazon Bedrock.",
)
app.command()(demo)
app.command()(serve)
app.add_typer(config.app, name="config")
app.add_typer(key.app, name="key")
policy.app.command("test")(policy_test.run)
policy.app.command("explain")(policy_explain.run)
policy.app.command("diff")(policy_diff.run)
policy.app.command("replay")(policy_replay.run)
app.add_typer(policy.app, name="policy")
app.add_typer(budget.app, name="budget")
app.add_typer(emergency.app, name="emergency")
app.add_typer(usage.app, name="usage")
app.add_typer(prices.app, name="prices")
app.add_typer(journal.app, name="journal")
app.add_typer(audit.app, name="audit")
