"""The number of workers that follows the load: its log lines. The C core decides."""


def backlog(arbiter) -> int:
    """How many connections the kernel keeps for the workers, as far as it says so."""
    return sum(max(0, listener.get_backlog() or 0) for listener in arbiter.LISTENERS)


def scaled(arbiter, decision: str, before: int, target: int, *figures) -> None:
    """The C core has decided, by its figures: log it with the reason."""
    waiting, wait, busy, processors, delayed, room = figures
    log, most = arbiter.log.info, arbiter.cfg.workers_max
    need = f"{waiting} requests wait, for about {wait:.2f} s, and all of {busy} workers are busy"
    use = f"they use {_short(processors)} processors, and wait for {_short(delayed)}"
    if decision == "up":
        log("Workers: %s, one more. %s; %s", target, need, use)
    elif decision == "down_idle":
        log("Workers: %s, one less. It was not needed for scale_down_idle", target)
    elif decision == "down_memory":
        log("Workers: %s, one less. There is memory for %s", target, room)
    elif decision == "held_most":
        log("Workers: %s, no more. %s; workers_max is %s", before, need, most)
    elif decision == "held_memory":
        log("Workers: %s, no more. %s; there is memory for %s", before, need, room)
    else:
        usable = _short(arbiter._core.processors)
        log("Workers: %s, no more. %s; %s of %s", before, need, use, usable)


def _short(number: float) -> str:
    return "?" if number < 0 else f"{number:.1f}"
