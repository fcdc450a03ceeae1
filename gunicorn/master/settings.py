"""The configuration that the master itself goes by."""

import os

from gunicorn import _processors
from gunicorn.master import dirty, explain, preload
from gunicorn.workers import _overrides

TICK = 1.0  # seconds between two rounds where something has to be asked again and again


def apply(arbiter) -> None:
    """Take over the configuration of `arbiter.app`, at the start and at each reload."""
    cfg = arbiter.cfg = arbiter.app.cfg
    _set_up_log(arbiter)
    if "GUNICORN_PID" in os.environ:
        arbiter.log.reopen_files()
    arbiter.worker_class = cfg.worker_class
    arbiter.address = cfg.address
    arbiter.num_workers = cfg.workers
    arbiter.timeout = cfg.timeout
    arbiter.proc_name = cfg.proc_name
    _log_configuration(arbiter)
    explain.check_memory_limits(cfg, arbiter.log)
    if cfg.env:
        os.environ.update(cfg.env)
    preload.load(arbiter)
    pass_to_core(arbiter)


def _set_up_log(arbiter) -> None:
    if arbiter.log is None:
        arbiter.log = arbiter.cfg.logger_class(arbiter.cfg)
    else:
        arbiter.log.setup(arbiter.cfg)
    arbiter._log_level.apply(arbiter, None)


def _log_configuration(arbiter) -> None:
    if getattr(arbiter.log, "loglevel", 0) > 10:  # logging.DEBUG; the text is long
        return
    settings = sorted(arbiter.cfg.settings.items())
    lines = (f"  {key}: {setting.value}" for key, setting in settings)
    arbiter.log.debug("Current configuration:\n%s", "\n".join(lines))


def set_num_workers(arbiter, value: int) -> None:
    """Set how many workers there should be, and call the hook."""
    before, arbiter._num_workers = arbiter._num_workers, value
    if arbiter._core_object is not None:
        arbiter._core_object.least = value
    arbiter.cfg.nworkers_changed(arbiter, value, before)


def pass_to_core(arbiter) -> None:
    """Hand the settings that the C core goes by to it, if there is one."""
    core, cfg = arbiter._core_object, arbiter.cfg
    if core is None:
        return
    core.timeout = arbiter.timeout
    core.graceful_timeout = cfg.graceful_timeout
    core.boot_timeout = cfg.boot_timeout
    core.max_rss = cfg.max_rss
    core.max_rss_hard = cfg.max_rss_hard
    core.max_unavailable = cfg.max_unavailable
    core.max_queue = cfg.max_queue
    core.workers_max = cfg.workers_max
    core.scale_up_wait = cfg.scale_up_wait
    core.scale_down_idle = cfg.scale_down_idle
    core.processors = _processors.available() if cfg.workers_max else 0
    core.least = arbiter._num_workers or 0  # the others are in force from here on
    core.dirty_target = int(dirty.is_wanted(cfg))
    core.dirty_graceful_timeout = cfg.dirty_graceful_timeout
    core.tick = TICK if _needs_ticks(arbiter) else 0
    core.watchdog = arbiter._watchdog / 2
    core.set_duties([name for name, has_part in _python_duties(arbiter) if has_part])


def _python_duties(arbiter):
    """Each duty of the loop, and whether Python has a part in it; else the C core does it alone."""

    def own(*methods):
        return any(_overrides.has_own(arbiter, name) for name in methods)

    logs_signals = getattr(arbiter.log, "loglevel", 0) <= 10  # logging.DEBUG: "Handling signal"
    yield "reap", logs_signals or own("handle_chld", "reap_workers")
    yield "murder", own("murder_workers")
    yield "manage", arbiter.cfg.enable_backlog_metric or own("manage_workers", "spawn_worker")
    promotes = arbiter.master_pid or arbiter._promoted_pidfile
    yield "woken", promotes or arbiter._watchdog or arbiter._dirty.listener


def _needs_ticks(arbiter) -> bool:
    """Whether the rounds have to go on while nothing happens."""
    return (
        arbiter.cfg.enable_backlog_metric
        or arbiter.master_pid != 0
        or arbiter._promoted_pidfile is not None
        or _overrides.has_own(arbiter, "manage_workers")
        or _overrides.has_own(arbiter, "murder_workers")
    )
