"""The `ssl.SSLContext` of the settings, for the engine and for workers with their own servers."""

from __future__ import annotations

import os
import sys

from gunicorn.errors import ConfigError

# A question for a pass phrase is for whoever starts the server, and not for a worker or a reload.
_may_ask = True
_pass_phrases: dict[str, str] = {}


def record_if_hidden() -> None:
    """Record contexts that the configuration makes, if OpenSSL may be hidden inside Python.

    Other Pythons do not import ssl for it.
    """
    if (
        "_ssl" in sys.builtin_module_names
        or sys.version_info >= (3, 15)  # see LAYOUT_IS_KNOWN in ext/core/ssl_context.c
        or os.environ.get("GUNICORN_OPENSSL") == "system"
    ):
        from gunicorn import _tls_recipe

        _tls_recipe.begin()


def by_engine(cfg) -> bool:
    """Whether our engine is to speak TLS; worker classes with a server of their own do that."""
    return bool(cfg.is_ssl) and getattr(cfg.load_worker_class(), "uses_engine", False)


def pass_phrase(conf):
    """Return a function that `load_cert_chain` calls for the pass phrase of an encrypted key.

    It asks at the terminal, once; where there is none it raises ConfigError.
    """
    path = conf.keyfile or conf.certfile

    def ask():
        if path not in _pass_phrases:
            if not _may_ask or sys.stdin is None or not sys.stdin.isatty():
                raise ConfigError(
                    f"keyfile: {path!r} is encrypted, and there is no terminal to ask for its pass "
                    "phrase; decrypt it (openssl pkey), or load it in the hook ssl_context"
                )
            import getpass

            _pass_phrases[path] = getpass.getpass(f"Pass phrase of {path}: ")
        return _pass_phrases[path]

    return ask


def forget_pass_phrase(path: str) -> bool:
    """Forget a pass phrase that was wrong. Returns whether one was given."""
    return _pass_phrases.pop(path, None) is not None


def stop_asking() -> None:
    """From now on a pass phrase that is not known is an error."""
    global _may_ask
    _may_ask = False


def make(conf):
    """Return the context of the settings, or that of the hook `ssl_context`."""
    import ssl

    def default_ssl_context_factory():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=conf.ca_certs)
        context.load_cert_chain(
            certfile=conf.certfile, keyfile=conf.keyfile, password=pass_phrase(conf)
        )
        context.verify_mode = conf.cert_reqs
        if conf.ciphers:
            context.set_ciphers(conf.ciphers)
        protocols = _alpn_protocols(conf)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    return conf.ssl_context(conf, default_ssl_context_factory)


def _alpn_protocols(conf) -> list[str]:
    has_http2 = "h2" in (conf.http_protocols or ()) and conf.protocol == "http"
    if not has_http2:
        return ["http/1.1"] if by_engine(conf) else []
    from gunicorn.config import ALPN_PROTOCOL_MAP

    return [ALPN_PROTOCOL_MAP[name] for name in conf.http_protocols if name in ALPN_PROTOCOL_MAP]
