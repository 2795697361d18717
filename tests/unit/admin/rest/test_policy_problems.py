from __future__ import annotations

from gateway.admin.rest.policy_problems import broken_files
from gateway.documents.marked_yaml import DocumentError, Mark, Problem


def test_problems_are_named_each_and_bounded():
    found = [Problem("a.yaml", Mark(line, 2), "expected another") for line in range(1, 301)]
    problem = broken_files(DocumentError(found))
    assert (int(problem.status), problem.kind) == (422, "broken_rules")
    assert "(and 299 more)" in problem.detail
    assert len(problem.errors) == 200
    assert "a.yaml:1:2" in problem.errors[0].expected
