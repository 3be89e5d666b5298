"""What other people's programs may not do: run for ever, take all memory, fill the disk, or call anybody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_worker.engines.offline.apertium import Apertium
from speechmill import programs
from speechmill.abilities import Phrase
from speechmill.errors import Cancelled, DiskFull, MissingTool, ToolFailed, Unavailable
from speechmill.programs import Limits
from tasks.media import ffmpeg
from tasks.sound import encoding
from tasks.sound.encoding import Encoding, Frames, write_aac_part
from tasks.sound.layouts import of_count

CALL = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"


def gone(pid: int) -> bool:
    """Whether a process has ended, waiting a little for it."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def no_empty_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that gives nobody an empty network, as most containers."""
    monkeypatch.setattr(programs, "EMPTY_NETWORK", ())
    programs.without_network.cache_clear()
    yield
    programs.without_network.cache_clear()


@pytest.mark.usefixtures("no_empty_network")
def test_where_there_is_no_empty_network_no_program_makes_a_socket() -> None:
    assert programs.without_network()[-1] == programs.SECRETS
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = [sys.executable, "-c", CALL, str(server.getsockname()[1])]
        assert programs.run(call, limits=Limits(network=True)).returncode == 0
        with pytest.raises(ToolFailed, match="Permission denied"):
            programs.run(call)
        below = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)"
        with pytest.raises(ToolFailed, match="Permission denied"):
            programs.run([sys.executable, "-c", below, *call[1:]])


@pytest.mark.usefixtures("no_empty_network")
def test_where_there_is_no_empty_network_programs_work_as_ever(tmp_path: Path) -> None:
    made = tmp_path / "a.wav"
    programs.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=0.1", f"file:{made}"])
    assert ffmpeg.probe(made)["streams"][0]["codec_type"] == "audio"
    assert Apertium().translate([Phrase("1", "The house is big.")], "en", "es", {})["1"].text == "La casa es grande."
    copied = ["dd", "if=/dev/zero", f"of={tmp_path}/b", "bs=64k", "count=100"]
    with pytest.raises(DiskFull):
        programs.run(copied, limits=Limits(file_bytes=1 << 20))


def test_secrets_that_are_mounted_cannot_be_opened_by_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything beside them can, and other processes can be neither looked into nor ended."""
    secrets = tmp_path / "run/secrets"
    secrets.mkdir(parents=True)
    (secrets / "database_url").write_text("postgresql://mill:horse@db/mill")
    (tmp_path / "run/film").write_text("film")
    confined = (*programs.CONFINED[0][:-1], str(secrets))
    monkeypatch.setattr(programs, "CONFINED", (confined,))
    monkeypatch.setattr(programs, "SECRETS", str(secrets))
    programs.without_network.cache_clear()
    try:
        assert programs.run(["cat", str(tmp_path / "run/film")]).stdout == b"film"
        for forbidden in (["cat", str(secrets / "database_url")], ["ls", str(secrets)], ["kill", str(os.getpid())]):
            with pytest.raises(ToolFailed, match=r"Permission denied|not permitted"):
                programs.run(forbidden)
        with pytest.raises(ToolFailed, match="Permission denied"):
            programs.run(["readlink", "-v", f"/proc/{os.getpid()}/root"])
    finally:
        programs.without_network.cache_clear()


def test_no_program_reaches_the_network() -> None:
    if not programs.without_network():
        pytest.skip("this machine takes the network from nobody")
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = [sys.executable, "-c", CALL, str(server.getsockname()[1])]
        assert programs.run(call, limits=Limits(network=True)).returncode == 0
        with pytest.raises(ToolFailed, match=r"unreachable|Permission denied"):
            programs.run(call)


def test_programs_are_not_told_what_gives_access_to_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """ffmpeg reads strangers' files; what it is told by its environment, whoever takes it over is told."""
    for name in ("AWS_SECRET_ACCESS_KEY", "SPEECHMILL_DATABASE_URL", "PREFECT_API_AUTH_STRING", "ANY_OTHERS_TOKEN"):
        monkeypatch.setenv(name, f"{name}-planted")
    monkeypatch.setenv("LC_CTYPE", "C.UTF-8")
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    told = programs.run(["env"], environment={"OMP_NUM_THREADS": "1"}).stdout.decode()
    assert "planted" not in told
    assert {"LC_CTYPE=C.UTF-8", "TMPDIR=/var/tmp", "OMP_NUM_THREADS=1", f"PATH={os.environ['PATH']}"} <= set(
        told.splitlines()
    )


def test_a_program_and_its_children_end_at_the_deadline(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/child; exec sleep 1000"
    with pytest.raises(ToolFailed, match="did not end within 1 s"):
        programs.run(["sh", "-c", script], limits=Limits(wall_s=0.7))
    assert gone(int((tmp_path / "child").read_text()))


def test_after_work_that_was_stopped_programs_start_again() -> None:
    with programs.stoppable():
        with programs.stoppable():
            programs.stop_all()
        with pytest.raises(Cancelled):
            programs.run(["true"])  # the work around it is stopped as well
    assert programs.run(["true"]).returncode == 0


def test_memory_has_an_end() -> None:
    hungry = [sys.executable, "-c", "bytearray(1 << 30)"]
    assert programs.run(hungry).returncode == 0
    with pytest.raises(ToolFailed, match="MemoryError"):
        programs.run(hungry, limits=Limits(memory_bytes=512 << 20))


def test_a_file_has_an_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DiskFull):
        programs.run(["dd", "if=/dev/zero", f"of={out}", "bs=64k", "count=100"], limits=Limits(file_bytes=1 << 20))
    assert out.stat().st_size == 1 << 20


def test_processor_time_has_an_end() -> None:
    with pytest.raises(ToolFailed, match="more processor time than it may"):
        programs.run(["sh", "-c", "while :; do :; done"], limits=Limits(wall_s=60, cpu_s=1))


def test_a_program_that_is_not_there_is_named_and_not_the_launcher() -> None:
    with pytest.raises(MissingTool, match="no-such-program"):
        programs.run(["no-such-program"])


def test_a_launcher_that_fails_is_not_taken_for_a_bad_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is out of network namespaces says “No space left on device”; neither the disk nor the film is at
    fault."""
    film = tmp_path / "talk.wav"
    film.write_bytes(b"")
    monkeypatch.setattr(programs, "without_network", lambda: (programs.find("unshare"), "--no-such-option"))
    with pytest.raises(Unavailable, match="could not be started") as caught:
        ffmpeg.probe(film)
    assert not isinstance(caught.value, ToolFailed | DiskFull)


def test_an_encoder_that_hangs_while_it_is_fed_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by SIGSTOP it reads nothing, so its feeder waits in ``write``, where no timeout of its own can end it."""
    started: list[subprocess.Popen[bytes]] = []
    start = programs.start

    def stopped(*args: object, **options: object) -> subprocess.Popen[bytes]:
        process = start(*args, **options)  # type: ignore[arg-type]
        os.kill(process.pid, signal.SIGSTOP)
        started.append(process)
        return process

    monkeypatch.setattr(programs, "start", stopped)
    monkeypatch.setattr(programs, "TERMINATE_GRACE_S", 0.2)
    monkeypatch.setattr(encoding.ffmpeg, "lasting", lambda _: Limits(wall_s=1.0))
    seconds = 20 * 48_000
    frames = Frames.of(0, seconds, seconds)
    blocks = iter([np.zeros((seconds, 2), np.float32)])
    aac = Encoding(codec="aac", bitrate_kbps_per_channel=96)
    with pytest.raises(ToolFailed, match="ffmpeg did not end within 1 s"):
        write_aac_part(blocks, of_count(2), aac, frames, tmp_path / "part")
    assert gone(started[0].pid)


def test_a_run_writes_where_its_result_is(tmp_path: Path) -> None:
    """The working folder of a run is the job's scratch, not the user's."""
    made = tmp_path / "in.wav"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=0.1", str(made)], check=True)
    node = ffmpeg.source(made)["a:0"].filter("ametadata", mode="add", key="k", value="v")
    node = node.filter("ametadata", mode="print", file="seen.txt")
    folder = tmp_path / "scratch"
    folder.mkdir()
    ffmpeg.execute(ffmpeg.joined([node], folder / "out.wav"))
    assert (folder / "seen.txt").exists()
