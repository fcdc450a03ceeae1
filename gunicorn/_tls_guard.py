"""Keeps an `ssl.SSLContext` as it is while connections of the engine use it.

The engine reads it in threads of its own, and ssl's callbacks would take our connections for
`ssl.SSLSocket` objects, which ends in a crash. So a change that comes too late is an error.
"""

import functools

# Callbacks of ssl that expect a connection of its own.
CALLBACKS = frozenset({"sni_callback", "keylog_filename", "_msg_callback"})

SETTINGS = CALLBACKS | {
    "check_hostname",
    "hostname_checks_common_name",
    "maximum_version",
    "minimum_version",
    "num_tickets",
    "options",
    "post_handshake_auth",
    "verify_flags",
    "verify_mode",
}

METHODS = (
    "load_cert_chain",
    "load_default_certs",
    "load_dh_params",
    "load_verify_locations",
    "set_alpn_protocols",
    "set_ciphers",
    "set_default_verify_paths",
    "set_ecdh_curve",
    "set_npn_protocols",
    "set_psk_client_callback",
    "set_psk_server_callback",
)

WAY_OUT = (
    "comes too late: connections use this ssl.SSLContext; set it in the hook ssl_context or "
    "post_worker_init, have sni_callback choose another context, or send SIGHUP for a new one"
)


def _refusal(name: str):
    def refuse(self, *args, **kwargs):
        raise RuntimeError(f"{name}() {WAY_OUT}")

    refuse.__name__ = name
    return refuse


@functools.cache
def _guarded(base: type, names: frozenset[str], methods: tuple[str, ...]) -> type:
    """Return a class that its base's objects may be given, under the same name."""

    def set_attribute(self, name, value):
        if name in names:
            raise RuntimeError(f"{name} {WAY_OUT}")
        base.__setattr__(self, name, value)

    body = {name: _refusal(name) for name in methods if hasattr(base, name)}
    body |= {
        "__slots__": (),
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__setattr__": set_attribute,
        "guards": names,
    }
    return type(base)(base.__name__, (base,), body)


def _guard(context, names: frozenset[str], methods: tuple[str, ...]):
    if not names <= getattr(type(context), "guards", frozenset()):
        context.__class__ = _guarded(type(context), names, methods)  # type: ignore[arg-type]
    return context


def guard(context):
    """Return `context`, which from now on refuses every change."""
    return _guard(context, SETTINGS, METHODS)


def guard_callbacks(context):
    """Return `context`, which from now on refuses changes that would end in a crash.

    For one that `sni_callback` has chosen: all other changes hold for later connections.
    """
    return _guard(context, CALLBACKS, ())
