"""What a policy says that is allowed, but hardly meant: where, how grave, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.documents.marked_yaml import Problem


class Severity(StrEnum):
    """How grave a finding is. WARNING: a rule does not do what it seems to. INFO: good to know."""

    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. The problem's text ends with what to do."""

    severity: Severity
    problem: Problem

    def __str__(self) -> str:
        mark = self.problem.mark
        where = (
            self.problem.file if mark is None else f"{self.problem.file}:{mark.line}:{mark.column}"
        )
        return f"{where}: {self.severity.value}: {self.problem.what}"


def warning(problem: Problem) -> Finding:
    """A rule that does not do what it seems to."""
    return Finding(Severity.WARNING, problem)


def info(problem: Problem) -> Finding:
    """Something that is good to know."""
    return Finding(Severity.INFO, problem)
