# SPDX-License-Identifier: MIT
"""Set-up of every test: a fresh lab, its own time limit, and a final check of what the daemons left behind."""

import signal
import sys

import pytest

sys.dont_write_bytecode = True
from eps import Network
from lab import FIGURES
from nat_lab import NatLab

LIMIT_SECONDS = 120


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): of this test, instead of the usual ones")
    # An end from outside is an interrupt: fixtures clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    def too_long(*_):
        raise TimeoutError("the test took too long")

    marker = item.get_closest_marker("limit")
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(marker.args[0] if marker else LIMIT_SECONDS)
    yield
    signal.alarm(0)


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(FIGURES))


@pytest.fixture
def network():
    """An empty network; see eps.py."""
    with Network() as network:
        yield network
        network.check_what_was_left()


@pytest.fixture
def lab():
    """An empty internet; see nat_lab.py."""
    with NatLab() as lab:
        yield lab
        lab.check_what_was_left()
