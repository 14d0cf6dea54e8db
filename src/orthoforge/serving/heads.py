"""HEAD wherever there is GET (RFC 9110, 9.3.2): monitors ask so whether a server lives, and GDAL how large a file is."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """ASGI middleware: answers HEAD as GET would, without the body. What streams is left as soon as its headers are there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        is_answered = False

        async def until_answered() -> Message:
            return {"type": "http.disconnect"} if is_answered else await receive()

        async def headers_alone(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                is_answered = True

        asked = {**scope, "method": "GET"}
        await self.app(asked, until_answered, headers_alone)
        scope.update(route=asked.get("route"))
