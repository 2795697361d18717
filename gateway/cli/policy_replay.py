"""`bedrock-gateway policy replay`: what another policy would have decided, and saved."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import (
    AsJson,
    Config,
    fail,
    print_facts,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.cli.policy_files import policies_or_exit
from gateway.compose.policy_replay import replay_policies
from gateway.compose.publishing import rules_in_force
from gateway.control.policy_replay import Replayed
from gateway.control.replay_question import (
    ReplayAnswer,
    ReplayQuestion,
    replay_document,
    shown_instant,
)
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.money import NanoUsd, format_usd

_SPAN = re.compile(r"([1-9]\d{0,3})([mhdw])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SHOWN = 20


def run(
    candidate: Annotated[
        Path | None,
        typer.Argument(help="Policy file or folder; if absent, what is in force checks itself."),
    ] = None,
    *,
    since: Annotated[str, typer.Option(help="From when: 24h, 7d, or 2026-11-01.")] = "7d",
    until: Annotated[str | None, typer.Option(help="Until when; now if absent.")] = None,
    history: Annotated[
        str, typer.Option(help="How long before that spend counts, undecided: 31d.")
    ] = "31d",
    org: Annotated[str | None, typer.Option(help="Only calls of this org.")] = None,
    records: Annotated[
        Path | None, typer.Option(help="Records from a file, a JSON object a line.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Decide recorded calls and refusals again: who would be refused, what would be saved.

    Without a candidate, the policy in force decides the calls it decided: exit 1 if one differs.
    """
    settings = settings_or_exit(config)
    now = datetime.now(UTC)
    begin, end = _instant(since, now), _instant(until, now) if until else now
    live = candidate is None
    policies = (
        run_or_exit(rules_in_force(settings))
        if candidate is None
        else policies_or_exit([candidate])
    )
    question = ReplayQuestion(
        policies=policies,
        since=begin,
        until=end,
        history=_instant(history, begin),
        org=org,
        decided_by=policies.version if live else None,
    )
    try:
        answer = run_or_exit(replay_policies(settings, question, records))
    except DocumentError as error:
        typer.echo(str(error), err=True)
        fail("the records cannot be read")
    if as_json:
        print_json(replay_document(answer))
    else:
        _print(answer, live=live)
    if live and not answer.result.is_same:
        raise typer.Exit(1)


def _print(answer: ReplayAnswer, *, live: bool) -> None:
    result = answer.result
    print_facts(
        {
            "calls decided again": result.judged,
            "only counted as spent": result.counted,
            "could not be read": len(answer.unreadable),
            "admitted then": result.admitted_before,
            "admitted now": result.admitted_now,
            "spent": _usd(result.spent),
            "would be saved": _usd(result.saved),
            "would be added (expected)": _usd(result.added),
        }
    )
    _print_changes(result)
    if live and result.is_same:
        typer.echo("Every recorded decision is reproduced.")


def _print_changes(result: Replayed) -> None:
    if result.newly_refused:
        print_rows(
            ("newly refused for", "limit", "calls"),
            [(reason, limit, n) for (reason, limit), n in result.newly_refused.most_common()],
        )
        print_rows(("scope", "newly refused"), result.by_scope.most_common(_SHOWN))
    if result.newly_admitted:
        print_rows(("no longer refused for", "calls"), result.newly_admitted.most_common())
    if result.changed:
        print_rows(
            ("request", "at", "scope", "then", "now", "why"),
            [
                (
                    one.request_id,
                    shown_instant(one.at_ms),
                    one.scope,
                    one.before.value if one.before else "admitted",
                    one.now.value if one.now else "admitted",
                    one.detail,
                )
                for one in result.changed[:_SHOWN]
            ],
        )


def _instant(text: str, before: datetime) -> datetime:
    span = _SPAN.fullmatch(text)
    if span is not None:
        return before - int(span[1]) * _UNITS[span[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"expected 24h, 7d, or an instant, got {text!r}") from exc
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _usd(nano: int) -> str:
    return f"{format_usd(NanoUsd(nano))} USD"
