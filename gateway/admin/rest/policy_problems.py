"""How the admin API says what is wrong with policy files."""

from __future__ import annotations

from http import HTTPStatus

from gateway.admin.problem import FieldProblem, ProblemError
from gateway.documents.marked_yaml import DocumentError, Problem

_MOST = 200


def broken_files(error: DocumentError) -> ProblemError:
    """The files cannot be put in force (422): each problem with its file, line and column."""
    first, count = error.problems[0], len(error.problems)
    more = f" (and {count - 1} more)" if count > 1 else ""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "broken_rules",
        f"{first}{more}",
        errors=[_field(problem) for problem in error.problems[:_MOST]],
    )


def _field(problem: Problem) -> FieldProblem:
    return FieldProblem(pointer="#/files", expected=str(problem))
