"""The module _core as CPython sees it, and the start of an engine that cannot be made."""

import gc
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gunicorn import _core
from gunicorn.config import Config
from gunicorn.http._bridge import Bridge
from gunicorn.master import events

#: Runs `import gunicorn._core` in an interpreter of its own, and prints the error.
IN_A_SUBINTERPRETER = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
code = (
    "try:\\n"
    "    import gunicorn._core\\n"
    "except ImportError as exc:\\n"
    "    print(f'ImportError: {exc}', flush=True)\\n"
)
failure = interpreters.run_string(interpreters.create(), code)
if failure is not None:
    print(failure)
"""


def worker(**attributes):
    """A worker as far as the engine reads it before it opens anything."""
    return SimpleNamespace(cfg=Config(), log=logging.getLogger("core"), wsgi=None, **attributes)


@pytest.mark.parametrize("name", ["failed", "make_request", "shared_key", "stuck", "note"])
def test_a_missing_method_of_the_bridge_is_reported_at_the_start(monkeypatch, name):
    monkeypatch.delattr(Bridge, name)
    with pytest.raises(RuntimeError, match=f"Bridge has no method {name}: .*install monoceros"):
        _core.Engine(worker())


def test_a_kind_of_application_that_there_is_not():
    with pytest.raises(ValueError, match="application_kind of the worker: 'rsgi' is none"):
        _core.Engine(worker(application_kind="rsgi"))


def test_a_subinterpreter_cannot_import_the_core(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SUBINTERPRETER],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,  # not the checkout, whose gunicorn/ has no extension
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ImportError: "), done.stdout
    assert "interpreter" in done.stdout


def test_the_collector_frees_an_engine_in_a_cycle():
    """The worker holds the engine, and the engine the worker and its methods."""
    one = worker()
    with pytest.raises(AttributeError):  # it has no sockets
        one.engine = _core.Engine.__new__(_core.Engine)
        one.engine.__init__(one)
    referents = gc.get_referents(one.engine)
    assert one in referents
    assert one.cfg in referents
    assert any(getattr(held, "__name__", "") == "failed" for held in referents)
    freed = []
    sentinel = type("Sentinel", (), {"__del__": lambda self: freed.append(True)})()
    one.sentinel = sentinel
    del one, referents, sentinel
    gc.collect()
    assert freed == [True]


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("timeout", 30, 30.0),
        ("timeout", 0.0001, 0.001),
        ("timeout", -1, 0.0),
        ("timeout", float("inf"), 10 * 365 * 86400.0),
        ("least", 4, 4),
        ("least", -3, 0),
        ("least", 2**40, 4096),
        ("max_rss", 2**40, 2**40),
        ("max_rss", 2**70, 2**63 - 1),
    ],
)
def test_settings_on_their_way_to_c_stay_in_range(name, given, kept):
    core = _core.ArbiterCore(SimpleNamespace(), events)
    setattr(core, name, given)
    assert getattr(core, name) == kept


def test_settings_that_c_does_not_take():
    core = _core.ArbiterCore(SimpleNamespace(), events)
    with pytest.raises(TypeError):
        core.timeout = "30"
    with pytest.raises(TypeError):
        del core.timeout
