"""A PostgreSQL server of our own, for benchmarks and tests: a free port on loopback, a folder that goes away again.

Debian's binaries run as an unprivileged user and are ended by their process id. Where they are not installed it cannot
be had, and says so. It does not know what is stored in it.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Seconds until a server that does not come up, or does not end, is given up.
PATIENCE_SECONDS: Final = 30.0
#: Whom the server runs as when we run as root, which it refuses.
USER: Final = "postgres"
PASSWORD: Final = "open-sesame"

#: Small. What a killed server has given to the system is kept by the system, so only who measures needs the disk.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "log_min_messages": "warning",
    "autovacuum_naptime": "10s",
    # After a crash the whole folder is synced; file by file that takes long on a busy disk.
    "recovery_init_sync_method": "syncfs",
}


class PostgresMissing(Exception):
    """The server's binaries are not installed."""


def binaries() -> Path:
    """Give the folder of the newest server that is installed.

    Raises:
        PostgresMissing: there is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise PostgresMissing("no PostgreSQL is installed: apt-get install postgresql")
    return found[-1].parent


class PostgresServer:
    """One server with its own data."""

    def __init__(self, folder: Path, *, synced: bool) -> None:
        """Make its data in a folder of the user that it runs as; `synced` has commits wait for the disk."""
        self._settings = _SETTINGS | {"fsync": "on" if synced else "off"}
        self._bin = binaries()
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        secret = folder / "password"
        secret.write_text(f"{PASSWORD}\n", encoding="utf-8")
        if os.geteuid() == 0:
            owner = pwd.getpwnam(USER)
            for path in (folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        login = ("-U", "casework", "-A", "scram-sha-256", f"--pwfile={secret}")
        self._run("initdb", "-D", self._data, *login, "-E", "UTF8", "--locale=C", "--no-sync")

    def url(self, schema: str = "", *, port: int = 0) -> str:
        """Name a store on it."""
        end = f"?schema={schema}" if schema else ""
        return f"postgresql://casework:{PASSWORD}@127.0.0.1:{port or self.port}/postgres{end}"

    def start(self) -> None:
        """Start it and wait until it lets clients in."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [*_as_user(), str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *settings]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port, "-t", int(PATIENCE_SECONDS), retry=True)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT in good order but at once, SIGQUIT and SIGKILL as in a crash."""
        process = self._process
        if process is None:
            return
        self._process = None
        children = _children(process.pid)
        process.send_signal(how)
        process.wait(PATIENCE_SECONDS)
        # A killed parent leaves its workers, which end by themselves once they notice; the data is locked until then.
        for child in children:
            _await_end(child)

    def freeze(self) -> None:
        """Stop all of it where it stands: connections can be made, and nothing is answered."""
        assert self._process is not None, "only a server that runs can be frozen"
        for pid in (self._process.pid, *_children(self._process.pid)):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it stands."""
        assert self._process is not None, "only a server that runs can be thawed"
        for pid in (*_children(self._process.pid), self._process.pid):
            os.kill(pid, signal.SIGCONT)

    def psql(self, statement: str) -> str:
        """Run a statement as its superuser."""
        environment = os.environ | {"PGPASSWORD": PASSWORD, "PGHOST": "127.0.0.1", "PGPORT": str(self.port)}
        command = [self._bin / "psql", "-X", "-q", "-A", "-t", "-U", "casework"]
        done = subprocess.run([*map(str, command), "-d", "postgres", "-c", statement], env=environment, check=True,
                              capture_output=True, text=True, timeout=PATIENCE_SECONDS)  # fmt: skip
        return done.stdout.strip()

    def _run(self, name: str, *arguments: object, retry: bool = False) -> None:
        command = [*_as_user(), str(self._bin / name), *map(str, arguments)]
        for _ in range(200):
            done = subprocess.run(
                command, cwd="/", capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
            )
            if done.returncode == 0:
                return
            if not retry:
                break
            if self._process is not None:
                try:
                    self._process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                break
        log = self._folder / "log"
        raise RuntimeError(f"{name} failed: {done.stderr}\n{log.read_text() if log.exists() else ''}")


@contextmanager
def postgres_server(*, synced: bool = False) -> Iterator[PostgresServer]:
    """Have a server that runs; it and its data are gone afterwards. With `synced` its commits wait for the disk.

    Raises:
        PostgresMissing: its binaries are not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="casework-postgres-"))
    try:
        server = PostgresServer(folder, synced=synced)
        server.start()
        try:
            yield server
        finally:
            # What it would still write down goes away with its folder.
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user() -> list[str]:
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text(encoding="ascii").split()] if listed.exists() else []


def _await_end(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        select.select([handle], [], [], PATIENCE_SECONDS)
    finally:
        os.close(handle)
