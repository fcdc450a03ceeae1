"""Server hooks: their order, their arguments, and what an exception in one does."""

from __future__ import annotations

import os
import re
import signal

import pytest
from helpers.server import gunicorn_command, interpreter_of

ALL = """
def on_starting(server): server.log.info('> on_starting %s', not server.LISTENERS)
def when_ready(server): server.log.info('> when_ready %s', len(server.LISTENERS))
def on_reload(server): server.log.info('> on_reload')
def pre_fork(server, worker): server.log.info('> pre_fork %s', worker.age)
def post_fork(server, worker): server.log.info('> post_fork %s %s', worker.age, worker.pid)
def post_worker_init(worker): worker.log.info('> post_worker_init %s', callable(worker.wsgi))
def worker_int(worker): worker.log.info('> worker_int')
def worker_exit(server, worker): server.log.info('> worker_exit %s', worker.pid)
def child_exit(server, worker): server.log.info('> child_exit %s', worker.pid)
def nworkers_changed(server, new, old): server.log.info('> nworkers_changed %s %s', new, old)
def on_exit(server): server.log.info('> on_exit %s', len(server.WORKERS))
"""


def said(one) -> list[str]:
    return re.findall(r"> (.*)", one.log)


def test_the_order(master):
    one = master(config=ALL)
    (worker,) = one.wait_workers(1)
    one.get()
    assert one.stop() == 0
    assert said(one) == [
        "nworkers_changed 1 None",
        "on_starting True",
        "when_ready 1",
        "pre_fork 1",
        f"post_fork 1 {worker}",
        "post_worker_init True",
        f"worker_exit {worker}",
        f"child_exit {worker}",
        "on_exit 0",
    ]


def test_reload_and_scaling(master):
    one = master(config=ALL)
    old = one.wait_workers(1)
    one.get()
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    one.get()
    one.kill(signal.SIGTTIN)
    one.wait_workers(2)
    assert "on_reload" in said(one)
    assert said(one)[-3:-2] != []
    assert "nworkers_changed 2 1" in said(one)
    assert one.stop() == 0


def test_worker_int(master):
    one = master(config=ALL)
    (worker,) = one.wait_workers(1)
    one.get()
    os.kill(worker, signal.SIGINT)
    one.wait_for_log(f"> child_exit {worker}")
    assert said(one).index("worker_int") < said(one).index(f"worker_exit {worker}")
    assert one.stop() == 0


def test_an_exception_in_post_fork_is_a_failed_boot(master):
    one = master(config="def post_fork(server, worker):\n    1 / 0\n", launch=True)
    assert one.wait() == 3
    assert "ZeroDivisionError" in one.log


def test_an_exception_in_worker_exit_is_logged(master):
    one = master(config="def worker_exit(server, worker):\n    1 / 0\n")
    one.get()
    assert one.stop() == 0
    assert "ZeroDivisionError" in one.log


def test_an_exception_in_a_hook_of_the_master_ends_it(master):
    one = master(config="def child_exit(server, worker):\n    1 / 0\n")
    (worker,) = one.wait_workers(1)
    one.get()
    os.kill(worker, signal.SIGKILL)
    assert one.wait() == 255
    assert "Unhandled exception in main loop" in one.log
    assert "ZeroDivisionError" in one.log


KEPT = """
kept = []
def child_exit(server, worker):
    kept.append(worker)
def on_exit(server):
    for worker in kept:
        worker.notify()
        server.log.info('> %r %r', worker.slot.method, worker.slot.path)
"""


def test_a_hook_may_keep_a_dead_worker(master):
    one = master(config=KEPT)
    one.get()
    assert one.stop() == 0
    assert said(one) == ["'' ''"]


SUBCLASS = """
import time
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from process.plain import app

class Watching(Arbiter):
    rounds = 0

    def manage_workers(self):
        super().manage_workers()
        self.rounds += 1
        if self.rounds == 2:
            self.log.info('second round: %s', sorted(w.age for w in self.WORKERS.values()))
            self.spawn_worker()
            self.log.info('spawned')

    def kill_worker(self, pid, sig):
        self.log.info('kill_worker %s', self.WORKERS[pid].age)
        super().kill_worker(pid, sig)

class Site(BaseApplication):
    def load_config(self):
        self.cfg.set('bind', '127.0.0.1:0')
        self.cfg.set('workers', 2)
        self.cfg.set('control_socket_disable', True)
        self.cfg.set('worker_class', 'process.plain.PlainWorker')

    def load(self):
        return app

    def run(self):
        Watching(self).run()

Site().run()
"""


FORKING = (
    SUBCLASS[: SUBCLASS.index("class Watching")]
    + """
import os
import sys

class Watching(Arbiter):
    def spawn_worker(self):
        self.worker_age += 1
        worker = self.worker_class(self.worker_age, self.pid, self.LISTENERS, self.app,
                                   self.timeout / 2.0, self.cfg, self.log)
        pid = os.fork()
        if pid:
            worker.pid = pid
            self.WORKERS[pid] = worker
            return pid
        worker.pid = os.getpid()
        try:
            self.log.info("Booting worker with pid: %s", worker.pid)
            worker.init_process()
            sys.exit(0)
        finally:
            self.log.info("Worker exiting (pid: %s)", worker.pid)

"""
    + SUBCLASS[SUBCLASS.index("class Site") :].replace("'process.plain.PlainWorker'", "'sync'")
)


def subclass(master, tmp_path, text):
    script = tmp_path / "watching.py"
    script.write_text(text)
    return master(launch=True, command=[*interpreter_of(gunicorn_command()), str(script)])


def test_a_subclass_that_forks(master, tmp_path):
    """With a `spawn_worker()` of its own, after the model of gunicorn's."""
    one = subclass(master, tmp_path, FORKING)
    old = one.wait_workers(2)
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    new = one.wait_workers(2)
    one.kill(signal.SIGTTIN)
    three = one.wait_workers(3)
    assert set(new) < set(three)
    assert one.stop() == 0
    assert one.log.count("Booting worker") == one.log.count("Worker exiting") == 5


def test_a_subclass_of_the_arbiter(master, tmp_path):
    """As others write them: own rounds each second, own spawning and killing."""
    one = subclass(master, tmp_path, SUBCLASS)
    one.wait_for_log(r"second round: \[1, 2\]")
    one.wait_for_log("kill_worker 1")
    one.wait_workers(2)
    assert one.stop() == 0


def test_a_worker_has_no_frames_of_the_master(master):
    """Neither of the first start, nor of a reload."""
    one = master(
        config="""
import traceback
def post_fork(server, worker):
    names = [frame.name for frame in traceback.extract_stack()]
    server.log.info('> %s', ' '.join(names[names.index('run') :]))
"""
    )
    old = one.wait_workers(1)
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    first, second = said(one)
    assert first == second
    assert not {"manage_workers", "spawn_worker", "reload", "_be_master"} & set(first.split())
    assert one.stop() == 0


def test_an_exception_in_post_fork_has_a_short_traceback(master):
    one = master(config="def post_fork(server, worker):\n    1 / 0\n", launch=True)
    assert one.wait() == 3
    trace = one.log[one.log.index("Traceback") : one.log.index("ZeroDivisionError")]
    assert "post_fork" in trace
    assert "spawn_worker" not in trace
    assert "During handling" not in one.log


def test_system_exit_in_post_fork_ends_the_worker(master):
    one = master(
        config="""
import sys
def post_fork(server, worker):
    if worker.age == 1:
        sys.exit(7)
"""
    )
    one.wait_for_log("exited with code 7.")
    assert one.get()
    assert one.stop() == 0


@pytest.mark.parametrize("hook", ["pre_fork", "child_exit"])
def test_a_process_that_a_hook_has_forked_is_no_second_master(master, hook):
    one = master(
        config=f"""
import os
def {hook}(server, worker):
    if worker.age == 1:
        os.fork()
"""
    )
    (first,) = one.wait_workers(1)
    one.get()
    os.kill(first, signal.SIGKILL)
    one.wait_for_log("which a hook has forked, came back into the server: it is ended")
    one.wait_gone([first])
    one.wait_for_log("(?s)(Booting worker.*){2}")
    one.get()
    assert one.stop() == 0
    assert one.log.count("Booting worker") == 2


def test_a_process_that_a_hook_has_forked_and_that_fails_stops_nothing(master, tmp_path):
    path = tmp_path / "listener"
    one = master(
        bind=["127.0.0.1:0", f"unix:{path}"],
        config="""
import os
def child_exit(server, worker):
    if worker.age == 1 and os.fork() == 0:
        raise RuntimeError("in a process of the hook's own")
""",
    )
    (first,) = one.wait_workers(1)
    os.kill(first, signal.SIGKILL)
    one.wait_for_log("which a hook has forked, came back into the server: it is ended")
    one.wait_for_log("(?s)(Booting worker.*){2}")
    assert path.exists()
    one.get()
    assert one.stop() == 0


LOCALS = SUBCLASS.replace(
    SUBCLASS[SUBCLASS.index("class Watching") : SUBCLASS.index("class Site")],
    """
import gc, weakref
gc.disable()

class Big:
    pass

class Watching(Arbiter):
    def manage_workers(self):
        big = Big()
        self.big = weakref.ref(big)
        super().manage_workers()

def post_fork(server, worker):
    server.log.info('> %s', server.big())

""",
).replace("self.cfg.set('workers', 2)", "self.cfg.set('post_fork', post_fork)")


def test_a_worker_keeps_no_variables_of_the_master(master, tmp_path):
    one = subclass(master, tmp_path, LOCALS)
    one.wait_workers(1)
    assert said(one) == ["None"]
    assert one.stop() == 0


SWALLOWING = (
    SUBCLASS[: SUBCLASS.index("class Watching")]
    + """
class Watching(Arbiter):
    def spawn_worker(self):
        try:
            return super().spawn_worker()
        except:
            self.log.info('> caught')

"""
    + SUBCLASS[SUBCLASS.index("class Site") :]
)


def test_a_subclass_that_catches_all_does_not_keep_a_worker(master, tmp_path):
    one = subclass(master, tmp_path, SWALLOWING)
    one.wait_workers(2)
    assert set(said(one)) == {"caught"}
    assert one.stop() == 0


OVERRIDING = (
    SUBCLASS[: SUBCLASS.index("class Watching")]
    + """
class Watching(Arbiter):
    def handle_chld(self):
        self.log.info('> handle_chld')
        super().handle_chld()

    def reap_workers(self):
        self.log.info('> reap_workers')
        super().reap_workers()

def when_ready(server):
    murder = server.murder_workers
    server.murder_workers = lambda: (server.log.info('> murder_workers'), murder())

"""
    + SUBCLASS[SUBCLASS.index("class Site") :].replace(
        "self.cfg.set('workers', 2)", "self.cfg.set('when_ready', when_ready)"
    )
)


def test_duties_that_are_overridden_are_called(master, tmp_path):
    """Also where a hook has replaced the method of the object alone."""
    one = subclass(master, tmp_path, OVERRIDING)
    (worker,) = one.wait_workers(1)
    assert set(said(one)) <= {"murder_workers"}
    os.kill(worker, signal.SIGKILL)
    one.wait_gone([worker])
    one.wait_workers(1)
    heard = said(one)
    assert heard.index("handle_chld") + 1 == heard.index("reap_workers")
    assert "murder_workers" in heard
    assert one.stop() == 0
