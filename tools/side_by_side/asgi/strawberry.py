"""Strawberry."""

from __future__ import annotations

from applications import Application

from asgi.client import ASGI, TALK

STRAWBERRY = Application(
    name="strawberry",
    install=("strawberry-graphql", "starlette", "websockets"),
    target=("serve:app",),
    pages=("/graphql", "/graphql?query={hello}"),
    files={
        "serve.py": """
import asyncio
from collections.abc import AsyncGenerator
import strawberry
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL

@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "world"

@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3) -> AsyncGenerator[int, None]:
        for n in range(to):
            yield n
            await asyncio.sleep(0.01)

graphql = GraphQL(strawberry.Schema(Query, subscription=Subscription))
app = Starlette(routes=[Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)])
""",
        "talk.py": TALK
        + """
def subscribe(name, to):
    query = "subscription { count(to: %d) }" % to
    return json.dumps({"id": name, "type": "subscribe", "payload": {"query": query}})

async def main():
    protocols = ["graphql-transport-ws"]
    begin = json.dumps({"type": "connection_init"})
    await talk("/graphql", begin, subscribe("1", 4), receive=6, subprotocols=protocols)
    await talk("/graphql", begin, subscribe("1", 1000), receive=4, subprotocols=protocols)
    await talk("/graphql", subscribe("1", 4), receive=1, subprotocols=protocols)
    await talk("/graphql", "not json", receive=1, subprotocols=protocols)
    await talk("/graphql", begin, receive=1, subprotocols=["unknown"])
    await talk("/graphql", begin, receive=1, subprotocols=["graphql-ws"])
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=lambda v: (v.json("POST", "/graphql", {"query": "{ hello }"}), v.program("talk.py")),
)
