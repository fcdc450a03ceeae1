"""What the workers share with the master without preload_app, and what they do not."""

from __future__ import annotations

import json
import signal

import pytest
from helpers.server import PACKAGED, WORKER_ARGS, server_has
from helpers.wire import wait_until

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

CONFIG = """
import gc, json, os, sys
from gunicorn.master import sharing

def note(name, **facts):
    with open(name + ".part", "w") as file:
        json.dump(facts, file)
    os.rename(name + ".part", name)

def pre_fork(server, worker):
    note("master-%d" % worker.age, modules=sorted(sys.modules))

def post_worker_init(worker):
    note("worker-%d" % worker.age, modules=sorted(sys.modules), frozen=gc.get_freeze_count(),
         shared=sharing.modules_for(type(worker)))
"""

# A package that takes the standard library's place comes after the fork.
PATCHING = ("gevent", "eventlet")


@pytest.fixture
def facts(master, tmp_path):
    """facts(*args): start; then facts.of("worker-1") is what the second hook has noted."""
    (tmp_path / "bare.py").write_text(APP)

    def start(*args, **options):
        # The hooks import json: what they need is loaded anyway, and is left out.
        return master(*args, app="bare:app", config=CONFIG, plain=False, **options)

    def of(name):
        path = tmp_path / name
        wait_until(path.exists, f"there is {name}")
        return json.loads(path.read_text())

    start.of = of
    return start


@pytest.mark.parametrize("worker", WORKER_ARGS)
def test_no_worker_imports_what_all_import(facts, worker):
    if worker in PACKAGED and not server_has(worker):
        pytest.skip(f"{worker} is not installed")
    facts(*WORKER_ARGS[worker], workers=2)
    for age in (1, 2):
        seen = facts.of(f"worker-{age}")
        private = set(seen["modules"]) - set(facts.of(f"master-{age}")["modules"])
        assert not private & set(seen["shared"])
        if worker not in PATCHING:
            assert private == {"bare"}


def test_a_single_worker_imports_for_itself(facts):
    one = facts(workers=1)
    facts.of("worker-1")
    assert "ssl" not in facts.of("master-1")["modules"]
    one.kill(signal.SIGTTIN)
    facts.of("worker-2")
    assert {"ssl", "email.message"} <= set(facts.of("master-2")["modules"])


def test_a_preloaded_application_has_imported_what_it_needs(facts):
    facts("--preload", workers=2)
    assert "ssl" not in facts.of("master-2")["modules"]


def test_greenlet_packages_find_nothing_imported_that_waits(facts):
    if not server_has("gevent"):
        pytest.skip("gevent is not installed")
    facts("-k", "gevent", workers=2)
    waiting = {"http.client", "subprocess", "concurrent.futures", "tempfile"}
    assert not waiting & set(facts.of("master-1")["modules"])


def test_collections_in_a_worker_leave_the_masters_objects_alone(facts):
    facts(workers=1)
    assert facts.of("worker-1")["frozen"] > 1000


CYCLES = """
import gc, sys, weakref

class Node:
    pass

node = Node()
node.itself = node
if not hasattr(sys, "nodes"):
    sys.nodes = []
sys.nodes.append(weakref.ref(node))

def pre_fork(server, worker):
    server.log.info("%d of %d are left", sum(r() is not None for r in sys.nodes), len(sys.nodes))
"""


def test_what_earlier_configurations_leave_behind_is_freed(master):
    one = master(config=CYCLES)
    for _ in range(4):
        (old,) = one.wait_workers(1)
        one.kill(signal.SIGHUP)
        one.wait_gone([old])
    # The one before is needed until the new worker has booted, and a worker's object has its own.
    one.wait_for_log(r"[123] of 5 are left")
