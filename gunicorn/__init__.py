"""gunicorn, the Python web server, on an engine written in C (monoceros).

`version_info` is the level of gunicorn's programming interface that this package provides.
"""

version_info = (27, 0, 1)
__version__ = ".".join(map(str, version_info))
SERVER = "gunicorn"
SERVER_SOFTWARE = f"{SERVER}/{__version__}"
