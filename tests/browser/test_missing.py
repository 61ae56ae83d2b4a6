"""What is said where there is no browser, or nothing to drive it with; part of every run."""

import importlib.util
import shutil

import pytest

from tests.conftest import check_browser


def test_a_browser_that_is_missing_is_named_and_what_installs_it():
    with pytest.raises(pytest.UsageError, match=r"no program no-such-browser: .*apt-get install chromium"):
        check_browser("no-such-browser")


def test_so_is_playwright(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: program)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(pytest.UsageError, match=r"pip install -r tests/browser/requirements.txt"):
        check_browser("chromium")
