"""How files of cases are found and run for a command, with the prices of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.adapters.files.policies import MAX_FILE_BYTES
from gateway.adapters.files.text import read_text_file
from gateway.compose.prices import open_prices
from gateway.control.policy_cases import CaseResult, run_cases
from gateway.control.policy_trial import TrialRules
from gateway.documents.marked_yaml import DocumentError, Problem
from gateway.policy.cases import parse_cases
from gateway.policy.parse import parse_policies
from gateway.settings import Settings

_SUFFIX = ".cases.yaml"


def run_case_files(paths: Sequence[Path], settings: Settings) -> tuple[CaseResult, ...]:
    """What became of every case of the files, and of all files of cases in the folders.

    Raises: DocumentError if a file of cases, or a policy it names, is not in order.
    """
    prices, catalogue = open_prices(settings.prices, settings.price_overrides, settings.models)
    results: list[CaseResult] = []
    problems: list[Problem] = []
    for path in _case_files(paths):
        try:
            file = parse_cases(read_text_file(path, max_bytes=MAX_FILE_BYTES), str(path))
            named = [path.parent / name for name in file.document.policies]
            rules = TrialRules(
                policies=parse_policies(
                    {str(one): read_text_file(one, max_bytes=MAX_FILE_BYTES) for one in named}
                ),
                catalogue=catalogue,
                prices=prices,
                home_accounts=frozenset(settings.home_accounts),
            )
        except DocumentError as error:
            problems += error.problems
        else:
            results += run_cases(file, rules)
    if problems:
        raise DocumentError(problems)
    return tuple(results)


def _case_files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob(f"*{_SUFFIX}")) if path.is_dir() else [path]
    return found
