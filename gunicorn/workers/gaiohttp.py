"""aiohttp's worker under the name that it had here: `worker_class = "gaiohttp"`."""

from gunicorn.errors import ConfigError

try:
    from aiohttp import GunicornWebWorker as AiohttpWorker
except ImportError:
    raise ConfigError(
        "the gaiohttp worker needs the package aiohttp: pip install aiohttp"
    ) from None

__all__ = ["AiohttpWorker"]
