"""The real plugin process, installed from the mirror: offline, under Ctrl-C as a terminal sends it, without secrets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.provider.mirror import cli_config, environment, write_mirror
from runner.world import RealWorld
from tests.unit.runner.conftest import WAIT_S, wait_until
from tests.unit.runner.provider.conftest import Module, instance, pod, told
from tests.unit.runner.provider.fake_clouds import LAMBDA_KEY, RUNPOD_KEY, Clouds, FakeLambda

USER_DATA = "#cloud-config\n# the-private-half-of-the-host-key\nruncmd: []\n"
BOX_SECRET = "the-secret-token-of-the-box"
VARIABLES = """
variable "user_data" {
  type = string
  sensitive = true
  ephemeral = true
}
variable "token" {
  type = string
  sensitive = true
  ephemeral = true
}
"""


@pytest.fixture
def installed(clouds: Clouds, terraform: str, tmp_path: Path) -> Module:
    """A root module whose provider is a process of its own."""
    root, config = tmp_path / "root", tmp_path / "terraform.rc"
    root.mkdir()
    config.write_text(cli_config(write_mirror(RealWorld(), tmp_path / "mirror")))
    environ = {
        **clouds.environ,
        **environment(os.environ),
        "TF_CLI_CONFIG_FILE": str(config),
        "CHECKPOINT_DISABLE": "1",
    }
    return Module(root, terraform, environ)


class Running:
    """Terraform in a process group of its own, as a shell starts it."""

    def __init__(self, module: Module, *words: str) -> None:
        self.output = module.folder.parent / f"{words[0]}.txt"
        with self.output.open("w") as output:
            self.child = subprocess.Popen(
                [module.program, *words, "-no-color", "-auto-approve"],
                cwd=module.folder,
                env={**os.environ, **module.environ},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ctrl_c(self) -> None:
        os.killpg(self.child.pid, signal.SIGINT)
        wait_until(lambda: "Interrupt received" in self.output.read_text())

    def words(self) -> str:
        self.child.wait(WAIT_S)
        return told(subprocess.CompletedProcess([], 0, self.output.read_text(), ""))


@pytest.fixture
def started(installed: Module) -> Iterator[Callable[..., Running]]:
    children: list[Running] = []

    def start(*words: str) -> Running:
        children.append(Running(installed, *words))
        return children[-1]

    yield start
    for running in children:
        if running.child.poll() is None:
            os.killpg(running.child.pid, signal.SIGKILL)
        running.child.wait(WAIT_S)


def held(cloud: FakeLambda) -> threading.Event:
    """Let the cloud hold back its answer to a launch until the event is set."""
    cloud.hold = threading.Event()
    return cloud.hold


def test_init_works_without_a_network_and_a_machine_comes_and_goes(installed: Module, clouds: Clouds) -> None:
    installed.write(instance())

    installed.done("init")
    installed.done("validate")
    assert installed.apply().returncode == 0
    assert installed.plan() == 0
    assert installed.destroy().returncode == 0
    assert clouds.on_lambda.machines == {}


def test_the_lock_file_of_a_clone_fits_the_mirror_of_another_machine(installed: Module, tmp_path: Path) -> None:
    installed.write(instance())
    installed.done("init")
    lock = (installed.folder / ".terraform.lock.hcl").read_text()
    other = tmp_path / "elsewhere" / "root"
    other.mkdir(parents=True)
    config = other.parent / "rc"
    config.write_text(cli_config(write_mirror(RealWorld(), other.parent / "mirror of another")))
    clone = Module(other, installed.program, {**installed.environ, "TF_CLI_CONFIG_FILE": str(config)})
    clone.write(instance())
    (other / ".terraform.lock.hcl").write_text(lock)

    clone.done("init", "-lockfile=readonly")

    assert (other / ".terraform.lock.hcl").read_text() == lock


def test_ctrl_c_during_the_launch_keeps_the_machine_in_the_state(
    installed: Module, clouds: Clouds, started: Callable[..., Running]
) -> None:
    hold = held(clouds.on_lambda)
    installed.write(instance()).done("init")

    applying = started("apply")
    assert clouds.on_lambda.reached.wait(WAIT_S)
    applying.ctrl_c()
    hold.set()

    assert "exists and bills; it is kept in the state as tainted" in applying.words()
    assert installed.only()["status"] == "tainted"
    assert [installed.only()["attributes"]["id"]] == clouds.on_lambda.billing()
    assert installed.destroy().returncode == 0
    assert clouds.on_lambda.machines == {}


def test_ctrl_c_during_the_wait_keeps_the_machine_in_the_state(
    installed: Module, clouds: Clouds, started: Callable[..., Running]
) -> None:
    clouds.on_lambda.looks_to_boot = 10**6
    installed.write(instance()).done("init")

    applying = started("apply")
    wait_until(lambda: clouds.on_lambda.count_of("GET /instances/[0-9a-f]+") >= 2)
    applying.ctrl_c()

    assert "exists and bills" in applying.words()  # within the four minutes that it is given, of 25 until it gives up
    assert installed.only()["status"] == "tainted"
    assert [installed.only()["attributes"]["id"]] == clouds.on_lambda.billing()


def test_ctrl_c_during_destroy_keeps_the_machine_in_the_state(
    installed: Module, clouds: Clouds, started: Callable[..., Running]
) -> None:
    installed.write(instance()).done("init")
    assert installed.apply().returncode == 0
    clouds.on_lambda.looks_to_end = 10**6

    destroying = started("destroy")
    wait_until(lambda: clouds.on_lambda.count_of("POST /instance-operations/terminate") == 1)
    destroying.ctrl_c()

    assert "was asked to terminate; it was not seen to be gone" in destroying.words()
    assert len(installed.resources()) == 1


def test_terraform_killed_while_a_machine_boots_leaves_no_machine(
    installed: Module, clouds: Clouds, started: Callable[..., Running]
) -> None:
    clouds.on_lambda.looks_to_boot = 10**6
    installed.write(instance()).done("init")

    applying = started("apply")
    wait_until(lambda: clouds.on_lambda.count_of("GET /instances/[0-9a-f]+") >= 1)
    os.kill(applying.child.pid, signal.SIGKILL)

    wait_until(lambda: not clouds.on_lambda.machines)
    assert installed.resources() == []


def test_secrets_are_neither_in_the_state_nor_in_the_plan_nor_in_any_log(installed: Module, clouds: Clouds) -> None:
    installed.write(
        VARIABLES, instance(extra="user_data_wo = var.user_data"), pod(extra="env_wo = { TOKEN = var.token }")
    )
    installed.environ |= {"TF_VAR_user_data": USER_DATA, "TF_VAR_token": BOX_SECRET}
    installed.environ |= {"TF_LOG": "TRACE", "TF_LOG_PATH": str(installed.folder / "trace.log")}
    installed.done("init")

    planned = installed.done("plan", "-out=tfplan")
    applied = installed.done("apply", "tfplan")
    shown = installed.done("show", "-json", "tfplan") + installed.done("show", "-json")
    destroyed = installed.done("destroy", "-auto-approve")

    (launched,) = clouds.on_lambda.bodies("POST /instance-operations/launch")
    (rented,) = clouds.on_runpod.bodies("POST /v2/pods")
    assert launched["user_data"] == USER_DATA
    assert rented["env"]["TOKEN"] == BOX_SECRET
    files = [path for path in installed.folder.rglob("*") if path.is_file()]
    assert {"terraform.tfstate", "terraform.tfstate.backup", "tfplan", "trace.log"} <= {path.name for path in files}
    found = [path.read_bytes() for path in files] + [(planned + applied + shown + destroyed).encode()]
    found.append(unzipped(installed.folder / "tfplan"))
    for secret in ("the-private-half-of-the-host-key", BOX_SECRET, LAMBDA_KEY, RUNPOD_KEY):
        assert not [content[:80] for content in found if secret.encode() in content]


def test_a_cloud_that_echoes_what_was_sent_does_not_bring_a_secret_to_light(installed: Module, clouds: Clouds) -> None:
    serve = clouds.on_lambda.serve

    def echo(method: str, path: str, auth: str | None, body: dict[str, str]) -> tuple[int, object]:
        if path == "/instance-operations/launch":
            message = f"Invalid user_data {body['user_data']} for {auth}"
            return 400, {"error": {"code": "global/invalid-parameters", "message": message}}
        return serve(method, path, auth, body)

    clouds.on_lambda.serve = echo  # type: ignore[assignment, method-assign]
    installed.write(VARIABLES, instance(extra="user_data_wo = var.user_data")).done("init")
    installed.environ |= {"TF_VAR_user_data": USER_DATA, "TF_VAR_token": BOX_SECRET}

    words = told(installed.apply())

    assert "(secret)" in words
    assert "the-private-half-of-the-host-key" not in words
    assert LAMBDA_KEY not in words


@pytest.mark.parametrize("name", ["runner.provider", "runner.clouds"])
def test_started_by_a_person_it_says_what_it_is(name: str) -> None:
    environ = {**os.environ, **environment(os.environ)}
    environ.pop("TF_PLUGIN_MAGIC_COOKIE", None)

    done = subprocess.run([sys.executable, "-P", "-m", name], env=environ, capture_output=True, text=True, timeout=240)

    assert done.returncode == 2
    assert "Terraform, which starts it by itself" in done.stderr


def test_without_its_variable_the_shim_says_what_is_missing(installed: Module) -> None:
    installed.write(instance()).done("init")
    del installed.environ["DOUSE_PYTHON"]

    validated = installed.run("validate", TF_LOG="DEBUG")

    assert validated.returncode == 1
    assert re.search(r"DOUSE_PYTHON: is not set: see infra/README.md", validated.stderr)


def unzipped(path: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())
