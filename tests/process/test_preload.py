"""What the workers share of a preloaded application, and what they did before they serve."""

from __future__ import annotations

import signal

import pytest

APP = """
import gc, weakref

class Node:
    pass

node = Node()
node.itself = node
KIND = %r

def app(environ, start_response):
    nodes = sum(type(o).__name__ == 'Node' for o in gc.get_objects())
    frozen = gc.get_freeze_count() > 1000
    return [f'{KIND} frozen={frozen} tracked={nodes}'.encode()]
"""


@pytest.fixture
def shared(master, tmp_path):
    (tmp_path / "shared.py").write_text(APP % "one")

    def start(*args, **options):
        return master("--preload", *args, app="shared:app", **options)

    return start


def test_preload_freeze_keeps_the_collector_off_what_is_shared(shared):
    assert shared("--preload-freeze").get() == "one frozen=True tracked=0"


def test_without_preload_freeze_nothing_is_frozen(shared):
    assert shared().get() == "one frozen=False tracked=1"


def test_a_reload_freezes_the_new_application_and_frees_the_old(shared, tmp_path):
    """The collector does not look at what is frozen: the hook asks it when nothing is."""
    count = (
        "def worker_exit(server, worker):\n    pass\n"
        "def pre_fork(server, worker):\n"
        "    import gc\n"
        "    gc.unfreeze()\n"
        "    gc.collect()\n"
        "    nodes = sum(type(o).__name__ == 'Node' for o in gc.get_objects())\n"
        "    gc.freeze()\n"
        "    server.log.info('%s nodes', nodes)\n"
    )
    one = shared("--preload-freeze", config=count)
    (tmp_path / "shared.py").write_text(APP % "two")
    (old,) = one.wait_workers(1)
    one.kill(signal.SIGHUP)
    one.wait_gone([old])
    assert one.get() == "two frozen=True tracked=0"
    one.kill(signal.SIGTTIN)
    one.wait_for_log(r"Handling signal: ttin.* 1 nodes")
    assert one.stop() == 0


def test_freezing_what_is_not_shared_is_told(master):
    one = master("--preload-freeze")
    one.wait_for_log(r"preload_freeze: without preload_app the workers share nothing")
