"""Children that died: logged, and followed up."""

import os
from collections import namedtuple

from gunicorn.errors import HaltServer
from gunicorn.master import dirty, exchanges, explain, notify, reload

#: A worker's death, as the C core reports it: `status` of waitpid(2), the `phase` and the
#: `requests` of the worker, `pause` in seconds before the next fork, `peak` in bytes of memory,
#: how many others are `serving`, and whether none has booted yet (`first_boot`).
Death = namedtuple(
    "Death", "pid status phase generation requests pause reason peak serving first_boot"
)


def stranger_died(arbiter, pid: int, status: int) -> None:
    """A child that is no worker died: the second master, or one that a hook has started."""
    if pid == arbiter.reexec_pid:
        arbiter.reexec_pid = 0
        arbiter._core.successor_gone()
        exchanges.look_for_another_master(arbiter)
        return
    if arbiter._check is not None and pid == arbiter._check.pid:
        arbiter._check.pid = 0
        return
    arbiter.log.debug("Reaped unknown child process (pid:%s, status:%s)", pid, status)


def worker_died(arbiter, *facts) -> None:
    """A worker died: `facts` are those of Death. Raises HaltServer if no worker can boot."""
    death = Death(*facts)
    worker = arbiter.WORKERS.pop(death.pid, None)
    code = os.waitstatus_to_exitcode(death.status)
    _log(arbiter, death, code, worker)
    if worker is not None:
        worker.tmp.close()
        exchanges.leave(worker)
        arbiter.cfg.child_exit(arbiter, worker)
    if arbiter._stopping:
        dirty.stop_last(arbiter)
    else:
        _follow_up(arbiter, death, code)


def _log(arbiter, death, code: int, worker) -> None:
    log, pid = arbiter.log, death.pid
    if code < 0:
        killed = death.reason == "out_of_memory"
        oom = (death.peak, arbiter._core.memory_limit) if killed else None
        explain.death_by_signal(log, pid, -code, death.phase, worker, oom)
    elif code:
        log.error("Worker (pid:%s) exited with code %s.", pid, code)
    if death.reason in ("exited", "failed"):
        explain.unasked_exit(log, pid, code, death.phase, worker)
    if death.pause:
        log.error("Workers die as soon as they start. The next try is in %.2f s.", death.pause)


def _follow_up(arbiter, death, code: int) -> None:
    """A worker that did not boot ends a reload, or the server if it is the first of all."""
    core = arbiter._core
    if _is_failed_probe(arbiter, death):
        reload.cancel(arbiter, f"its first worker (pid:{death.pid}) did not boot")
    elif death.phase == "booting" and code in (arbiter.WORKER_BOOT_ERROR, arbiter.APP_LOAD_ERROR):
        if death.first_boot:
            failed = code == arbiter.WORKER_BOOT_ERROR
            raise HaltServer("Worker failed to boot." if failed else "App failed to load.", code)
        if death.generation == core.generation:
            _boot_failed(arbiter, death)


def _is_failed_probe(arbiter, death) -> bool:
    core = arbiter._core
    return (
        arbiter._reloading is not None
        and death.generation == core.generation
        and not core.proven
        and death.phase != "stopping"
    )


def _boot_failed(arbiter, death) -> None:
    """A worker could not boot, after others could: it is forked again."""
    arbiter.log.error(
        "Worker (pid:%s) failed to boot; %s meanwhile. Its own lines above say why. Another is "
        "tried until one boots; a mended configuration is read at HUP.",
        death.pid,
        f"{death.serving} serve" if death.serving else "NONE serves",
    )
    if death.serving and not arbiter._settled:
        arbiter._settled = True
        notify.ready(arbiter)
