"""`preload_app`: the application is loaded in the master, and its workers share it."""

import gc
import sys

from gunicorn import glogging


def load(arbiter) -> None:
    """Load the application, if the configuration says so."""
    if not arbiter.cfg.preload_app:
        if arbiter.cfg.preload_freeze:
            arbiter.log.warning("preload_freeze: without preload_app the workers share nothing")
        return
    if arbiter._modules_before_app is None:
        arbiter._modules_before_app = set(sys.modules)
    disabled = glogging.disabled_loggers()
    arbiter.app.wsgi()
    glogging.warn_of_disabled_loggers(disabled)
    if arbiter.cfg.preload_freeze:
        collect(arbiter)
    _warn_of_threads(arbiter.log)


def _warn_of_threads(log) -> None:
    threading = sys.modules.get("threading")
    others = [thread.name for thread in threading.enumerate()[1:]] if threading else []
    if others:
        log.warning(
            "The application started threads while it was preloaded. They do not run in the "
            "workers: %s",
            ", ".join(others),
        )


def collect(arbiter) -> None:
    """Free garbage, and let no collection touch the other objects, which workers share."""
    if arbiter.cfg.preload_freeze:
        gc.unfreeze()
    gc.collect()
    if arbiter.cfg.preload_freeze:
        gc.freeze()


def forget(arbiter) -> None:
    """Let the application be loaded anew: a reload is about to load it."""
    if arbiter._modules_before_app is not None and hasattr(arbiter.app, "callable"):
        arbiter.app.callable = None
        _forget_modules(arbiter._modules_before_app)


def _forget_modules(before: set) -> None:
    """Let the modules that the application brought in be imported anew.

    Not those of packages with extension modules, most of which cannot be loaded twice in a
    process, nor the standard library's.
    """
    names = [name for name in sys.modules if name not in before]
    kept = {"gunicorn", "__main__", *sys.stdlib_module_names}
    for name in names:
        path = getattr(sys.modules[name], "__file__", None)
        if not path or not path.endswith((".py", ".pyc")):
            spec = getattr(sys.modules[name], "__spec__", None)
            if path or spec is None or not spec.submodule_search_locations:
                kept.add(name.partition(".")[0])
    for name in names:
        if name.partition(".")[0] not in kept:
            del sys.modules[name]
    import importlib

    importlib.invalidate_caches()
