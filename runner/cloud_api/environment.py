"""What sets one environment apart from another, and the one record of a cloud: every fact that shared code asks for.

A record holds no client: importing it costs next to nothing, and what needs a library imports it when it is called.
What a cloud does not have is said as ``NotThere``, with the reason; no fact about a cloud is anywhere else in code.
What its machines, disks and traffic cost are dated rows of the tables in ``runner/prices``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from runner.cloud_api.credentials import Environ
    from runner.cloud_api.models import Cloud, Offer, Placement, TrustWanted
    from runner.cloud_api.pacing import Timer
    from runner.errors import CloudError

DriverMode = Literal["none", "install", "verify", "container"]
Shape = Literal["machine", "job"]
"""``machine`` is one that is handed out with a login, ``job`` a command that the platform itself starts and ends."""


@dataclass(frozen=True)
class NotThere:
    """What a cloud does not have.

    Attributes:
        because: Why, or where that is said.
    """

    because: str


@dataclass(frozen=True)
class Environment:
    """One value of ``compute.env``.

    Attributes:
        name: Its name; for a cloud that of the cloud as well.
        module: Folder of its root module under ``infra/environments``.
        bills: Whether what is used there costs money until it is given back.
        shape: What a run is handed there.
        waits_for_sshd: Whether Terraform is done only when sshd answers.
        tries_candidates: Whether one apply goes down the whole list of candidates; else the runner does.
        lease: How the machine ends itself when nobody renews its lease: a method of the role ``lease``;
            the requests of ``api`` are in the cloud's inventory.
        driver: What the playbook does about the NVIDIA driver.
        metadata_url: Address at which a machine hears that it will be reclaimed, by EC2's metadata service; ``None``
            where there is no notice.
    """

    name: str
    module: str
    bills: bool = False
    shape: Shape = "machine"
    waits_for_sshd: bool = True
    tries_candidates: bool = True
    lease: str = "none"
    driver: DriverMode = "none"
    metadata_url: str | None = None

    @property
    def rents_machine(self) -> bool:
        """Whether there is a machine of ours for the run alone, which we log in to, set up and give back."""
        return self.bills and self.shape == "machine"


@dataclass(frozen=True)
class BootTime:
    """From the cloud's yes to a login.

    Attributes:
        low_s: The least, in seconds.
        high_s: The most, in seconds.
        source: Where both are from.
        as_of: The day the source was read.
        expected_s: What to expect in seconds, or ``None`` where only the ends are known.
    """

    low_s: float
    high_s: float
    source: str
    as_of: date
    expected_s: float | None = None


@dataclass(frozen=True)
class PriceRules:
    """How a cloud's price list is kept.

    Attributes:
        same_everywhere: Whether its regions differ in what is there, not in its price: one row with region ``any``.
        on_demand_from_list: Whether its own API may refuse on-demand prices, so that its offers have those of our list:
            they are no news, and as old as the list.
        gpuhunt_name: What gpuhunt calls it, where it names the machines as the cloud does.
    """

    same_everywhere: bool = False
    on_demand_from_list: bool = False
    gpuhunt_name: str | NotThere = NotThere("gpuhunt does not name its machines as the cloud does")


@dataclass(frozen=True)
class QuotaWords:
    """What to do about a quota that the cloud's client can read.

    Attributes:
        raise_it: How to get a higher one.
        allow_reading: What allows the key to read it.
    """

    raise_it: str
    allow_reading: str


SET_UP_S = 1800
"""From the longest boot to the role of the lease, in seconds."""


@dataclass(frozen=True)
class PlaceRules:
    """How to find out whether an account has a network for a machine, where it has to have one.

    Attributes:
        ask: Returns that for each of the machines, of the account, and with its section of the run file; what is not
            known is left out.
        give_one: What to do where there is none.
        reach_it: What to do about a place that is remarked upon.
        allow_reading: What allows the key to look.
    """

    ask: Callable[[Cloud, Any, Sequence[Offer]], dict[Offer, Placement]]
    give_one: str
    reach_it: str
    allow_reading: str


@dataclass(frozen=True)
class Published:
    """The description of its API that a vendor publishes, as OpenAPI, and what of it our client reads.

    Attributes:
        url: Where the vendor's file is today.
        version: The version that the client was written for.
        as_of: The day of the file that it was written for.
        read: Returns the classes (of pydantic) that answers are read into, each with its schema's name.
        newer: Fields that the client reads and that the file of that day lacks.
    """

    url: str
    version: str
    as_of: date
    read: Callable[[], Sequence[tuple[type[Any], str]]]
    newer: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MachineOrder:
    """What a run asks of a machine, for the inputs of its environment that only this cloud has.

    Attributes:
        host_key: File of the private half of the key by which the machine proves itself; the public one lies beside it.
        image: Image of the run file, or ``None`` for the one that Douse is tested with.
        trust: Whose machines will do.
        price_usd_per_h: Price of the first machine to try in US dollars an hour.
        create_timeout_s: How long it may take until one can log in.
        delete_timeout_s: How long it may take to be gone.
        hard_end_s: Seconds from its boot after which the machine has to be over, whatever happens.
        own: The run file's section of this cloud, of the record's ``own_section``, or ``None`` where it has none.
    """

    host_key: Path
    image: str | None
    trust: TrustWanted
    price_usd_per_h: float
    create_timeout_s: int
    delete_timeout_s: int
    hard_end_s: int
    own: Any = None

    @property
    def boot_lease_s(self) -> int:
        """Seconds from its boot after which a machine that has no lease yet is to end itself."""
        return self.create_timeout_s + SET_UP_S


@dataclass(frozen=True)
class ProviderPart:
    """What a cloud adds to our Terraform provider.

    Attributes:
        block: Attributes of the provider's block, each with the environment variable that it overrides.
        resources: Classes of ``runner.provider.resource.Resource`` by their Terraform names.
        data_sources: Classes of ``runner.provider.resource.DataSource`` by their Terraform names.
    """

    block: Mapping[str, str]
    resources: Mapping[str, type[Any]]
    data_sources: Mapping[str, type[Any]]


@dataclass(frozen=True)
class BilledRun:
    """A run whose bill is asked for.

    Attributes:
        run_id: The run.
        machines: The cloud's ids of its machines.
        since: When the first of them was asked for (UTC).
        until: When the last of them was gone (UTC).
    """

    run_id: str
    machines: tuple[str, ...]
    since: datetime
    until: datetime


class ReadBill(Protocol):
    """How a cloud is asked for the bill of a run."""

    def __call__(self, environ: Environ, billed: BilledRun, *, timer: Timer) -> float | None:
        """Return the US dollars that the cloud bills for a run, or ``None`` as long as it has not billed it.

        Raises:
            CloudError: If the cloud does not answer, or says no.
            AccountError: If the environment names no account.
        """


@dataclass(frozen=True)
class BillApi:
    """A cloud's own bill, as its API has it.

    Attributes:
        read: Asks for it.
        late_h: Hours after its end until the bill of a run is whole.
        price_usd: What asking once costs, in US dollars.
    """

    read: ReadBill
    late_h: float
    price_usd: float = 0.0


class OpenAccount(Protocol):
    """How an account is opened; nothing is asked yet."""

    def __call__(self, environ: Environ, *, timer: Timer) -> Cloud:
        """Return the account that the environment names.

        Raises:
            NotConfiguredError: If it names none; the resolution says what to set.
            AccountError: If its key cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class CloudRecord:
    """Everything that shared code asks of a cloud.

    Attributes:
        environment: The environment that rents there; it has the cloud's name.
        title: The cloud's name for people.
        package: Its Python package, of which the emulator is a part.
        account_words: What to set, for somebody who has set nothing.
        real_variables: Beginnings of the names of variables that may lead to a real account: a rehearsal takes them
            away.
        open: Opens the account.
        endpoint: Returns the address that an account is first asked at.
        boot: How long a machine takes to boot.
        boot_many_gpus: The same with several GPUs; ``NotThere`` where no source distinguishes them.
        prices: How its price list is kept.
        published: What the vendor publishes about its API; ``NotThere`` where our client reads no such file's fields.
        quota: What to do about a quota; ``NotThere`` where the cloud's API reports none.
        places: How to find out whether the account has a network for a machine; ``NotThere`` where it needs none.
        caller_network: Returns the network that a firewall lets in, from this machine's public address.
        default_image: Image that Douse is tested with, where it is chosen here.
        hard_end: What terminates a machine without anybody from here.
        hard_end_from_boot: Whether that counts from the machine's first boot, instead of holding a time of day.
        hard_end_goes: Why that will not last, with the day as the vendor says it; ``NotThere`` where it is to stay, and
            where there is none.
        lease_at_cloud: Where the cloud itself shows when a machine's lease runs out, for every sweep to read
            (``Cloud.move_lease``).
        boot_lease: Returns why a machine with an image of the user's (``None`` for the default one) has no lease before
            it is set up, ``None`` where it has one; ``NotThere`` where none ever has.
        inputs: Returns the environment's own inputs.
        secret_inputs: Returns those that go in by Terraform's environment, never into a file.
        terraform_error: Reads the cloud's "no" from Terraform's words; ``None`` where they hold none.
        provider: Returns what the cloud adds to our Terraform provider.
        bill: Its own bill of a run, where its API has one.
        open_inputs: Inputs of its root module that the user's environment may set (``TF_VAR_<name>``), as that of an
            emulated cloud does; others do not reach Terraform.
        run_file_words: What a key of the run file is on this cloud, in a few words, by ``section.key``.
        own_section: Returns the class of the keys that this cloud alone has (``compute.<cloud>`` of the run file), of
            ``runner.run.run_file.CloudSection``.
        extra: Packages that its client needs besides what every run needs, by their name in ``bootstrap.EXTRAS``.
    """

    environment: Environment
    title: str
    package: str
    account_words: str
    real_variables: tuple[str, ...]
    open: OpenAccount
    endpoint: Callable[[Environ], str]
    boot: BootTime
    boot_many_gpus: BootTime | NotThere
    prices: PriceRules
    published: Published | NotThere
    quota: QuotaWords | NotThere
    places: PlaceRules | NotThere
    caller_network: Callable[[Environ], str] | NotThere
    default_image: str | NotThere
    hard_end: str | NotThere
    hard_end_goes: str | NotThere
    lease_at_cloud: str | NotThere
    boot_lease: Callable[[str | None], str | None] | NotThere
    inputs: Callable[[MachineOrder], dict[str, Any]]
    secret_inputs: Callable[[MachineOrder], dict[str, str]] | NotThere
    terraform_error: Callable[[str], CloudError | None] | NotThere
    provider: Callable[[], ProviderPart] | NotThere
    bill: BillApi | NotThere
    own_section: Callable[[], type[Any]] | NotThere
    open_inputs: tuple[str, ...] = ()
    run_file_words: Mapping[str, str] = field(default_factory=dict)
    hard_end_from_boot: bool = False
    extra: str | NotThere = NotThere("its client needs nothing that the control side does not have")

    @property
    def name(self) -> str:
        """Name of the cloud, the same as its environment's."""
        return self.environment.name
