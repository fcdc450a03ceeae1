"""ASGI applications at random: see helpers/asgi_scripts.py. `make fuzz` goes on for longer."""

from helpers.asgi_scripts import Scripted


def test_generated_asgi_applications(serve_asgi):
    """The client gets what send() has accepted and nothing else, and the worker goes on."""
    Scripted(serve_asgi("scripted:app", expect_trouble=True)).converse(100, 1)
