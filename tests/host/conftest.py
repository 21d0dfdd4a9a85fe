"""Boots for the tests of this folder, made ahead of the tests that look at them.

A test marked `@pytest.mark.boot(ARGUMENT, ...)` gets, as its fixture `booted`, what `scripts/pinfold ARGUMENT ...` came
to. The boots of all selected tests start when the session does, PARALLEL_BOOTS at a time, in the order of the tests;
tests with the same arguments share one. A boot's in-kernel results join build/junit.xml.
"""

import concurrent.futures
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PINFOLD = os.path.join(ROOT, "scripts", "pinfold")
BOOTS = os.path.join(ROOT, "build", "boots")
if sys.pycache_prefix is None:
    sys.dont_write_bytecode = True  # pytest was started by hand: nothing is written outside build/

PARALLEL_BOOTS = 2  # each keeps one host core busy

sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))

_futures = {}


@dataclass
class Booted:
    status: int
    stdout: str
    stderr: str
    log: str
    results: dict  # what --json holds

    def lines(self, pattern):
        """The log's lines that match."""
        return [line for line in self.log.splitlines() if re.search(pattern, line)]

    def case(self, name):
        """The status of the KTAP result of that name."""
        return next((test["status"] for test in self.results["tests"] if test["name"] == name), None)


def pytest_configure(config):
    config.addinivalue_line("markers", "boot(*arguments): run scripts/pinfold with them, for the fixture `booted`")


def pytest_collection_finish(session):
    if session.config.option.collectonly:
        return
    pool = concurrent.futures.ThreadPoolExecutor(PARALLEL_BOOTS)
    for item in session.items:
        marker = item.get_closest_marker("boot")
        if marker and marker.args not in _futures:
            _futures[marker.args] = pool.submit(_boot, marker.args, len(_futures))
    pool.shutdown(wait=False)


def pytest_sessionfinish():
    for future in _futures.values():
        future.cancel()


def _boot(arguments, number):
    os.makedirs(BOOTS, exist_ok=True)
    base = os.path.join(BOOTS, f"{number:03}-{os.getpid()}")
    command = [PINFOLD, arguments[0], "--json", base + ".json", "--junit", base + ".xml", *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    if not os.path.exists(base + ".json"):
        return Booted(done.returncode, done.stdout, done.stderr, "", {"tests": []})
    with open(base + ".json") as file:
        results = json.load(file)
    with open(results["log"], errors="replace", newline="\n") as file:
        log = file.read()
    if done.returncode:
        # A run that is meant to fail is judged by its test: its own cases stay out of the sum.
        os.replace(base + ".xml", base + ".failed")
    return Booted(done.returncode, done.stdout, done.stderr, log, results)


@pytest.fixture
def booted(request):
    return _futures[request.node.get_closest_marker("boot").args].result()
