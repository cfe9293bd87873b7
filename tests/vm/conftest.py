# SPDX-License-Identifier: MIT
"""Fixtures of the VM tests, and what a failed one reports."""

import re

import pytest

from lab import Session

KERNELS = ("6.12", "7.2")


@pytest.fixture(params=KERNELS)
def kernel(request):
    """A kernel series: the test runs once on each."""
    return request.param


@pytest.fixture
def lab(request):
    """The machines of one test; everything started in it ends with the test."""
    name = f"{request.node.path.stem}-{request.node.name}"
    session = Session(re.sub(r"[^\w.-]+", "-", name).strip("-"))
    request.node.lab_session = session
    try:
        yield session
    finally:
        session.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    session = getattr(item, "lab_session", None)
    report = outcome.get_result()
    if report.failed and session is not None and call.when == "call":
        report.sections.append(("machines", session.describe()))
