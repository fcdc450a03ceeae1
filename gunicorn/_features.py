"""Features that a configuration may ask for and this version does not have.

Asking for it is answered in one line: an error where nothing could be served, else a warning.
"""

from gunicorn import util
from gunicorn.errors import ConfigError


def _fatal(cfg):
    if cfg.protocol not in ("http", "uwsgi", "fastcgi"):
        yield f"protocol: {cfg.protocol!r} is unknown; there are http, uwsgi and fastcgi"
    if cfg.proxy_protocol_required and cfg.proxy_protocol == "off":
        yield "proxy_protocol_required: no header is read, for proxy_protocol is off"


def _missing(cfg):
    one_at_a_time = cfg.worker_class_str in ("sync", "tornado")
    if one_at_a_time and 0 < cfg.timeout <= cfg.request_timeout:
        yield (
            f"request_timeout: after {cfg.request_timeout:g} s nothing is left to end, for "
            f"timeout ({cfg.timeout} s) has killed the worker before"
        )
    if cfg.http2_cleartext != "off" and ("h2" not in cfg.http_protocols or cfg.is_ssl):
        yield "http2_cleartext: it needs h2 among http_protocols, and listeners without TLS"
    if cfg.dirty_workers > 0 and not cfg.dirty_apps:
        yield "dirty_workers: none is started without dirty_apps"
    if cfg.was_set("ssl_context") and not cfg.is_ssl:
        yield "ssl_context: TLS is spoken where certfile or keyfile is set; the hook is not called"


def check(cfg):
    """Raise ConfigError for settings that cannot be served, and warn of missing features."""
    for line in _fatal(cfg):
        raise ConfigError(line)
    for line in _missing(cfg):
        util.say(f"Warning: {line}.")
