"""What production costs over the embedded default: PostgreSQL, Redis and a worker, S3, Prefect and its runner.

    python bench/production.py [--minutes 60]

The same programme is dubbed twice: by `speechmill dub --no-prefect` (SQLite, a folder, in this process), and by a run
of the deployment `dub` from the moment it is asked for until Prefect says that it has ended. Every server runs on this
machine and takes its share of the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from dubbing import dub
from measuring import COMMAND, Row, Run, say, stages, table
from on_queue import postgres, running, until, until_says
from programme import make_film, make_sample, make_scripts

RGW = Path(__file__).parent.parent / "infra" / "rgw.sh"
RGW_BYTES = 12 * 2**30  # an hour leaves about 4 GB
MOST_MORE = 1.15
MOST_MORE_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    minutes = parser.parse_args().minutes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speechmill-production-")))
        folder.chmod(0o755)  # the database server is another user
        film = make_film(make_sample(folder), minutes, folder / f"programme{minutes}.mp4")
        embedded = dub(film, minutes, folder, {**os.environ, "SPEECHMILL_HOME": str(folder / "embedded")})
        say(f"embedded: {embedded.seconds:.1f} s; {stages(embedded)}")
        produced = produce(stack, folder, film, minutes)
        say(f"production: {produced.seconds:.1f} s; {stages(produced)}")
    most_s = embedded.seconds * MOST_MORE + MOST_MORE_S
    what = f"{minutes} min, production stack (embedded: {embedded.seconds:.0f} s)"
    return table([Row(what, produced.seconds, most_s, " s")])


def produce(stack: ExitStack, folder: Path, film: Path, minutes: int) -> Run:
    """Dub by a run of the deployment, with every service beside it."""
    s3 = stack.enter_context(tempfile.TemporaryDirectory(prefix="speechmill-rgw-"))
    started = subprocess.run(
        [RGW, "start", s3, str(os.getpid())],
        env={**os.environ, "RGW_BYTES": str(RGW_BYTES)},
        check=True,
        capture_output=True,
        text=True,
    )
    stack.callback(subprocess.run, [RGW, "stop", s3], check=True)
    (folder / "pg").mkdir()
    database = stack.enter_context(postgres(folder / "pg"))
    socket = folder / "redis.sock"
    stack.enter_context(
        running(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""], folder / "redis.log")
    )
    until("Redis", socket.exists, folder / "redis.log")
    home = folder / "production"
    env = {
        **os.environ,
        **dict(line.split("=", 1) for line in started.stdout.splitlines()),
        "SPEECHMILL_HOME": str(home),
        "SPEECHMILL_DATABASE_URL": database,
        "SPEECHMILL_BROKER_URL": f"unix://{socket}",
        "SPEECHMILL_OBJECTS_URL": "s3://speechmill/artifacts",
        "SPEECHMILL_ENGINE": "rehearsal",
        "SPEECHMILL_SOURCE_ROOTS": str(folder),
    }
    subprocess.run([sys.executable, "-c", MAKE_BUCKET], env=env, check=True)
    subprocess.run([*COMMAND, "migrate"], env=env, check=True)
    log = folder / "up.log"
    stack.enter_context(running([*COMMAND, "up"], log, env))
    until_says("speechmill up", b"everything is up", log)
    script, translation = make_scripts(minutes, folder)
    asked = {
        "source": str(film),
        "targets": ["es"],
        "script": str(script),
        "translations": {"es": str(translation)},
    }
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(asked)], env=env, check=True, capture_output=True, text=True
    )
    seconds = time.monotonic() - began
    job = ran.stdout.split()[-1]
    facts = json.loads(
        subprocess.run([*COMMAND, "job", job, "--json"], env=env, check=True, capture_output=True).stdout
    )
    return Run(seconds, 0.0, {"job": job, "report": str(Path(facts["out"]) / "report.json")})


MAKE_BUCKET = """
import boto3, os
server = boto3.client("s3", endpoint_url=os.environ["SPEECHMILL_S3_ENDPOINT_URL"], region_name="us-east-1")
server.create_bucket(Bucket="speechmill")
"""
RUN = """
import json, os, sys
from flows.prefect_runs import lasting_server, prepare
from speechmill.settings import settings
os.environ["PREFECT_API_URL"] = lasting_server(settings())
prepare(settings())
from prefect.deployments import run_deployment
run = run_deployment("dub/dub", parameters={"request": json.loads(sys.argv[1])}, timeout=3600, poll_interval=1)
assert run.state.is_completed(), run.state
from tasks.workplace import open_catalog
print(open_catalog(settings()).jobs(1)[0].id)
"""


if __name__ == "__main__":
    sys.exit(main())
