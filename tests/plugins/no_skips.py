"""Fails a run in which a test was skipped: what did not run has not passed."""

from __future__ import annotations

import pytest


class _Skips:
    """Remembers what was skipped, in collection or in a run (also in xdist's workers)."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.seen and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.seen:
            terminalreporter.section("skipped tests fail this run")
            for where, why in sorted(self.seen.items()):
                terminalreporter.line(f"{where}: {why}")

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
            self.seen[report.nodeid] = str(reason)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Skips(), "no-skips")
