"""The applications of memory.py. The one that is measured reports by a line that it is loaded."""

import os


def _loaded() -> None:
    os.write(2, b"loaded\n")


def answer(environ, start_response):
    """An application that imports nothing."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def flask():
    """The least that Flask does for an answer."""
    from flask import Flask

    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: "hello")
    _loaded()
    return app


def django():
    """A project with the admin, forms and templates."""
    from preload_app import application

    _loaded()
    return application


if os.environ.get("MEMORY_APP") == "bare":
    _loaded()
