"""The heartbeat of a worker, kept under the name that it had when it was a temporary file."""

import time


class WorkerTmp:
    """A worker's signs of life, in memory that it shares with the master.

    Until the worker is forked, and where there is no master, beats are kept here alone.
    There is no file behind it any more: `worker_tmp_dir` is accepted and not needed.
    """

    def __init__(self, cfg) -> None:
        self.slot = None  # a gunicorn._core.Slot, from the fork on
        self._last = time.monotonic()

    def notify(self) -> None:
        """Say that the worker is alive. It then has `timeout` seconds until the next time."""
        if self.slot is None:
            self._last = time.monotonic()
        else:
            self.slot.beat()

    def last_update(self) -> float:
        """Return the time of the last sign of life, in seconds of `time.monotonic()`.

        An idle worker gives no signs, and is not late: for it this is the present time.
        """
        if self.slot is None:
            return self._last
        return self.slot.busy_since or time.monotonic()

    def fileno(self) -> int:
        """There is no descriptor: -1."""
        return -1

    def close(self) -> None:
        """Nothing to do; the master takes the memory back when the worker is gone."""
