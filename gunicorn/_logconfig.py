"""The settings logconfig, logconfig_json and logconfig_dict: Python's own logging configuration."""

import os

from gunicorn import util

BAD_CONFIG = (AttributeError, ImportError, ValueError, TypeError)


def apply(cfg, defaults):
    """Configure logging; a dictionary goes before JSON, and JSON before an ini file.

    Raises RuntimeError.
    """
    if cfg.logconfig_dict:
        _apply_dict(cfg.logconfig_dict, defaults, "logconfig_dict")
    elif cfg.logconfig_json:
        _apply_dict(_read_json(cfg.logconfig_json), defaults, cfg.logconfig_json)
    elif cfg.logconfig:
        _apply_ini(cfg.logconfig)


def check(cfg):
    """Raise RuntimeError when there is no file, or no JSON in it. Configures nothing."""
    if cfg.logconfig_dict:
        return
    if cfg.logconfig_json:
        _read_json(cfg.logconfig_json)
    elif cfg.logconfig:
        _check_exists(cfg.logconfig)


def _check_exists(path):
    if not os.path.exists(path):
        raise RuntimeError(f"Error: log config '{path}' not found")


def _read_json(path):
    import json

    _check_exists(path)
    try:
        with open(path) as file:
            return json.load(file)
    except ValueError as exc:
        raise RuntimeError(f"log config '{path}': {exc}") from exc


def _apply_dict(config, defaults, source):
    from logging.config import dictConfig

    try:
        dictConfig({**defaults, **config})
    except BAD_CONFIG as exc:
        cause = f": {exc.__cause__}" if exc.__cause__ else ""
        if isinstance(exc.__cause__, OSError):
            cause += util.socket_hint(exc.__cause__)
        raise RuntimeError(f"{source}: {exc}{cause}") from exc


def _apply_ini(path):
    from logging.config import fileConfig

    _check_exists(path)
    names = {"__file__": path, "here": os.path.dirname(path)}  # as PasteDeploy has them
    fileConfig(path, defaults=names, disable_existing_loggers=False)
