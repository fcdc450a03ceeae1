"""The worker class of the ASGI applications, and the part that their WebSocket clients share."""

ASGI = ("asgi",)

#: A conversation, and how it ended.
TALK = """
import asyncio, json, os, sys
import websockets

URL = os.environ["URL"].replace("http", "ws", 1)

async def talk(path, *messages, receive=None, close=1000, **more):
    try:
        async with websockets.connect(URL + path, **more) as client:
            got = []
            for message in messages:
                await client.send(message)
                if receive is None:
                    got.append(await asyncio.wait_for(client.recv(), 20))
            for _ in range(receive or 0):
                got.append(await asyncio.wait_for(client.recv(), 20))
            await client.close(close, "bye")
        print(path, client.subprotocol, client.close_code, str(got)[:300], len(str(got)))
    except websockets.InvalidStatus as e:
        print(path, "refused", e.response.status_code, e.response.body)
    except websockets.ConnectionClosed as e:
        print(path, "closed", e.rcvd and (e.rcvd.code, e.rcvd.reason), got)
"""
