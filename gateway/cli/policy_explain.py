"""`bedrock-gateway policy explain`: why would this call be allowed or refused?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from gateway.cli.output import AsJson, Config, fail, print_json, print_rows, settings_or_exit
from gateway.cli.policy_files import policies_or_exit
from gateway.compose.prices import open_prices
from gateway.control.policy_explain import Explanation, explain
from gateway.control.policy_trial import Trial, TrialRules, try_call, unbound_budgets
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import GatewayError
from gateway.domain.money import format_usd
from gateway.policy.cases import Given, When
from gateway.settings import Settings


def run(
    *,
    org: Annotated[str, typer.Option(help="The org of the caller's key.")],
    model: Annotated[str, typer.Option(help="Model id, inference profile or ARN.")],
    team: Annotated[str | None, typer.Option(help="The team of the key.")] = None,
    user: Annotated[str | None, typer.Option(help="The user, or for whom the key acts.")] = None,
    application: Annotated[str | None, typer.Option(help="The application.")] = None,
    feature: Annotated[str | None, typer.Option(help="The feature the call names.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="The agent type it names.")] = None,
    operation: Annotated[str, typer.Option(help="Bedrock operation.")] = "converse",
    input_tokens: Annotated[int, typer.Option(help="How large its input is.")] = 1000,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer it asks for.")] = None,
    region: Annotated[str, typer.Option(help="The region it is signed for.")] = "us-east-1",
    at: Annotated[str | None, typer.Option(help="When, with its zone; now if absent.")] = None,
    spent: Annotated[
        list[str] | None,
        typer.Option(help="What is spent of a budget: month=4999.50 (repeat)."),
    ] = None,
    calls: Annotated[int, typer.Option(help="How many such calls were just made.")] = 0,
    running: Annotated[int, typer.Option(help="How many such calls are running.")] = 0,
    policies: Annotated[
        list[Path] | None, typer.Option(help="Policy files or folders; the settings' if absent.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Say why a call would be allowed or refused, and which line decides. Exit 1: refused."""
    settings = settings_or_exit(config)
    given = {
        "org": org,
        "team": team,
        "user": user,
        "application": application,
        "feature": feature,
        "agent_type": agent_type,
        "spent_usd": _spent(spent or []),
        "calls": calls,
        "running": running,
    }
    when = {
        "model": model,
        "operation": operation,
        "at": at or datetime.now(UTC).isoformat(),
        "input_tokens": input_tokens,
        "max_tokens": max_tokens,
        "region": region,
    }
    trial = _trial(given, when)
    explanation = _explained(trial, policies or [settings.policies], settings)
    if as_json:
        document = asdict(explanation)
        document["allowed"] = explanation.reason is None
        print_json(document)
    else:
        _print(explanation)
    if explanation.reason is not None:
        raise typer.Exit(1)


def _trial(given: Mapping[str, object], when: Mapping[str, object]) -> Trial:
    stated = {name: value for name, value in given.items() if value is not None}
    try:
        return Trial(
            given=Given.model_validate(stated),
            when=When.model_validate({n: v for n, v in when.items() if v is not None}),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise typer.BadParameter(f"--{where}: {first['msg']}") from None


def _explained(trial: Trial, paths: list[Path], settings: Settings) -> Explanation:
    try:
        prices, catalogue = open_prices(settings.prices, settings.price_overrides, settings.models)
        rules = TrialRules(
            policies=policies_or_exit(paths),
            catalogue=catalogue,
            prices=prices,
            home_accounts=frozenset(settings.home_accounts),
        )
        outcome = try_call(trial, rules)
    except DocumentError as error:
        typer.echo(str(error), err=True)
        fail("the policies cannot be read")
    except GatewayError as error:
        fail(error.detail)
    if unknown := unbound_budgets(trial, outcome):
        fail(unknown)
    return explain(outcome)


def _spent(texts: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for text in texts:
        name, equals, amount = text.rpartition("=")
        try:
            found[name] = Decimal(amount)
        except ArithmeticError:
            name = ""
        if not equals or not name:
            raise typer.BadParameter(f"--spent: expected NAME=USD (month=4999.50), got {text!r}")
    return found


def _print(explanation: Explanation) -> None:
    verdict = "ALLOWED" if explanation.reason is None else f"REFUSED: {explanation.reason.value}"
    typer.echo(verdict)
    typer.echo(explanation.detail)
    if explanation.hold_nano_usd is not None:
        typer.echo(f"It would hold up to {format_usd(explanation.hold_nano_usd)} USD.")
    print_rows(
        ("", "rule", "where", "says"),
        [
            (">>" if step.decides else "", step.rule, step.source, step.says)
            for step in explanation.steps
        ],
    )
