"""The master's messages to the service manager."""

import time

from gunicorn import systemd


def ready(arbiter) -> None:
    """The server serves."""
    systemd.sd_notify("READY=1\nSTATUS=Gunicorn arbiter booted", arbiter.log)


def reloading(arbiter) -> None:
    """A reload has begun; `ready()` ends it."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    systemd.sd_notify(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reloading", arbiter.log)


def stopping(arbiter) -> None:
    """The server stops, or leaves the rest to the master that it has started."""
    if arbiter.reexec_pid:
        systemd.sd_notify(f"MAINPID={arbiter.reexec_pid}", arbiter.log)
    else:
        systemd.sd_notify("STOPPING=1\nSTATUS=Stopping", arbiter.log)


def alive(arbiter) -> None:
    """Answer the manager's watchdog, if it has one."""
    if arbiter._watchdog:
        systemd.sd_notify("WATCHDOG=1", arbiter.log)
