"""The lease on a rented machine: whoever stops renewing it loses the machine, in order and with the work saved.

Standard library only, Python 3.8 or newer, because it has to run before anything is installed::

    douse_lease.py check PREFIX METHOD [NAME …]    print as JSON what is missing to end the machine that way
    douse_lease.py settle PREFIX    settings as JSON on stdin; prints "changed" or "unchanged"
    douse_lease.py ensure PREFIX    start it detached unless it runs; prints "started" or "unchanged"
    douse_lease.py run PREFIX       be the daemon, in the foreground
    douse_lease.py word PREFIX TEXT    take the runner's word, start the daemon if it is dead; prints both as JSON
    douse_lease.py status PREFIX    print how it stands, as JSON; exit status 0 when it runs

The runner says ``renew <n>`` or ``hold <n>``, which goes into ``PREFIX/lease/beat``. Any change of that text renews the
lease for ``ttl_s`` seconds; ``hold`` needs no renewal, and lasts until no trainer has run for ``idle_s``. Nothing
passes the hard end. All times are this machine's own clock since boot, suspension included, so that no two clocks ever
have to agree; over a reboot its time of day counts.
What a full disk does not take lies in the machine's memory until it does.
"""

# ruff: noqa: ARG001, S310, S607, UP017 - Python 3.8 has no datetime.UTC; the addresses are the cloud's
from __future__ import annotations

import fcntl
import json
import math
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, Sequence  # noqa: UP035 - as Python 3.8 has it

METHODS = ("none", "shutdown", "api")
SETTINGS = {
    "method": str,
    "api": dict,
    "ttl_s": float,
    "hard_end_s": float,
    "idle_s": float,
    "grace_s": float,
    "upload_timeout_s": float,
    "trainer_stop": list,
    "end_command": list,
}
SETTINGS_COPY = "settings.copy.json"
"""A damaged file must not leave a machine without an end."""
ENDING = "ending.json"
"""Why the lease is over, from before the trainer is stopped: a runner that comes back by then must not take it for its
own doing, or the user's."""
NEVER_S = 1e8
"""For how long a machine is kept without a trainer by the settings of an older release, which knew no such end."""
SAME_END_S = 120.0
"""Two hard ends this close are the same: whoever asks works out the seconds that are left anew each time."""
POLL_S = 1.0
END_WAITS_S = (1, 2, 5, 10, 20, 30, 60)
"""Waits between two tries to end the machine; the last one comes again for ever."""
STILL_HERE_S = 180
"""A machine that is here so long after the request to terminate is asked again, in another way."""
LAST_WORD_S = 300
"""A machine whose shutdown hangs for so long is switched off without it."""
LAST_WORD = (
    "systemd-run --quiet --collect --unit=douse-last-word --property=DefaultDependencies=no "
    f"sh -c 'sleep {LAST_WORD_S}; exec systemctl --force --force poweroff'"
)
"""Not stopped by the shutdown itself, as this daemon is: it outlives whatever does not stop."""
RESTART_LOOKS = 50
"""How often, at ten looks a second, a killed daemon is looked for before it is started by somebody else."""
REST_S = 60.0
MEMORY = Path("/dev/shm")  # noqa: S108 - only a folder of our own in it is used
HTTP_TIMEOUT_S = 30
GONE = (404, 410)
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
"""``${NAME}`` in a request, and ``${NAME:-text}`` for a variable that may be missing."""
NAME, ADDRESS = re.compile(r"[\w-]+"), re.compile(r"https?://[\w.:/-]+")
"""What a variable may hold, one without a default and one with: nothing that changes the meaning of the request."""


class Lease:
    """What the lease decides, with no clock of its own: every call says what time it is."""

    def __init__(
        self, ttl_s: float, hard_end: float, now: float, beat: str | None = None, renewed: float | None = None
    ) -> None:
        """Begin a lease, or go on with one.

        Args:
            ttl_s: How long one renewal lasts, in seconds.
            hard_end: Time that no renewal passes.
            now: The time.
            beat: Last text seen, or ``None``.
            renewed: When it was renewed last; ``None`` means now.
        """
        self.ttl_s = ttl_s
        self.hard_end = hard_end
        self.beat = beat
        self.renewed = now if renewed is None else min(renewed, now)

    def look(self, beat: str | None, now: float) -> None:
        """Take the text in the beat file; ``None`` where there is none."""
        if beat is not None and (beat != self.beat or beat.startswith("hold")):
            self.beat = beat
            self.renewed = now

    def why_over(self, now: float) -> str | None:
        """Return why the lease is over: ``hard_end`` or ``not_renewed``; ``None`` while it lasts."""
        if now >= self.hard_end:
            return "hard_end"
        return "not_renewed" if now - self.renewed >= self.ttl_s else None


class Idleness:
    """How long a machine that was left alone has been without a trainer, with no clock of its own."""

    def __init__(self, keep_s: float, now: float, so_far_s: float | None = None) -> None:
        """Begin to count, or go on.

        Args:
            keep_s: How long the machine is kept like that, in seconds.
            now: The time.
            so_far_s: For how long it was idle at the last look, or ``None`` where it was not.
        """
        self.keep_s = keep_s
        self.since = None if so_far_s is None else now - so_far_s

    def look(self, is_idle: bool, now: float) -> None:
        """Take whether it is idle; a trainer that runs, or a runner's word, begins the count anew."""
        if not is_idle:
            self.since = None
        elif self.since is None:
            self.since = now

    def so_far_s(self, now: float) -> float | None:
        """Return for how long it is idle; ``None`` while it is not."""
        return None if self.since is None else now - self.since

    def why_over(self, now: float) -> str | None:
        """Return ``idle`` once it was idle for so long."""
        return "idle" if self.since is not None and now - self.since >= self.keep_s else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    verbs = {"check": check, "settle": settle, "ensure": ensure, "run": run, "word": word, "status": status}
    if len(words) < 2 or words[0] not in verbs:
        print(__doc__, file=sys.stderr)
        return 2
    os.umask(0o077)
    return verbs[words[0]](Folder(words[1]), *words[2:])


def check(folder: Folder, method: str, *names: str) -> int:
    """Say what is missing to end the machine that way, and whether systemd and root can keep the daemon.

    Args:
        folder: Of the lease.
        method: How the machine ends.
        names: The variables that the requests to the cloud's API need.
    """
    no_root = "" if os.geteuid() == 0 else why_no_root()
    missing = no_root if method == "shutdown" else ""
    if method == "api":
        environment = first_environment()
        absent = [name for name in names if not environment.get(name)]
        missing = f"the machine was started without {', '.join(absent)}" if absent else ""
    has_systemd = Path("/run/systemd/system").is_dir() and not no_root
    print(json.dumps({"missing": missing, "has_systemd": has_systemd}))
    return 0


def why_no_root() -> str:
    """Return why root's word cannot be had without a password; nothing where it can."""
    try:
        done = subprocess.run(["sudo", "-n", "true"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as err:
        return str(err)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"sudo ended with {done.returncode}")


def settle(folder: Folder) -> int:
    """Keep the settings that come on stdin, unless they are those that hold already."""
    wanted = check_settings(json.load(sys.stdin))
    have = read_settings(folder)
    program = " ".join(map(shlex.quote, (sys.executable, str(Path(__file__).absolute()), "word", str(folder.prefix))))
    folder.write_text("say", f'exec {program} "$1"\n')
    if have is not None and folder.read("ended.json") is None and folder.read(ENDING) is None:
        left_s = hard_end_of(have, read_state(folder)) - clock()
        same_end = abs(left_s - wanted["hard_end_s"]) <= SAME_END_S
        if same_end and {**have["wanted"], "hard_end_s": 0} == {**wanted, "hard_end_s": 0}:
            print("unchanged")
            return 0
    for name in ("settings.json", SETTINGS_COPY):
        folder.write(name, {"wanted": wanted, "set_at": clock(), "boot_id": boot_id(), "wall": time.time()})
    for name in ("ended.json", ENDING, "state.json"):
        folder.remove(name)
    print("changed")
    return 0


def check_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, each of its type.

    Raises:
        SystemExit: If one is missing, unknown or senseless.
    """
    if set(given) != set(SETTINGS):
        raise SystemExit("lease: settings must be exactly: " + ", ".join(sorted(SETTINGS)))
    wanted = {name: kind(given[name]) for name, kind in SETTINGS.items()}
    if wanted["method"] not in METHODS:
        raise SystemExit("lease: method is " + wanted["method"] + ", not one of " + ", ".join(METHODS))
    if wanted["method"] == "api" and not (wanted["api"].get("key_variable") and wanted["api"].get("requests")):
        raise SystemExit("lease: method api needs api.key_variable and at least one of api.requests")
    for name in ("ttl_s", "hard_end_s", "idle_s", "grace_s", "upload_timeout_s"):
        if not 0 < wanted[name] < 1e9:
            raise SystemExit("lease: " + name + " must be a positive number of seconds")
    return wanted


def read_settings(folder: Folder) -> dict[str, Any] | None:
    """Return the settings that hold, ``None`` where there are none or both copies are damaged."""
    for name in ("settings.json", SETTINGS_COPY):
        settings = folder.read(name)
        if settings is None:
            continue
        try:
            settings["wanted"].setdefault("idle_s", NEVER_S)
            check_settings(settings["wanted"])
        except (AttributeError, KeyError, TypeError, ValueError, SystemExit) as err:
            say(f"{name} is damaged: {err!r}")
            continue
        settings.setdefault("wall", time.time())  # those of an older release have neither
        if are_numbers(settings, "set_at", "wall"):
            return settings
    return None


def read_state(folder: Folder) -> dict[str, Any] | None:
    """Return how the lease stood at the last look, ``None`` where that is unknown."""
    state = folder.read("state.json")
    if state is None:
        return None
    state = {"at": clock(), "wall": time.time(), **state}  # that of an older release has neither
    numbers = ["renewed", "left_s", "at", "wall", *([] if state.get("idle_s") is None else ["idle_s"])]
    return state if are_numbers(state, *numbers) and isinstance(state.get("beat"), (str, type(None))) else None


def are_numbers(values: dict[str, Any], *names: str) -> bool:
    """Return whether these values can be reckoned with: a damaged one must not keep a machine for ever."""
    found = [values.get(name) for name in names]
    return all(isinstance(value, (int, float)) and math.isfinite(value) for value in found)


def hard_end_of(settings: dict[str, Any], state: dict[str, Any] | None) -> float:
    """Return the hard end in this boot's clock, to which no reboot adds anything.

    Within the boot in which it was set nothing else counts, whatever is done to the time of day. After a reboot it is
    what was left at the last look, less what has passed since.
    """
    wanted_s = settings["wanted"]["hard_end_s"]
    if settings.get("boot_id") == boot_id():
        return settings["set_at"] + wanted_s
    if state is None:
        return clock() + wanted_s - passed_s(settings)
    return clock() + state["left_s"] - passed_s(state)


def passed_s(seen: dict[str, Any]) -> float:
    """Return the seconds since something was written down: by this boot's clock, over a reboot by the time of day.

    A time of day that has gone back over a reboot proves nothing, and counts as no time. One that was set forward
    cannot be distinguished from a machine that was off: it counts, because the earlier end is the cheaper mistake.
    """
    if seen.get("boot_id") == boot_id():
        return max(0.0, clock() - seen["at"])
    return max(0.0, time.time() - seen["wall"])


def renewed_at(settings: dict[str, Any], state: dict[str, Any] | None) -> float | None:
    """Return when the lease was renewed last, in this boot's clock; ``None`` where nobody knows: a whole term begins.

    A daemon that was restarted renews nothing, and neither does a reboot.
    """
    if state is None:
        return None
    renewed = state["renewed"]
    if state.get("boot_id") != boot_id():
        renewed = clock() - passed_s(state) - (state["at"] - state["renewed"])
    return max(renewed, settings["set_at"]) if settings.get("boot_id") == boot_id() else renewed


def ensure(folder: Folder, order: str = "") -> int:
    """Start the daemon in a session of its own unless it runs; with ``restart`` a running one is replaced."""
    if running_pid(folder) is not None:
        if order != "restart":
            print("unchanged")
            return 0
        end_daemon(folder)
    if start(folder):
        print("started")
        return 0
    print(f"lease: the daemon did not start; see {folder.path('lease.log')}", file=sys.stderr)
    return 1


def start(folder: Folder) -> bool:
    """Start the daemon in a session of its own. Returns whether it runs."""
    with open_log(folder) as log:
        child = subprocess.Popen(
            [sys.executable, str(Path(__file__).absolute()), "run", str(folder.prefix)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True, cwd="/",
        )  # fmt: skip
    for _ in range(100):
        if running_pid(folder) is not None:
            child.returncode = 0  # it is nobody's child from here on
            return True
        if child.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def open_log(folder: Folder) -> IO[bytes]:
    """Open the daemon's log; where it cannot be had, what the daemon says is lost, and no more."""
    try:
        return folder.path("lease.log").open("ab")
    except OSError:
        return open(os.devnull, "ab")  # noqa: PTH123 - the same for both


def word(folder: Folder, text: str) -> int:
    """Take the runner's word, and see to it that somebody listens.

    Prints whether the daemon was running (null: it never has, its role is at work), whether it runs now, whether
    the word could be written, and why the lease is over (null while it lasts): then the word comes too late.
    """
    written = folder.write_text("beat", text.strip()[:200] + "\n")
    was_running = is_running_soon(folder) if folder.path("pid").exists() else None
    runs = was_running is True or (was_running is False and start(folder))
    print(json.dumps({"was_running": was_running, "runs": runs, "written": written, "over": why_ending(folder)}))
    return 0


def is_running_soon(folder: Folder) -> bool:
    """Return whether the daemon runs; systemd, or the role that has new settings, gets the time to start it again."""
    for _ in range(RESTART_LOOKS):
        if running_pid(folder) is not None:
            return True
        time.sleep(0.1)
    return False


def end_daemon(folder: Folder) -> None:
    """End a running daemon and wait until it is gone."""
    pid = running_pid(folder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid is not None:
            os.kill(pid, number)
        for _ in range(50):
            if running_pid(folder) is None:
                return
            time.sleep(0.1)


def running_pid(folder: Folder) -> int | None:
    """Return the daemon's process number while it holds its lock, else ``None``."""
    try:
        with folder.path("pid").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return int(file.read().strip() or 0) or None
    except (OSError, ValueError):
        return None
    return None


def status(folder: Folder) -> int:
    """Print how the lease stands."""
    settings, state = read_settings(folder), folder.read("state.json")
    pid = running_pid(folder)
    ended = folder.read("ended.json")
    print(json.dumps({"running": pid is not None, "pid": pid, "settings": settings, "state": state, "ended": ended}))
    return 0 if pid is not None else 1


def run(folder: Folder) -> int:
    """Be the daemon: wait for the end of the lease, then stop the trainer, upload, and end the machine."""
    with os.fdopen(os.open(folder.path("pid"), os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
        if not hold(lock):
            say("another daemon holds the lease already")
            return 0
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        spare_me()
        while True:
            try:
                return keep(folder)
            except Exception as err:  # noqa: BLE001 - whatever it is, the machine must not bill on for ever
                say(f"{type(err).__name__}: {err}; going on")
                time.sleep(POLL_S)


def hold(lock: IO[bytes]) -> bool:
    """Take the daemon's lock and write down who holds it; whoever only looks has it for a moment."""
    for _ in range(40):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)
            continue
        text = str(os.getpid()).encode()
        try:
            os.pwrite(lock.fileno(), text, 0)  # in place: a full disk takes no more, but keeps what it has
            os.ftruncate(lock.fileno(), len(text))
        except OSError as err:
            say(f"cannot write pid: {err}")
        return True
    return False


def spare_me() -> None:
    """Ask the kernel to kill others first when memory runs out; only root is heard."""
    try:
        Path("/proc/self/oom_score_adj").write_text("-900")
    except OSError:
        return


def keep(folder: Folder) -> int:
    """Keep the lease in the settings until it is over, then end the machine."""
    settings = read_settings(folder)
    if settings is None:
        say("there are no settings")
        return 2
    wanted = settings["wanted"]
    ended = folder.read("ended.json")
    if ended is None:
        ended = wait_and_save(folder, settings)
    else:
        say("the lease ended before (" + ended["reason"] + "); the machine is still here")
    return end_machine(wanted, ended)


def wait_and_save(folder: Folder, settings: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of the lease, then save what can be saved. Returns what was written down about it."""
    wanted = settings["wanted"]
    # Where it was over before, a runner may have heard of it, and no word renews it any more.
    reason = why_ending(folder) or wait(folder, settings)
    say("the lease is over: " + reason + "; stopping the trainer")
    folder.write(ENDING, {"reason": reason})
    ended = {
        "reason": reason,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "beat": folder.read_beat(),
        "method": wanted["method"],
        "trainer_stop": call(wanted["trainer_stop"], wanted["grace_s"] + 60),
        "upload": upload(folder, wanted),
    }
    folder.write("ended.json", ended)
    return ended


def why_ending(folder: Folder) -> str | None:
    """Return why the lease is over; ``None`` while it lasts."""
    reason = (folder.read(ENDING) or {}).get("reason")
    return reason if isinstance(reason, str) else None


def wait(folder: Folder, settings: dict[str, Any]) -> str:
    """Watch the beat until the lease is over and return why."""
    state, now = read_state(folder), clock()
    hard_end = hard_end_of(settings, state)
    beat = None if state is None else state.get("beat")
    lease = Lease(settings["wanted"]["ttl_s"], hard_end, now, beat, renewed_at(settings, state))
    idle = Idleness(settings["wanted"]["idle_s"], now, (state or {}).get("idle_s"))
    say(f"the lease runs: {hard_end - now:.0f} s until the hard end")
    while True:
        now = clock()
        lease.look(folder.read_beat(), now)
        idle.look((lease.beat or "").startswith("hold") and not trainer_runs(folder), now)
        reason = lease.why_over(now) or idle.why_over(now)
        left = {"left_s": hard_end - now, "at": now, "wall": time.time(), "boot_id": boot_id()}
        spent = {"renewed": lease.renewed, "idle_s": idle.so_far_s(now)}
        folder.write("state.json", {"beat": lease.beat, **spent, **left})
        if reason is not None:
            return reason
        time.sleep(min(POLL_S, max(hard_end - now, 0.01)))


def trainer_runs(folder: Folder) -> bool:
    """Return whether a trainer runs, by what its supervisor has written down; one that cannot be read may run."""
    output = folder.prefix / "output"
    try:
        if (output / "exit.json").exists():
            return False
        who = json.loads((output / "supervisor.json").read_bytes())
        return any(works_on(output, int(who[role])) for role in ("supervisor_pid", "trainer_pid"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, LookupError, TypeError):
        return True


def works_on(output: Path, pid: int) -> bool:
    """Return whether a process lives and was started for this folder: its number may be another one's by now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(os.fsencode(str(name)) in words for name in (output, output.resolve()))


def call(argv: Sequence[str], timeout_s: float) -> int | str | None:
    """Run a program that may be missing, with all it says in our log. Returns how it ended, in words or as a number."""
    if not argv:
        return None
    if not Path(argv[0]).exists():
        return "not there"
    own = {"PYTHONSAFEPATH": "1", "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False, env={**os.environ, **own}
        ).returncode
    except subprocess.TimeoutExpired:
        say(f"{' '.join(argv[:5])} took over {timeout_s:.0f} s and was killed")
        return "timeout"
    except OSError as err:
        say(f"{argv[0]}: {err}")
        return str(err)


def upload(folder: Folder, wanted: dict[str, Any]) -> int | str | None:
    """Bring the work into the store, where ``upload.json`` says which."""
    order = folder.read("upload.json")
    if order is None:
        return None
    argv = [str(folder.prefix / "venv" / "bin" / "python"), "-m", "trainer", "sync", "push"]
    for key, option in (
        ("folder", "--folder"),
        ("url", "--url"),
        ("endpoint_url", "--endpoint-url"),
        ("environment_file", "--environment-file"),
        ("ca_file", "--ca-file"),
        ("own_rights", "--own-rights"),
        ("rclone", "--rclone"),
    ):
        argv += [option, str(order[key])] if order.get(key) else []
    say("uploading to " + str(order.get("url")))
    return call(argv, wanted["upload_timeout_s"])


def end_machine(wanted: dict[str, Any], ended: dict[str, Any]) -> int:
    """End the machine, however long that takes; returns only when a given program has done it.

    Where it cannot end itself, the daemon stays and does nothing, for whoever looks whether it runs.
    """
    method = wanted["method"]
    if method == "none" and not wanted["end_command"]:
        say("the trainer is stopped (" + ended["reason"] + "); this machine cannot shut itself down AND KEEPS BILLING")
        while True:
            time.sleep(REST_S)
    number = 0
    while True:
        if wanted["end_command"]:
            done = call(wanted["end_command"], 300) == 0
        else:
            done = ask_cloud(wanted["api"], number) if method == "api" else shut_down(number)
        if done and wanted["end_command"]:
            return 0
        wait_s = STILL_HERE_S if done else END_WAITS_S[min(number, len(END_WAITS_S) - 1)]
        number += 1
        if done:
            say("the machine was asked to shut down")
        else:
            say(f"THIS MACHINE KEEPS BILLING: try {number} to end it did not work, again in {wait_s} s (or: make down)")
        time.sleep(wait_s)  # a machine that ends, ends this process as well


def shut_down(number: int) -> bool:
    """Power off, with a stronger word each time; the cloud turns that into a termination."""
    ways = (["systemctl", "poweroff"], ["shutdown", "-h", "now"], ["poweroff", "-f"])
    as_root(shlex.split(LAST_WORD))  # refused where it waits already, or where there is no systemd
    return as_root(ways[number % len(ways)])


def as_root(argv: list[str]) -> bool:
    """Run a program with root's rights. Returns whether it did what it should."""
    if os.geteuid() != 0:
        argv = ["sudo", "-n", *argv]
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=120, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as err:
        say(f"{' '.join(argv)}: {err}")
        return False


def ask_cloud(api: dict[str, Any], number: int) -> bool:
    """Ask the cloud to terminate this machine, with the key that it gave to it; each try another way."""
    environment = first_environment()
    key = environment.get(api["key_variable"])
    if not key:
        say(api["key_variable"] + " is missing")
        return False
    request = api["requests"][number % len(api["requests"])]
    try:
        url = filled(request["url"], environment)
        body = None if request.get("body") is None else filled(json.dumps(request["body"]), environment)
    except LookupError as err:
        say(f"{request['method']} {request['url']}: {err.args[0]}")
        return False
    return ask(request["method"], url, body, key)


def filled(text: str, environment: dict[str, str]) -> str:
    """Return a request's text with the variables' values in it.

    Raises:
        LookupError: If one is missing, or its value would change the meaning of the request.
    """

    def value(match: re.Match[str]) -> str:
        found = environment.get(match[1]) or match[2]
        if not found:
            raise LookupError(match[1] + " is missing")
        if not (NAME if match[2] is None else ADDRESS).fullmatch(found):
            raise LookupError(match[1] + " is not a plain name or address")
        return found

    return VARIABLE.sub(value, text)


def first_environment() -> dict[str, str]:
    """Return the variables the machine was started with: a session over SSH does not inherit them."""
    found = {}
    try:
        raw = Path("/proc/1/environ").read_bytes()
        found = dict(item.split("=", 1) for item in raw.decode(errors="replace").split("\0") if "=" in item)
    except OSError:
        pass  # what is missing is reported by whoever needs it
    return {**found, **os.environ}


def ask(method: str, url: str, body: str | None, key: str) -> bool:
    """Send one request. Returns whether the cloud said yes, or that there is nothing to end."""
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Authorization": "Bearer " + key})
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
            text = answer.read(4096).decode(errors="replace")
            failed = '"errors"' in text  # GraphQL says no with status 200
            say(f"{method} {url}: {answer.status}{' ' + text[:300] if failed else ''}")
            return not failed
    except urllib.error.HTTPError as err:
        say(f"{method} {url}: {err.code}")
        return err.code in GONE
    except OSError as err:
        say(f"{method} {url}: {err}")
        return False


def clock() -> float:
    """Return seconds since boot, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def boot_id() -> str:
    """Return the identity of this boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def say(text: str) -> None:
    """Write one line into the log, with the time for people."""
    try:
        print(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} lease: {text}", flush=True)
    except OSError:
        return  # a full disk must not keep the lease from ending


class Folder:
    """The lease's folder below the run's prefix, and the one in memory for what its disk does not take."""

    def __init__(self, prefix: str) -> None:
        """Name it; make it if it is not there."""
        self.prefix = Path(prefix).absolute()
        self.spare = MEMORY / f"douse-lease-{os.geteuid()}-{self.prefix.name}"
        self.path("").mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return the path of one of its files."""
        return self.prefix / "lease" / name

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a file's mapping, or ``None`` if it is missing or broken."""
        try:
            value = json.loads(self.read_text(name))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def read_beat(self) -> str | None:
        """Return the text of the newest beat, or ``None``: an older runner knows the disk alone."""
        places = [self.path("beat"), *([self.spare / "beat"] if self.has_spare() else [])]
        found = []
        for place in places:
            try:
                found.append((place.stat().st_mtime_ns, place.read_text(errors="replace").strip()[:200]))
            except OSError:
                continue
        return max(found)[1] if found else None

    def read_text(self, name: str) -> str:
        """Return a file's text. One in memory is newer than the one on the disk.

        Raises:
            OSError: If there is none.
        """
        if self.has_spare():
            try:
                return (self.spare / name).read_text(errors="replace")
            except OSError:
                pass  # the disk has taken it
        return self.path(name).read_text(errors="replace")

    def has_spare(self) -> bool:
        """Return whether there is a folder in memory that nobody else has made."""
        try:
            found = os.lstat(self.spare)
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Write a file whole or not at all; a full disk is only remarked on."""
        self.write_text(name, json.dumps(value, indent=1))

    def write_text(self, name: str, text: str) -> bool:
        """Write a file, into memory where the disk does not take it. Returns whether it is somewhere."""
        part = self.path("." + name + ".part")
        try:
            with part.open("w") as file:
                file.write(text)
                file.flush()
                if name != "state.json":
                    os.fsync(file.fileno())
            part.replace(self.path(name))
        except OSError as err:
            say(f"cannot write {name}: {err}")
            return self.write_spare(name, text)
        if self.has_spare():
            self.remove_at(self.spare / name)
        return True

    def write_spare(self, name: str, text: str) -> bool:
        """Write a file into memory. Returns whether that could be done."""
        part = self.spare / ("." + name + ".part")
        try:
            self.spare.mkdir(mode=0o700, exist_ok=True)
            if not self.has_spare():
                return False
            part.write_text(text)
            part.replace(self.spare / name)
        except OSError as err:
            say(f"cannot write {name} into memory: {err}")
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file; none there is fine."""
        if self.has_spare():
            self.remove_at(self.spare / name)
        self.remove_at(self.path(name))

    def remove_at(self, path: Path) -> None:
        """Remove a file at a path; none there is fine."""
        try:
            path.unlink()
        except FileNotFoundError:
            return


if __name__ == "__main__":
    sys.exit(main())
