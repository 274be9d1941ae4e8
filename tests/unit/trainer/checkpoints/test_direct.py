"""Small objects in one request each, and what is left to boto3."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import CredentialRetrievalError
from botocore.hooks import HierarchicalEmitter

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.manners import MANNERS
from runner.emulation.s3.server import S3Server
from trainer.checkpoints.bucket import Bucket
from trainer.checkpoints.connection import Connection, UnreadableError
from trainer.checkpoints.direct import LISTING, Answer, Direct
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.checkpoints.turns import turn

URL = f"s3://{BUCKET}/p"
NAMES = ("a", "empty", "with space+plus~tilde", "in/ümlaut", "in/[x](y)=&?#%20")
SIGNED = "AWS4-HMAC-SHA256 Credential=id/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of small files with odd names."""
    for name in NAMES:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty" else name * 3)
    return tmp_path / "data"


@pytest.fixture
def place(open_bucket: Callable[[str], Any]) -> Bucket:
    """A place of a store whose listing has shown the short way."""
    open_bucket("strict")
    found = Bucket(BUCKET, "p", None, None)
    found.sizes()
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("manner", ["amazon", "strict"])
def test_a_small_file_takes_one_request_there_and_one_back(
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    data: Path,
    tmp_path: Path,
    manner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_bucket(manner)
    monkeypatch.setattr("trainer.checkpoints.bucket.FILES_AT_ONCE", 1)
    requests = s3_server(manner).requests
    requests.clear()

    push(data, URL)
    sent = Counter(asked.method for asked in requests)
    requests.clear()
    pull(URL, tmp_path / "back")

    # One HEAD, after the first file, looks whether a store that is not Amazon keeps metadata.
    assert sent == Counter(GET=1, PUT=len(NAMES), HEAD=int(manner == "strict"))
    assert Counter(asked.method for asked in requests) == Counter(GET=1 + len(NAMES))
    assert contents(tmp_path / "back") == contents(data)


def stay_away(objects: Direct) -> None:
    objects._address = None


def break_off(objects: Direct) -> None:
    """Let the server be gone."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    assert objects._address is not None
    objects._address = objects._address._replace(host=address)


def sign_wrongly(objects: Direct) -> None:
    objects._credentials = SimpleNamespace(get_frozen_credentials=lambda: ("nobody", "knows", None))


@pytest.mark.parametrize("spoil", [stay_away, break_off, sign_wrongly])
@pytest.mark.parametrize("manner", MANNERS)
def test_boto3_does_what_is_not_done_at_once(
    open_bucket: Callable[[str], Any],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    manner: str,
    spoil: Callable[[Direct], None],
) -> None:
    open_bucket(manner)
    learn, ask = Direct._learn, Direct._ask
    answers: list[Any] = []

    def spoilt(self: Direct, request: Any, **words: Any) -> None:
        learn(self, request, **words)
        spoil(self)

    def counted(self: Direct, *words: Any) -> Any:
        answers.append(ask(self, *words))
        return answers[-1]

    monkeypatch.setattr(Direct, "_learn", spoilt)
    monkeypatch.setattr(Direct, "_ask", counted)
    push(data, URL)
    pull(URL, tmp_path / "back")

    assert answers == [None] * 2 * len(NAMES)
    assert contents(tmp_path / "back") == contents(data)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_server_is_judged_by_what_boto3_judges_it_by(
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    open_bucket("strict")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(s3_server("strict").ca_file))
    place = Bucket(BUCKET, "p", None, None)
    place.sizes()

    assert place._direct.put("p/a", b"one", "", {})
    place._direct._verify, place._direct._tls = None, None
    place._direct._idle.clear()
    place.sizes()
    assert not place._direct.put("p/a", b"one", "", {})


def test_a_connection_that_was_given_up_meanwhile_is_made_anew(place: Bucket) -> None:
    objects = place._direct
    assert objects._address is not None
    for _ in range(2):
        connection = Connection(objects._address.host, objects._tls)
        connection._socket.shutdown(socket.SHUT_RDWR)
        objects._idle.append((objects._address, connection))

    assert objects.put("p/a", b"two", "", {})
    answer = objects.get("p/a")
    assert answer is not None
    assert answer.content == b"two"
    assert connection not in [one for _, one in objects._idle]


def test_an_answer_that_is_not_understood_ends_the_short_way(
    open_bucket: Callable[[str], Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_bucket("strict")
    push(data, URL)
    asked: list[str] = []

    def unreadable(self: Connection, method: str, *_: Any) -> Any:
        asked.append(method)
        raise UnreadableError("chunks")

    monkeypatch.setattr("trainer.checkpoints.bucket.FILES_AT_ONCE", 1)
    monkeypatch.setattr(Connection, "ask", unreadable)
    pull(URL, tmp_path / "back")

    assert asked == ["GET"]
    assert contents(tmp_path / "back") == contents(data)


def test_keys_that_cannot_be_renewed_are_boto3s_to_report(place: Bucket) -> None:
    class Refused:
        """Credentials whose source does not answer."""

        def refresh_needed(self) -> bool:
            return True

        def get_frozen_credentials(self) -> Any:
            with ThreadPoolExecutor(1) as pool:  # whoever else wants a turn meanwhile gets it
                pool.submit(take_turn).result(timeout=20)
            raise CredentialRetrievalError(provider="iam-role", error_msg="no answer")

    def take_turn() -> None:
        with turn():
            pass

    place._direct._credentials = Refused()

    with turn():
        assert place._direct.get("p/a") is None
    assert place._direct.is_usable


def test_a_connection_that_has_rested_and_says_so_in_other_words_is_no_reason_to_stop(
    place: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, ask = place._direct, Connection.ask
    assert objects._address is not None
    resting = Connection(objects._address.host, objects._tls)
    objects._idle.append((objects._address, resting))

    def unreadable(self: Connection, *words: Any) -> Any:
        if self is resting:
            raise UnreadableError("HTTP/1.0 408")
        return ask(self, *words)

    monkeypatch.setattr(Connection, "ask", unreadable)

    assert objects.put("p/a", b"one", "", {})
    assert objects.is_usable


def test_a_part_of_what_was_asked_for_as_a_whole_is_no_success(place: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Connection.ask
    monkeypatch.setattr(Connection, "ask", lambda *words: (206, ask(*words)[1]))

    assert not place._direct.put("p/a", b"one", "", {})
    assert place._direct.get("p/a") is None


@pytest.mark.parametrize("host", ["store.example:99999", "[::1"])
def test_an_address_that_nobody_can_speak_to_is_boto3s_to_report(place: Bucket, host: str) -> None:
    assert place._direct._address is not None
    place._direct._address = place._direct._address._replace(host=host)

    assert place._direct.get("p/a") is None


def test_behind_a_proxy_boto3_does_it_all(place: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place._direct._address is not None
    monkeypatch.setattr("botocore.utils.get_environ_proxies", lambda url: {"https": "http://proxy.example:3128"})

    place.sizes()

    assert place._direct.get("p/a") is None
    assert place._direct._address is None


@pytest.mark.parametrize("manner", MANNERS)
def test_an_answer_that_is_cut_short_is_read_again_by_boto3(
    open_bucket: Callable[[str], Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    open_bucket(manner)
    push(data, URL)
    get = Direct.get

    def cut(self: Direct, key: str) -> Answer | None:
        whole = get(self, key)
        return None if whole is None else Answer(whole.content[:-1], {**whole.head, "ContentLength": 0})

    monkeypatch.setattr(Direct, "get", cut)
    pull(URL, tmp_path / "back")

    assert contents(tmp_path / "back") == contents(data)


def test_a_refusal_is_boto3s_to_report(open_bucket: Callable[[str], Any], data: Path, tmp_path: Path) -> None:
    open_bucket("strict")
    push(data, URL)
    place = Bucket(BUCKET, "p", None, None)
    place.sizes()
    place.remove("a")

    with pytest.raises(FileNotFoundError):
        place.get("a", tmp_path / "a")


@pytest.mark.parametrize("words", ["", SIGNED.replace("HMAC", "ECDSA"), SIGNED.replace("/s3/", "/s3express/")])
def test_other_signatures_are_left_to_boto3(words: str) -> None:
    events = HierarchicalEmitter()
    objects = Direct(SimpleNamespace(meta=SimpleNamespace(events=events)), None, None, with_checksum=False)
    url = "https://store.example/bucket?list-type=2"

    assert objects.get("a") is None
    events.emit(LISTING, request=SimpleNamespace(url=url, headers={"Authorization": SIGNED.encode()}))
    assert objects._address == (True, "store.example", "/bucket", "eu-west-1")
    events.emit(LISTING, request=SimpleNamespace(url=url, headers={"Authorization": words.encode()} if words else {}))

    assert objects.get("a") is None
    assert objects._address is None


def test_what_came_with_an_object_is_said_of_the_file_that_it_came_into_alone(
    open_bucket: Callable[[str], Any], data: Path, tmp_path: Path
) -> None:
    client = open_bucket("strict")
    push(data, URL)
    place = Bucket(BUCKET, "p", None, None)
    place.sizes()
    place.get("a", tmp_path / "came")
    client.put_object(Bucket=BUCKET, Key="p/a", Body=b"bbb")

    assert place.matches("a", data / "a") is not True
    assert place.matches("a", tmp_path / "came")
    assert place.matches("a", tmp_path / "came") is not True
