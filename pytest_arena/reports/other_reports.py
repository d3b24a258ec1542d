"""Reports of other plugins, where these are in use: each gets the metrics and films of jobs in its way."""

from __future__ import annotations

import pytest

from pytest_arena.options import is_worker
from pytest_arena.reports.reported_run import ReportedRun


def enable(config: pytest.Config, run: ReportedRun) -> None:
    """Add what the jobs of *run* have to the reports that this session writes; import nothing for others.

    pytest-html writes in the process that reports, Allure in each process that runs tests.

    Args:
        config: The session's, of any process.
        run: The session's run.
    """
    if config.getoption("htmlpath", None) and not is_worker(config):
        from pytest_arena.reports.pytest_html import HtmlExtras

        config.pluginmanager.register(HtmlExtras(config, run.directory.path), "arena-pytest-html")
    if config.pluginmanager.hasplugin("allure_listener"):
        from pytest_arena.reports.allure import AllureAttachments

        config.pluginmanager.register(AllureAttachments(config, run.directory.path), "arena-allure")
