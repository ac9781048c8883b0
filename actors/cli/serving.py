"""The sub-command serve: a crew as a service, with numbers and health over HTTP.

It works on whatever is open in the store, and on whatever others deliver through the store's socket. It opens no
case itself. It does not know who asks over HTTP, and tells nothing but numbers.
"""

import ipaddress
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener
from cyclopts import Parameter

from casework.actors.cli.exits import Exit, Quit
from casework.actors.cli.options import STORE, TENANT, JsonOption, StoreOption, TenantOption
from casework.actors.cli.output import say_json, tell
from casework.actors.cli.working import Interrupts, interruptible, refuse_other_crew, remembered
from casework.actors.crew import Crew, load_crew
from casework.runtime.errors import StoreError
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey
from casework.runtime.store.urls import open_store
from casework.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

#: Port of the metrics, unless `--port` says otherwise: the one that OpenTelemetry's Prometheus exporters use.
PORT: Final = 9464
PORT_MAX: Final = 65_535
#: Seconds that the store may take to answer before we are not ready.
READY_SECONDS: Final = 2.0
#: Where the numbers are.
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Address(NamedTuple):
    """Where to listen, and how to say so."""

    host: str
    port: int
    json: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def serve(
    crew: str,
    /,
    *,
    store: StoreOption = STORE,
    host: Annotated[str, Parameter(name="--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(name="--port", help="Port to listen on.")] = PORT,
    tenant: TenantOption = TENANT,
    json_: JsonOption = False,
) -> int:
    """Run a crew as a service until it is interrupted: /metrics, /healthz and /readyz over HTTP.

    Parameters
    ----------
    crew
        The crew, as module:attribute.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise Quit(Exit.USAGE, "serve needs an extra: pip install 'casework[serve]'")
    if not 0 <= port <= PORT_MAX:
        raise Quit(Exit.USAGE, f"--port {port}: a port is a number from 0 to {PORT_MAX}; 0 takes one that is free")
    folder = Path.cwd()
    loaded = load_crew(crew, folder=folder)
    settings = {"crew": crew, "tenant": tenant, "folder": str(folder)}

    async def work(interrupts: Interrupts) -> int:
        await _serve(loaded, store, settings, _Address(host, port, json_), interrupts)
        return Exit.OK

    return anyio.run(interruptible, work)


async def _serve(crew: Crew, url: str, settings: dict[str, str], address: _Address, interrupts: Interrupts) -> None:
    world = World()
    telemetry = Telemetry.from_environment(metrics=True)
    store = await open_store(url, world)
    try:
        before = await remembered(store)
        await refuse_other_crew(store, crew, settings["crew"])
        async with await _bound(address) as listeners:
            for name, value in settings.items():
                await store.remember(name, value)
            known = before | settings
            async with Runtime(crew, store, tenant=settings["tenant"], settings=known, telemetry=telemetry) as runtime:
                await _listen(http(runtime, telemetry), listeners, address, interrupts)
    finally:
        await store.aclose()
        with anyio.CancelScope(shield=True):
            await world.offload.run(telemetry.shutdown)


def http(runtime: Runtime, telemetry: Telemetry) -> "Starlette":
    """Make the application: /metrics, /healthz (the process is alive) and /readyz (the store answers)."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    async def metrics(request: "Request") -> "Response":
        return Response(telemetry.expose(), headers={"content-type": METRICS_TYPE})

    async def healthz(request: "Request") -> "Response":
        return PlainTextResponse("alive\n")

    async def readyz(request: "Request") -> "Response":
        try:
            with anyio.fail_after(READY_SECONDS):
                await runtime.store.case(CaseKey("", ""))
        except (StoreError, TimeoutError):
            return PlainTextResponse("the store does not answer\n", status_code=503)
        return PlainTextResponse("ready\n")

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])


async def _bound(address: _Address) -> MultiListener[SocketStream]:
    """Take the port, before anything is worked on.

    Raises:
        Quit: somebody else has it, or there is no such address here.
    """
    try:
        return await anyio.create_tcp_listener(local_host=address.host, local_port=address.port)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "that is no address of this machine"
        where = f"port {address.port} of {address.host}"
        text = f"{where} cannot be listened on: {why}; name another --port or --host"
        raise Quit(Exit.USAGE, text) from error


async def _listen(
    app: "Starlette", listeners: MultiListener[SocketStream], address: _Address, interrupts: Interrupts
) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """A server that leaves signals to the command."""

        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

    raw = SocketAttribute.raw_socket
    sockets = [listener.extra(raw) for listener in listeners.listeners]  # noqa: S610 - anyio's, not Django's
    bound = address._replace(port=sockets[0].getsockname()[1])
    server = Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    async with anyio.create_task_group() as jobs:

        async def stop() -> None:
            with interrupts.scope:
                await anyio.sleep_forever()
            server.should_exit = True

        jobs.start_soon(stop)
        _say_where(bound)
        await server.serve(sockets)
        jobs.cancel_scope.cancel()


def _say_where(bound: _Address) -> None:
    if not _loopback(bound.host):
        tell("warning", f"listening on {bound.host}: whoever reaches that address can read the numbers")
    if bound.json:
        say_json({"metrics": f"{bound.url}/metrics", "health": f"{bound.url}/healthz"})
        sys.stdout.flush()
    else:
        tell("note", f"listening on {bound.url}/metrics")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
