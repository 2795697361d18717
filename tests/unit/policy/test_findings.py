from __future__ import annotations

from gateway.documents.marked_yaml import Mark, Problem
from gateway.policy.findings import info, warning


def test_a_finding_says_where_how_grave_and_what():
    assert str(warning(Problem("a.yaml", Mark(3, 7), "dear"))) == "a.yaml:3:7: warning: dear"
    assert str(info(Problem("api:o1", None, "dear"))) == "api:o1: info: dear"
