"""How policy files are read for a command: those it was told of, and what is to say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.files.policies import MAX_FILE_BYTES, read_policy_folder
from gateway.adapters.files.text import read_text_file
from gateway.compose.prices import open_prices
from gateway.policy.findings import Finding
from gateway.policy.lint import lint_policies
from gateway.policy.parse import PolicySet, parse_policies
from gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCheck:
    """Policy files that are in order, and what looks like a mistake in them."""

    policies: PolicySet
    files: int
    findings: tuple[Finding, ...]

    @property
    def orgs(self) -> tuple[str, ...]:
        """For whom they speak; `*`: for everybody."""
        everyone = ("*",) if self.policies.everyone is not None else ()
        return (*everyone, *sorted(self.policies.orgs))


def read_policies(paths: Sequence[Path]) -> Mapping[str, str]:
    """The text of the files, and of all policy files in the folders, by path.

    Raises: DocumentError if one cannot be read.
    """
    files: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            files |= read_policy_folder(path)
        else:
            files[str(path)] = read_text_file(path, max_bytes=MAX_FILE_BYTES)
    return files


def check_policies(paths: Sequence[Path], settings: Settings) -> PolicyCheck:
    """What is to say about the files. Raises: DocumentError with all that is wrong."""
    files = read_policies(paths)
    policies = parse_policies(files)
    prices, catalogue = open_prices(settings.prices, settings.price_overrides, settings.models)
    findings = lint_policies(policies, catalogue, prices)
    return PolicyCheck(policies=policies, files=len(files), findings=tuple(findings))
