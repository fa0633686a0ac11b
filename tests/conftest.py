"""Fixtures of every test: real servers once per run, and a database and a virtual host of its own per test."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
import structlog

from service.dev.children import StartError
from service.settings import Settings
from service.wiring import open_pool
from tests.support.databases import Databases
from tests.support.processes import Processes
from tests.support.servers import Servers, open_servers
from tests.support.smtp_sink import SmtpSink, open_smtp_sink
from tests.support.vhosts import fresh_vhost

pytest_plugins = ["tests.support.sandbox", "tests.support.api", "tests.support.localstripe"]

_SERVERS = pytest.StashKey[str]()
_OPEN_SERVERS = pytest.StashKey[ExitStack]()
# Variables that are meant for the tests and not for what they test.
_FOR_TESTS = ("WAYBILL_TEST_", "WAYBILL_FAULTS_")


def pytest_configure() -> None:
    # A cancelled job is told by SIGTERM; its servers must end like those of a run that Ctrl-C ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A developer's own settings must not decide what the tests see.
    for name in [name for name in os.environ if name.startswith("WAYBILL_") and not name.startswith(_FOR_TESTS)]:
        del os.environ[name]
    # Without configuration a logged error is drawn with all local variables, thousands of lines, for seconds in which
    # a test's event loop stands still.
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.TimeStamper(),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    # With several test processes (-n), the one that directs them opens the servers for all, and they find the
    # addresses in the environment.
    config = session.config
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        config.stash[_OPEN_SERVERS] = ExitStack()
        try:
            opened = config.stash[_OPEN_SERVERS].enter_context(open_servers())
        except StartError as error:
            pytest.exit(f"no servers to test against: {error}", returncode=3)
        config.stash[_SERVERS] = opened.origin
        os.environ.update(opened.environment())


def pytest_unconfigure(config: pytest.Config) -> None:
    if _OPEN_SERVERS in config.stash:
        config.stash[_OPEN_SERVERS].close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED  # what CI skips, nobody ever runs


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _SERVERS in config.stash:
        terminalreporter.write_line(f"servers: {config.stash[_SERVERS]}")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """PostgreSQL and RabbitMQ for this run. The run fails with the reason where they cannot be had."""
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(open_servers())
        except StartError as error:
            pytest.exit(f"no servers to test against: {error}", returncode=3)
        request.config.stash[_SERVERS] = opened.origin
        yield opened


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    """Makes databases on the run's server, from a migrated template or empty."""
    opened = Databases(servers.database_admin_url)
    try:
        opened.make_template()
        yield opened
    finally:
        opened.close()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """URL of a migrated database of the test's own."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def amqp_url(servers: Servers) -> Iterator[str]:
    """URL of a virtual host of the test's own."""
    with fresh_vhost(servers.amqp_management_url, servers.amqp_url) as url:
        yield url


@pytest.fixture
def database_settings(database_url: str) -> Settings:
    """Settings that point at the test's own database. Without a virtual host, which takes longer to make than both."""
    return Settings(database_url=database_url)


@pytest.fixture
def settings(database_settings: Settings, amqp_url: str) -> Settings:
    """Settings that point at the test's own database and virtual host; vary them with `model_copy(update=…)`."""
    return Settings(database_url=database_settings.database_url, amqp_url=amqp_url)


@pytest.fixture
async def pool(database_settings: Settings) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Connection pool on the test's own database."""
    async with open_pool(database_settings, name="tests") as opened:
        yield opened


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpSink]:
    """A real SMTP server that keeps the mails it accepts."""
    async with open_smtp_sink() as sink:
        yield sink


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real `waybill …` processes; none outlives the test."""
    started = Processes(tmp_path)
    try:
        yield started
    finally:
        started.close()
