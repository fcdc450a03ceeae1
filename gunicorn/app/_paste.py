"""Files of PasteDeploy, which name an application and may configure logging."""

import os

from gunicorn.errors import ConfigError


def get_wsgi_app(config_uri, name=None, defaults=None):
    """Return the application of a PasteDeploy file, `FILE` or `FILE#SECTION`."""
    try:
        from paste.deploy import loadapp
    except ImportError:
        raise ConfigError("a PasteDeploy file needs the package PasteDeploy") from None
    if ":" not in config_uri:
        config_uri = f"config:{config_uri}"
    return loadapp(config_uri, name=name, relative_to=os.getcwd(), global_conf=defaults)


def has_logging_config(config_file):
    """Whether the ini file also configures logging."""
    import configparser

    parser = configparser.ConfigParser()
    parser.read([config_file])
    return parser.has_section("loggers")
