"""The whole preflight: what asks somebody is asked at once, what is looked at here is looked at meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from runner.adapters.secrets import HUB_TOKEN, hub_secrets
from runner.clouds.environments import find_environment
from runner.clouds.registry import CLOUDS, open_cloud
from runner.errors import CloudError, TransferError
from runner.planning.checks import hub
from runner.planning.checks.account import (
    BALANCE,
    BILLING,
    KEY,
    OpenCloud,
    Reach,
    check_account,
    check_billing,
    reported_once,
)
from runner.planning.checks.asking import PATIENCE_S, NoAnswerError, Question, lines_of
from runner.planning.checks.base_model import (
    TEMPLATE,
    BaseModel,
    Remark,
    local_files,
    look_at,
    unseen,
    without_files,
)
from runner.planning.checks.data_files import DataFiles
from runner.planning.checks.ends import check_end
from runner.planning.checks.given_machine import LOGIN, Seen, check_given, look
from runner.planning.checks.given_machine import PATIENCE_S as PATIENCE_THERE_S
from runner.planning.checks.gpus import check_here
from runner.planning.checks.hub_token import check_address, check_strangers
from runner.planning.checks.line import Check, failed, from_error, not_asked, passed, skipped
from runner.planning.checks.reading import check_boot_lease
from runner.planning.checks.recipe import check_recipe
from runner.planning.checks.samples import check_samples, check_template, check_tokens
from runner.planning.checks.this_machine import (
    TERRAFORM,
    check_ansible,
    check_disks,
    check_environment,
    check_guard,
    check_terraform,
)
from runner.planning.estimate.disk import DiskNeed, disk_of_run
from runner.planning.estimate.model_shape import ModelShape
from runner.planning.market import is_reachable
from runner.run.run_file import RunFile
from runner.store.credentials import endpoint_url, is_s3, refuse_own_keys
from runner.store.run_store import check_store
from runner.world import World
from trainer.base_model.hub_files import OTHERWISE, cached_folder
from trainer.base_model.origin import given_commit
from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.collected import Progress, no_progress
from trainer.data.samples import Dataset, EncodedDataset
from trainer.errors import BaseModelError, StoreError
from trainer.files import cache_folder

STORE = "store"
NO_STORE = "none; what the run makes stays in its folder"
NO_STORE_RENTED = "none; checkpoints come home while a runner follows; left alone, a machine that vanishes loses all"
AMAZON_S3 = "https://s3.amazonaws.com"
SHOWN_DIGITS = 12
CHECK_NETWORK = "check the network, then repeat the command: it may have changed"
SLOW_HUB = f"repeat the command later, {OTHERWISE}"
CheckStop = Callable[[], None]


@dataclass(frozen=True)
class Known:
    """What the caller has found out before.

    Attributes:
        model_files: The base model's file or folder on this machine: for a packaged model, which is not fetched here.
        known_hosts: Host keys that a run which is resumed has pinned.
    """

    model_files: Path | None = None
    known_hosts: Path | None = None


@dataclass(frozen=True)
class Seams:
    """How the preflight gets at what it asks.

    Attributes:
        open_account: Opens an account on a cloud.
        is_reachable: Returns whether a server can be reached, before a client tries, which takes longer.
        look_at_machine: Logs in to a machine of the user's own and looks.
        hub_transport: A stand-in for the network to the Hub.
        patience_s: Seconds that a question may go without an answer.
        check_stop: Called now and then while waiting; raises when the user wants out.
        progress: Hears how far the reading of the samples is.
    """

    open_account: OpenCloud = open_cloud
    is_reachable: Reach = is_reachable
    look_at_machine: Callable[[RunFile, World, Path | None], Seen] = look
    hub_transport: httpx2.BaseTransport | None = None
    patience_s: float = PATIENCE_S
    check_stop: CheckStop = field(default=lambda: None)
    progress: Progress = no_progress


@dataclass(frozen=True)
class Preflight:
    """All lines, and what was read on the way, so that nobody has to read it twice.

    Attributes:
        checks: The lines, in the order they are shown.
        dataset: The samples, or ``None`` where they cannot be read.
        model_files: The base model's file or folder on this machine; of a model of the Hub, its small files.
        facts: Its tokenizer and template.
        shape: Its layers.
        encoded: The samples as tokens.
        disk: The free disk that the run needs.
        hub: What the Hub says of the base model, where it is there.
        data: The files of the samples, or ``None`` where they cannot be had.
    """

    checks: tuple[Check, ...]
    disk: DiskNeed
    dataset: Dataset | None = None
    model_files: Path | None = None
    facts: BaseModelFacts | None = None
    shape: ModelShape | None = None
    encoded: EncodedDataset | None = None
    hub: hub.Found | None = None
    data: DataFiles | None = None


def examine(
    run_file: RunFile,
    runs_dir: Path,
    world: World,
    known: Known | None = None,
    *,
    seams: Seams | None = None,
) -> Preflight:
    """Check everything that can be checked without renting. Expected errors become lines; others are raised.

    Args:
        run_file: The run.
        runs_dir: Folder of the runs.
        world: Time, chance and surroundings.
        known: What has been found out before.
        seams: How to get at what is asked.
    """
    known, seams = known or Known(), seams or Seams()
    token = hub_secrets(world).get(HUB_TOKEN)
    network = _ask_network(run_file, world, seams, token)
    model = _ask_model(run_file, known, world, seams)
    given = _ask_machine(run_file, known, world, seams)
    environment = check_environment(run_file)
    data, dataset, data_line = check_samples(run_file, world, seams.progress)
    on_hub, files, base = _base_model(run_file, model, known, seams)
    template = [] if any(check.name == TEMPLATE for check in base.checks) else [_template(base.facts, dataset)]
    encoded, token_lines = check_tokens(run_file, dataset, base.facts, seams.progress)
    need = disk_of_run(run_file, files, base.shape, cache_folder(world.environ))
    cloud = run_file.compute.env
    here = [
        *([check_end(cloud, runs_dir, world)] if cloud in CLOUDS else []),
        check_ansible(run_file, world),
        *check_guard(run_file, world),
        *check_address(run_file, world),
        *check_disks(run_file, runs_dir, need),
        *check_here(run_file, world),
        *check_boot_lease(run_file),
    ]
    if given is not None:
        here = [*here[:-1], *check_given(given, need.there_gib, seams.check_stop)]  # the last one waited for a login
    asked = [line for names, question in network for line in lines_of(question, names, seams.check_stop)]
    samples = (*template, *token_lines, *check_recipe(run_file, encoded))
    checks = (environment, data_line, *base.checks, *samples, *reported_once(asked), *here)
    return Preflight(checks, need, dataset, files, base.facts, base.shape, encoded, on_hub, data)


Asked = tuple[tuple[str, ...], Question[list[Check]]]


def _ask_network(run_file: RunFile, world: World, seams: Seams, token: str | None) -> list[Asked]:
    """Ask the Hub, the store, the cloud, and where Terraform is, and return the questions with their lines' names."""

    def ask(work: Callable[[], list[Check]], *names: str) -> Asked:
        return names, Question(world, work, name=names[0], patience_s=seams.patience_s)

    def reach(address: str) -> bool:
        return seams.is_reachable(address, world)

    def about_token() -> list[Check]:
        return [
            check_strangers(run_file, reach=reach)
            or hub.check_token(
                token,
                reads_hub=hub.is_on_hub(run_file),
                reach=reach,
                transport=seams.hub_transport,
            )
        ]

    asked = [ask(about_token, hub.TOKEN), ask(lambda: [_store(run_file, reach, world)], STORE)]
    cloud = run_file.compute.env
    how: Any = {"open_account": seams.open_account, "is_reachable": seams.is_reachable}
    if cloud in CLOUDS:
        asked += [
            ask(lambda: check_account(cloud, world, **how), KEY, BALANCE),
            ask(lambda: check_billing(cloud, world, **how), BILLING),
        ]
    return [*asked, ask(lambda: check_terraform(world), TERRAFORM)]


def _ask_model(run_file: RunFile, known: Known, world: World, seams: Seams) -> Question[hub.Found] | None:
    """Ask the Hub for the small files of the base model, where it is there."""
    if known.model_files is not None or not hub.is_on_hub(run_file):
        return None
    section = run_file.model
    return Question(
        world,
        lambda: hub.find_model(
            section.base_model,
            section.revision,
            reach=lambda address: seams.is_reachable(address, world),
        ),
        name=hub.NAME,
        patience_s=seams.patience_s,
    )


def _ask_machine(run_file: RunFile, known: Known, world: World, seams: Seams) -> Question[Seen] | None:
    """Look at a machine of the user's own, where the run has one."""
    if run_file.compute.host is None:
        return None
    return Question(
        world,
        lambda: seams.look_at_machine(run_file, world, known.known_hosts),
        name=LOGIN,
        patience_s=PATIENCE_THERE_S,
    )


def _base_model(
    run_file: RunFile, asked: Question[hub.Found] | None, known: Known, seams: Seams
) -> tuple[hub.Found | None, Path | None, BaseModel]:
    """Return what the Hub says of the base model, its files on this machine and what is to be said of it."""
    if asked is None:
        files = known.model_files or local_files(run_file)
        return None, files, without_files(run_file) if files is None else look_at(run_file, files)
    base, revision = run_file.model.base_model, run_file.model.revision
    try:
        found = asked.answer(seams.check_stop)
    except BaseModelError as err:
        return None, None, unseen(from_error(hub.NAME, err))
    except NoAnswerError as err:
        cached = cached_folder(base, revision)
        if cached is None:
            return None, None, unseen(failed(hub.NAME, f"{base}: {err.message} from the Hub", SLOW_HUB))
        found = hub.Found(cached, f"{err.message} from the Hub", given_commit(revision))
    pinned = "not pinned to a commit" if found.commit is None else f"commit {found.commit[:SHOWN_DIGITS]}"
    return found, found.folder, look_at(run_file, found.folder, note=f", {pinned}", remark=_remark(base, found))


def _remark(base: str, found: hub.Found) -> Remark | None:
    """Return what to warn of: the Hub was not asked, or the model has another name by now."""
    if found.trouble is not None:
        return Remark(f"{found.trouble}; read from the cache", CHECK_NETWORK)
    if found.true_name not in (None, base):
        return Remark(f"it is called {found.true_name} by now", f"set model.base_model to {found.true_name}")
    return None


def _template(facts: BaseModelFacts | None, dataset: Dataset | None) -> Check:
    return skipped(TEMPLATE, "needs the base model") if facts is None else check_template(facts, dataset)


def _is_network(cause: BaseException | None) -> bool:
    """Return whether an exception of botocore's is about the way to a server, not about what it answered."""
    try:
        from botocore import exceptions
    except ImportError:
        return False
    is_untrusted = isinstance(cause, exceptions.SSLError)  # it answers: with a certificate that is not trusted
    return isinstance(cause, (exceptions.ConnectionError, exceptions.HTTPClientError)) and not is_untrusted


def _store(run_file: RunFile, reach: Callable[[str], bool], world: World) -> Check:
    """Write, list and remove a small file in the store."""
    section = run_file.store
    if section.url is None:
        return skipped(STORE, NO_STORE_RENTED if find_environment(run_file.compute.env).rents_machine else NO_STORE)
    try:
        refuse_own_keys(run_file)
    except CloudError as err:
        return from_error(STORE, err)
    if is_s3(run_file) and not reach(endpoint_url(run_file, world.environ) or AMAZON_S3):
        return not_asked(STORE, f"{section.url} cannot be reached")
    try:
        check_store(world, run_file)
    except (TransferError, CloudError) as err:
        cause = err.__cause__.__cause__ if isinstance(err.__cause__, StoreError) else None
        if is_s3(run_file) and _is_network(cause):
            return not_asked(STORE, err.message.removeprefix("plan: "), err.resolution)
        return from_error(STORE, err)
    return passed(STORE, f"{section.url}: written, listed, removed")
