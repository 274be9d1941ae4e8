"""The run file: the trainer's recipe, and where and how long it runs. Frozen, unknown keys refused."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from runner.errors import UsageError
from runner.run.notices_section import NoticesSection, check_addresses
from trainer.config.file import SourceMapping, read_mapping, validate
from trainer.config.paths import absolute_path
from trainer.config.recipe import RENAMED_KEYS, Recipe, resolve_paths, to_mapping
from trainer.config.section import Section
from trainer.config.yaml_text import parse_yaml
from trainer.errors import ConfigError

NEXT_KEY = re.compile(r"\s+(?=[\w-]+(?:\.[\w-]+){1,2}=)")
"""The space before each ``section.key=`` of a text; other space belongs to a value."""
HOST_PATTERN = re.compile(
    r"(?P<user>[^@\s:-][^@\s:]*)@(?P<address>\[[0-9a-fA-F:]+\]|[^@\s:\[\]-][^@\s:\[\]]*)(:(?P<port>\d{1,5}))?"
)
"""Neither part begins with ``-``: ssh would take it for an option."""
SSH_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
STORE_PATTERN = r"^(file:///.*|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=@-]+)*/?|rclone://[A-Za-z0-9_][A-Za-z0-9_.+@-]*(/.*)?)$"
"""A bucket's folder has only characters that a policy takes literally; a remote is named as rclone lets one name it."""
IDLE_MINUTES, IDLE_SAVED_MINUTES = 60.0, 10.0
"""Defaults of ``budget.keep_idle_minutes``: time for a person to come back, and enough where the work is in a store."""


class ComputeSection(Section):
    """The machine to train on."""

    env: str = "local"
    """Environment: ``local`` (this machine), ``existing`` (any machine one can log in to over SSH), or a cloud, where a
    machine is rented for the run."""
    host: str | None = None
    """Machine of ``env: existing``, as ``user@address[:port]`` or by its name in ``~/.ssh/config``, of which HostName,
    User, Port, IdentityFile, ProxyJump and ProxyCommand count."""
    identity_file: str | None = None
    """Private key for SSH to the machine of ``env: existing``; ``null`` takes those that ``~/.ssh/config`` names,
    else the agent and the usual files in ``~/.ssh``. A rented machine gets a key of the run's own."""
    prefix: str | None = None
    """Folder on the machine under which the run lives; ``null`` is the run folder on this machine and
    ``~/.douse/runs`` on another."""
    instance_types: list[str] = Field(default=[])
    """Machines to rent, in order of preference, in the cloud's own names; none takes the cheapest that will do."""
    regions: list[str] = Field(default=[])
    """Where to rent, in the cloud's own names; none takes any."""
    trust: Literal["any", "secure"] = "secure"
    """Whose machines to rent: ``secure`` takes those of the cloud's own data centres, ``any`` also community machines,
    where the cloud rents them out: cheaper, and their owner could read what is on them."""
    community_hub_token_enabled: bool = False
    """Whether a community machine is given your Hub token, if the base model is gated or private; its owner could read
    it. A machine that is not needs no leave, and none is given the token for a public base model."""
    spot_enabled: bool = False
    """Whether to rent machines that the cloud may reclaim: cheaper, but the run may have to be resumed."""
    recoveries: int = Field(default=0, ge=0, le=20)
    """How often a run goes on by itself with another machine when its own is lost: reclaimed, gone, or out of reach for
    half an hour. All its machines together stay within the dollars that were agreed to at the start. 0 leaves it to
    ``make resume``. A run that nobody follows does not recover until ``make watch``."""
    recover_on: list[str] = Field(default=[])
    """Other clouds on which a run that has lost its machine may go on, in this order, when its own has none for what is
    left of the money, after ``wait_minutes``; their keys have to be set. There any machine that will do is taken:
    ``instance_types``, ``regions`` and ``image`` are names of its own cloud. Needs ``recoveries``."""
    wait_minutes: float = Field(default=0.0, ge=0.0, le=7 * 24 * 60.0)
    """Minutes that a run waits for a machine where none of those that will do can be had: it asks again, at longer and
    longer pauses, and rents the first one at no more than the price that was agreed to. Nothing bills meanwhile. 0 ends
    the run at once. A run that recovers or is resumed waits too."""
    max_price_usd_per_h: float | None = Field(default=None, gt=0.0)
    """Highest price of a machine in US dollars an hour; ``null`` sets no limit."""
    min_gpu_memory_gib: float = Field(default=16.0, ge=0.0)
    """Memory of one GPU in GiB that a rented machine must have at least; more where the run needs more."""
    driver: Literal["verify", "install"] | None = None
    """What is done about the NVIDIA driver before anything is downloaded: ``verify`` checks it, ``install`` puts one
    there by apt, as root, if it is missing or too old, and restarts the machine if its kernel module asks for it.
    ``null`` does what each cloud's image needs; on a machine of your own the plan looks, and nothing is installed."""
    gpu_required: bool = True
    """Whether a rented machine without a working GPU is refused before anything is trained on it."""
    disk_size_gib: int = Field(default=100, ge=10, le=16000)
    """Disk of a rented machine in GiB, where the cloud lets one choose."""
    boot_timeout_minutes: float = Field(default=25.0, gt=0.0, le=120.0)
    """Minutes a rented machine may take from the cloud's yes until one can log in; after that it is terminated."""
    teardown_timeout_minutes: float = Field(default=10.0, ge=0.2, le=120.0)
    """Minutes a rented machine may take to be gone after the request to terminate it; after that the run ends with exit
    status 3."""
    image: str | None = None
    """Image that the machine starts from, where the cloud lets one choose; ``null`` is the one that Douse is tested
    with."""
    ssh_ingress_cidrs: list[str] = Field(default=[])
    """Networks that may reach sshd, like ``203.0.113.7/32``, where the cloud has a firewall of the run's own; none
    looks up this machine's public address."""

    def elsewhere(self, env: str) -> Self:
        """Return the section for another cloud: without what are names of this one's.

        Args:
            env: The other cloud.
        """
        others = [name for name in self.recover_on if name != env]
        return self.model_copy(
            update={"env": env, "instance_types": [], "regions": [], "image": None, "recover_on": others}
        )

    def own_sections(self) -> dict[str, CloudSection]:
        """Return the sections that are set and that one cloud alone has use for, by the cloud's name."""
        names = [name for name in type(self).model_fields if name not in ComputeSection.model_fields]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @model_validator(mode="after")
    def _check_own_sections(self) -> Self:
        """Refuse what contradicts a key that all clouds have."""
        for section in self.own_sections().values():
            section.check_beside(self)
        return self


class CloudSection(Section):
    """Keys that one cloud alone has, as ``compute.<cloud>``; its record names the class."""

    @property
    def own_rights(self) -> str | None:
        """What gives the machine rights of its own in the account; nothing, unless the section has a key for it."""
        return None

    def check_beside(self, compute: ComputeSection) -> None:
        """Refuse what contradicts the keys that all clouds have.

        Args:
            compute: The whole section.

        Raises:
            ValueError: If something does; the message names both keys.
        """


class BudgetSection(Section):
    """What a run may take."""

    max_hours: float | None = Field(default=None, gt=0.0, le=24.0 * 30)
    """Hours of training, over all tries of a run, after which the trainer saves a checkpoint and stops; the run can be
    resumed with a higher limit. A rented machine ends itself an hour later at the latest, where the cloud has a way to
    do so. ``null`` gives each try on a rented machine three times the upper end of its forecast, at least 2 hours, and
    24 hours where there is no forecast; on a machine of your own there is no limit then."""
    max_usd: float | None = Field(default=None, gt=0.0)
    """US dollars that the machines of a run may cost with their disks, over all its tries; training stops with a
    checkpoint before. A machine is not rented if what is left would not pay for the longest that the run may take
    there. ``null`` sets no limit but that of ``max_hours``."""
    month_usd: float | None = Field(default=None, gt=0.0)
    """US dollars that the machines of all runs in this folder of runs may cost in a calendar month (UTC). A machine is
    not rented if what is left would not pay for the longest that the run may take there, and none may cost more than
    what is left until its end. Upper ends are counted; where something is unknown, the plan says "at least". Two runs
    that are planned at the same moment do not see each other. ``null`` sets no limit."""
    lease_minutes: float = Field(default=15.0, ge=0.1, le=24.0 * 60)
    """Minutes that a rented machine keeps running without word from the runner before it saves and shuts down."""
    keep_idle_minutes: float | None = Field(default=None, ge=0.1, le=24.0 * 60)
    """Minutes that a rented machine, left alone on purpose (``DETACH=1``, a closed terminal, the steps by hand), keeps
    running while no trainer runs on it; then it uploads to the store, if there is one, and shuts down. ``null`` is 10
    with a store that the machine itself reaches, where the work is safe, and 60 without."""
    guard: bool = True
    """Whether a small process on this machine watches over a rented one and terminates it when the runner is gone and
    the lease has run out. Where a cloud has no end of its own, only ``false`` lets a run rent without it."""


class StoreSection(Section):
    """A second place for what a run makes."""

    url: str | None = Field(default=None, pattern=STORE_PATTERN)
    """Where each run gets a folder of its own, as ``s3://bucket/prefix``, ``file:///path`` or ``rclone://remote/path``,
    with its adapter and, if it was interrupted, its checkpoints, each complete or not there at all. ``make resume``
    takes the newest checkpoint from there if it is newer than those here. With S3, a rented machine whose lease runs
    out brings its work there before it ends itself. A remote is one of rclone's configuration on this machine
    (``RCLONE_CONFIG``, else its default), which stays here: work comes home first, unless ``rclone_on_machine`` is set.
    ``null`` keeps all in the run folder alone."""
    role_arn: str | None = Field(default=None, pattern=r"^arn:[a-z-]+:iam::\d{12}:role/\S+$")
    """AWS role to take for S3: the machine then gets credentials that open the run's own folder only, and end by
    themselves (``infra/store`` makes such a role). ``null`` gives the machine the credentials that you work with,
    with all their rights: prefer the role. With ``compute.trust: any`` and community machines ``null`` is refused."""
    endpoint_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """Address of a store that speaks S3, as this machine and the rented one reach it; ``null`` takes
    ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` if set, else Amazon's."""
    ca_file: str | None = None
    """File with the certificate, in PEM, of the authority that signed the store's own, where that is no public one: a
    private S3 often has one. Only the store is judged by it, by this machine and by the rented one, which is given the
    file; ``null`` takes the authorities that each machine trusts."""
    rclone_on_machine: bool = False
    """Whether a rented machine gets rclone and the remote of ``rclone://remote/path``, with those that it wraps, in its
    memory: it then sends each checkpoint itself, also when nobody follows the run. Whoever is root on that machine can
    read what opens the remote, mostly a whole drive; with ``compute.trust: any`` it is refused. A remote that leads to
    a file or a folder of this machine is refused as well."""

    @property
    def is_within_reach(self) -> bool:
        """Whether a rented machine opens the store itself."""
        url = self.url or ""
        return url.startswith("s3://") or (url.startswith("rclone://") and self.rclone_on_machine)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        """Refuse what only one kind of store has where it is another."""
        for key in ("role_arn", "endpoint_url", "ca_file"):
            value = getattr(self, key)
            if value is not None and not (self.url or "").startswith("s3://"):
                raise ValueError(f"store.{key} is {value}, but store.url is {self.url}: only s3:// has use for it")
        if self.rclone_on_machine and not (self.url or "").startswith("rclone://"):
            raise ValueError(
                f"store.rclone_on_machine is true, but store.url is {self.url}: only rclone:// has use for it"
            )
        if self.ca_file is not None and (self.endpoint_url or "").startswith("http://"):
            raise ValueError(
                f"store.ca_file is {self.ca_file}, but store.endpoint_url is {self.endpoint_url}: only https:// has "
                "certificates"
            )
        return self


class RunFile(Recipe):
    """Everything a run needs to know: the recipe's ten sections and the four of the life cycle."""

    compute: ComputeSection = ComputeSection()
    budget: BudgetSection = BudgetSection()
    store: StoreSection = StoreSection()
    notices: NoticesSection = NoticesSection()

    @model_validator(mode="after")
    def _check_host(self) -> Self:
        """Refuse a host where none is used, and none where one is needed."""
        env = self.compute.env
        if env != "existing" and self.compute.host is not None:
            raise ValueError(f"compute.host is {self.compute.host}, but compute.env is {env}: set `env: existing`")
        if self.compute.prefix is not None and not self.compute.prefix.startswith(("/", "~/")):
            raise ValueError(f"compute.prefix is {self.compute.prefix}, not a whole path: begin it with / or ~/")
        if self.compute.env == "existing" and self.compute.host is None:
            raise ValueError("compute.host is missing, and compute.env is existing: set HOST=user@address[:port]")
        return self

    @model_validator(mode="after")
    def _check_trust(self) -> Self:
        """Refuse to hand a remote of the user's to a machine whose owner nobody answers for."""
        if self.store.rclone_on_machine and self.compute.trust == "any":
            raise ValueError(
                "store.rclone_on_machine is true, and compute.trust is any: the owner of a community machine could "
                "read what opens your remote; set compute.trust to secure, or leave store.rclone_on_machine out"
            )
        return self

    @property
    def idle_minutes(self) -> float:
        """How long a machine of the run that was left alone keeps running without a trainer, in minutes."""
        if self.budget.keep_idle_minutes is not None:
            return self.budget.keep_idle_minutes
        return IDLE_SAVED_MINUTES if self.store.is_within_reach else IDLE_MINUTES

    def recipe(self) -> Recipe:
        """Return the trainer's part."""
        return Recipe.model_construct(**{name: getattr(self, name) for name in Recipe.model_fields})


def load_run_file(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    settings: dict[str, Any] | None = None,
    model: type[RunFile] = RunFile,
) -> RunFile:
    """Read a run file and resolve its relative paths, starting at the file's folder.

    Args:
        path: YAML or JSON file.
        overrides: ``section.key=value`` (or ``section.cloud.key=value``) as given with ``--set``; values are read as
            YAML.
        settings: ``section.key`` to value, as given with an option of its own (``--env``, ``--data``).
        model: What to read it into; without the clouds' own sections those are unknown keys.

    Raises:
        ConfigError: If the file cannot be read, or a key, type or combination is refused.
        UsageError: If an override is not ``section.key=value``, or an address of a notice has a secret in clear.
    """
    source = read_mapping(path)
    wanted = {**_parse_overrides(overrides), **(settings or {})}
    run_file = validate(model, _overridden(source, wanted), renamed=RENAMED_KEYS)
    check_addresses(run_file.notices, source.name)
    return _resolve(run_file, path.parent)


def parse_run_file(values: dict[str, Any], name: str, model: type[RunFile] = RunFile) -> RunFile:
    """Return the run file of a run folder's ``config.json`` (paths are absolute there already)."""
    return validate(model, SourceMapping(name, values), renamed={})


def with_settings(run_file: RunFile, *, overrides: Sequence[str], settings: dict[str, Any], folder: Path) -> RunFile:
    """Return a resolved run file with some values changed; see ``load_run_file``.

    Args:
        run_file: The run.
        overrides: ``section.key=value`` as given with ``--set``.
        settings: ``section.key`` to value.
        folder: Where relative paths among the changed values begin: the folder in which the command is given.
    """
    wanted = {**_parse_overrides(overrides), **settings}
    source = SourceMapping("the command line", run_file_mapping(run_file))
    changed = validate(type(run_file), _overridden(source, wanted), renamed={})
    check_addresses(changed.notices, source.name)
    return _resolve(changed, folder)


def with_day(run_file: RunFile, day: date) -> RunFile:
    """Return a run file that says which day a chat template writes: that of planning, unless the user named one."""
    if run_file.data.template_date is not None:
        return run_file
    return run_file.model_copy(update={"data": run_file.data.model_copy(update={"template_date": day})})


def parse_address(text: str) -> tuple[str, str, int]:
    """Return user, address and port of ``user@address[:port]``.

    Raises:
        UsageError: If it is not of this form.
    """
    match = HOST_PATTERN.fullmatch(text)
    port = int(match["port"] or 22) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise UsageError(
            f"plan: compute.host is {text!r}, neither user@address[:port] nor a name of ~/.ssh/config",
            resolution="write it like HOST=me@203.0.113.7, HOST=me@[2001:db8::7]:2222 or HOST=my-box",
        )
    return match["user"], match["address"].strip("[]"), port


def is_ssh_name(text: str) -> bool:
    """Return whether a host is given by a name of ``~/.ssh/config``: letters, digits and ``._-``, no ``-`` in front."""
    return SSH_NAME.fullmatch(text) is not None


def check_host(text: str) -> None:
    """Refuse a host that cannot be one.

    Raises:
        UsageError: If it is neither ``user@address[:port]`` nor a name.
    """
    if not is_ssh_name(text):
        parse_address(text)


def run_file_mapping(run_file: RunFile) -> dict[str, Any]:
    """Return the run file as plain data, every default written out."""
    return to_mapping(run_file)


def json_schema(model: type[RunFile] = RunFile) -> dict[str, Any]:
    """Return the JSON Schema of the run file, for editors."""
    schema = model.model_json_schema()
    schema["title"] = "Douse run file"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values by their keys; one text may hold several, as in make's ``SET="a.b=1 c.d=two words"``."""
    return dict(_parse_override(part) for text in texts for part in NEXT_KEY.split(text.strip()))


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key.count(".") not in (1, 2) or not all(key.split(".")):
        raise UsageError(
            f"config: --set {text} is not section.key=value", resolution="write it like `--set training.max_steps=8`"
        )
    try:
        read = parse_yaml(value)[1]
        # YAML would take "part #1.jsonl" for "part" and a comment; who wants a comment does not write it here.
        return key, value.strip() if isinstance(read, str) and value.strip()[:1] not in ("'", '"') else read
    except yaml.YAMLError as err:
        raise UsageError(
            f"config: the value of --set {text} is not valid YAML", resolution="quote the value", details=str(err)
        ) from err


def _overridden(source: SourceMapping, wanted: dict[str, Any]) -> SourceMapping:
    values, lines = copy.deepcopy(source.values), dict(source.lines)
    for dotted, value in wanted.items():
        *sections, key = dotted.split(".")
        keys = _section_at(values, sections, dotted)
        spellings = [old for old, new in RENAMED_KEYS.get(".".join(sections), {}).items() if new == key]
        for spelling in spellings:
            keys.pop(spelling, None)
        keys[key] = value
        lines.pop((*sections, key), None)
    return replace(source, values=values, lines=lines)


def _section_at(values: dict[str, Any], sections: Sequence[str], dotted: str) -> dict[str, Any]:
    """Return the keys of a section, made where it is missing or empty.

    Raises:
        ConfigError: If there is something else in its place.
    """
    for name in sections:
        found = values.get(name) or {}
        if not isinstance(found, dict):
            raise ConfigError(
                f"config: {name} is {found!r}, not a section in which {dotted} could be set",
                resolution="correct the file, or the name; every key is described in docs/run-file.md",
            )
        values[name] = found
        values = found
    return values


def _resolve(run_file: RunFile, folder: Path) -> RunFile:
    recipe = resolve_paths(run_file.recipe(), folder)
    sections: dict[str, Any] = {name: getattr(recipe, name) for name in Recipe.model_fields}
    identity = run_file.compute.identity_file
    if identity is not None:
        sections["compute"] = run_file.compute.model_copy(update={"identity_file": absolute_path(identity, folder)})
    authority = run_file.store.ca_file
    if authority is not None:
        sections["store"] = run_file.store.model_copy(update={"ca_file": absolute_path(authority, folder)})
    return run_file.model_copy(update=sections)
