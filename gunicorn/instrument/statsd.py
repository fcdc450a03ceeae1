"""Metrics for StatsD: a logger that counts its lines.

Any record logged with `extra={"metric": name, "value": number, "mtype": type}` is sent as a metric;
with an empty message it is that and nothing else.
"""

import atexit
import logging
import socket
import time

from gunicorn import _access, util
from gunicorn.glogging import Logger

METRIC_VAR = "metric"
VALUE_VAR = "value"
MTYPE_VAR = "mtype"
GAUGE_TYPE = "gauge"
COUNTER_TYPE = "counter"
HISTOGRAM_TYPE = "histogram"
TIMER_TYPE = "timer"

RECONNECT_INTERVAL = 5.0  # seconds between attempts to reach a server that is not there


class Statsd(Logger):
    """The logger when `statsd_host` is set. A server that does not listen costs nothing."""

    sock = None
    prefix = ""
    dogstatsd_tags = ""
    _address = None
    _retry_at = 0.0  # on time.monotonic()'s clock

    def setup(self, cfg):
        super().setup(cfg)
        prefix = cfg.statsd_prefix.rstrip(".")
        self.prefix = f"{prefix}." if prefix else ""
        self.dogstatsd_tags = cfg.dogstatsd_tags
        if self._address is None:
            atexit.register(self._close)
        if self.sock is None or cfg.statsd_host != self._address:
            self._address = cfg.statsd_host
            self._connect()

    def _close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def _connect(self):
        host = self._address
        self._close()
        if isinstance(host, str):
            family = socket.AF_UNIX
        elif host and util.is_ipv6(host[0]):
            family = socket.AF_INET6
        else:
            family = socket.AF_INET
        self._retry_at = time.monotonic() + RECONNECT_INTERVAL
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:
            return
        try:
            sock.connect(host)
            sock.setblocking(False)
        except (OSError, TypeError):
            sock.close()
        else:
            self.sock = sock

    # ---- records ----

    def critical(self, msg, *args, **kwargs):
        Logger.critical(self, msg, *args, **kwargs)
        self.increment("gunicorn.log.critical", 1)

    def error(self, msg, *args, **kwargs):
        Logger.error(self, msg, *args, **kwargs)
        self.increment("gunicorn.log.error", 1)

    def warning(self, msg, *args, **kwargs):
        Logger.warning(self, msg, *args, **kwargs)
        self.increment("gunicorn.log.warning", 1)

    def exception(self, msg, *args, **kwargs):
        Logger.exception(self, msg, *args, **kwargs)
        self.increment("gunicorn.log.exception", 1)

    def info(self, msg, *args, **kwargs):
        self.log(logging.INFO, msg, *args, **kwargs)

    def debug(self, msg, *args, **kwargs):
        self.log(logging.DEBUG, msg, *args, **kwargs)

    def log(self, lvl, msg, *args, **kwargs):
        """Log `msg`, if there is one, and send the metric in `extra`, if there is one."""
        extra = kwargs.get("extra") or {}
        metric, value, kind = (extra.get(k) for k in (METRIC_VAR, VALUE_VAR, MTYPE_VAR))
        if metric and value is not None and kind:
            send = {
                GAUGE_TYPE: self.gauge,
                COUNTER_TYPE: self.increment,
                HISTOGRAM_TYPE: self.histogram,
                TIMER_TYPE: self.timer,
            }.get(kind)
            if send is not None:
                send(metric, value)
        if msg:
            Logger.log(self, lvl, msg, *args, **kwargs)

    def access(self, resp, req, environ, request_time):
        """Write the access log's line, and send the request's duration, count and status."""
        Logger.access(self, resp, req, environ, request_time)
        self.timer("gunicorn.request.duration", _access.microseconds(request_time) / 1000)
        self.increment("gunicorn.requests", 1)
        self.increment(f"gunicorn.request.status.{int(_access.status_code(resp))}", 1)

    # ---- metrics ----

    def gauge(self, name, value):
        self._sock_send(f"{self.prefix}{name}:{value}|g")

    def increment(self, name, value, sampling_rate=1.0):
        self._sock_send(f"{self.prefix}{name}:{value}|c|@{sampling_rate}")

    def decrement(self, name, value, sampling_rate=1.0):
        self._sock_send(f"{self.prefix}{name}:-{value}|c|@{sampling_rate}")

    def timer(self, name, value):
        self._sock_send(f"{self.prefix}{name}:{value}|ms")

    def histogram(self, name, value):
        self._sock_send(f"{self.prefix}{name}:{value}|h")

    def _sock_send(self, msg):
        """Send one metric, or lose it: nothing waits for a StatsD server."""
        if self.sock is None:
            if time.monotonic() < self._retry_at:
                return
            self._connect()
            if self.sock is None:
                return
        if isinstance(msg, str):
            msg = msg.encode("utf-8", "replace")
        if self.dogstatsd_tags:
            msg += f"|#{self.dogstatsd_tags}".encode()
        try:
            self.sock.send(msg)
        except BlockingIOError:
            pass
        except Exception:
            # Nobody listens on the port right now; a unix socket has to be connected again.
            if isinstance(self._address, str):
                self._close()
