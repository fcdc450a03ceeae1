"""A reload: the configuration is read again, and the workers are replaced.

The first new worker is waited for. Until it is ready the old ones serve; if it does not boot, or
the configuration has a mistake, all stays as it was.
"""

from gunicorn import sock
from gunicorn.master import dirty, exchanges, explain, notify, preload, settings, snapshot, titles


def begin(arbiter) -> None:
    """Read the configuration again, and have workers forked that go by it."""
    arbiter._stats["reloads"] += 1
    if arbiter._reloading is None:
        arbiter._reloading = snapshot.Snapshot(arbiter, arbiter._core.generation)
    notify.reloading(arbiter)
    try:
        _load(arbiter)
    except (Exception, SystemExit) as exc:
        cancel(arbiter, _reason_of(exc))
        return
    arbiter._reloading.last_replaced = arbiter.worker_age
    titles.show(arbiter, "master")
    arbiter._core.new_generation()
    settings.pass_to_core(arbiter)
    arbiter.manage_workers()
    if arbiter.num_workers == 0 and arbiter._reloading is not None:
        finish(arbiter)  # no worker is forked that would prove it


def _load(arbiter) -> None:
    before, old = arbiter._reloading, arbiter.cfg
    snapshot.reset_environ(old)
    preload.forget(arbiter)
    arbiter.app.reload()
    arbiter.setup(arbiter.app)
    explain.automatic_workers(arbiter.cfg, arbiter.log)
    if arbiter.master_pid:
        arbiter.proc_name += ".2"
    arbiter.log.reopen_files()
    _reload_tls(arbiter)
    if old.address != arbiter.cfg.address:
        snapshot.rebind(arbiter, before)
        arbiter.log.info("Listening at: %s", ",".join(map(str, arbiter.LISTENERS)))
    dirty.prepare(arbiter)
    snapshot.move_status(arbiter, before)
    snapshot.move_pidfile(arbiter, before, old)
    arbiter.cfg.on_reload(arbiter)


def _reload_tls(arbiter) -> None:
    if not arbiter.cfg.is_ssl:
        arbiter.tls = None
        return
    from gunicorn import _tls

    arbiter.tls = _tls.reload(arbiter.tls, arbiter.cfg, arbiter.log)
    if arbiter.tls is None:
        sock.check_certificates(arbiter.cfg)


def cancel(arbiter, reason) -> None:
    """The new configuration does not work: put everything back. `reason` is an error, or a text."""
    before, arbiter._reloading = arbiter._reloading, None
    try:
        before.restore(arbiter)
    except Exception:
        arbiter.log.exception("What was before the reload could not be restored completely")
    if before.modules is not None:
        preload.collect(arbiter)
    trace = reason if isinstance(reason, BaseException) else None
    arbiter.log.error("The reload failed, everything stays as it was: %s", reason, exc_info=trace)
    arbiter._core.restore_generation(before.generation)
    arbiter._status.watch(arbiter._core)
    settings.pass_to_core(arbiter)
    titles.show(arbiter, "master")
    notify.ready(arbiter)


def finish(arbiter) -> None:
    """The new configuration works: release the resources of the old one alone."""
    before, arbiter._reloading = arbiter._reloading, None
    exchanges.replace(arbiter, before.last_replaced)
    before.discard(arbiter)
    arbiter._control.follow(arbiter)
    dirty.settle(arbiter)
    if before.modules is not None:
        del before
        preload.collect(arbiter)  # the old application, which is full of cycles
    arbiter.log.debug("The new configuration works: the workers of the old one are replaced")
    notify.ready(arbiter)


def _reason_of(exc: BaseException) -> BaseException:
    """The cause of a reload's end: a mistake in the configuration arrives as SystemExit."""
    if isinstance(exc, SystemExit) and exc.__context__ is not None:
        return exc.__context__
    return exc
