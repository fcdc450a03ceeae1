"""NiceGUI."""

from __future__ import annotations

from applications import Application

from asgi.client import ASGI

NICEGUI = Application(
    name="nicegui",
    install=("nicegui",),
    target=("serve:app",),
    pages=("/", "/other"),
    static="/_nicegui/VERSION/static/nicegui.css",
    files={
        "serve.py": """
from fastapi import FastAPI
from nicegui import ui

app = FastAPI()

@ui.page("/")
def index():
    ui.label("hello")
    ui.button("press", on_click=lambda: ui.notify("pressed"))

@ui.page("/other")
async def other():
    ui.label("other")

ui.run_with(app)
""",
    },
    workers=ASGI,
)
