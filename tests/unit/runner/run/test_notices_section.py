"""Who gets notices, and that no address with a secret gets into a run file, an error or a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.run.notices_section import EVENT_NAMES, NoticesSection, filled_in, may_stand_in_a_file
from runner.run.run_file import load_run_file, run_file_mapping, with_settings
from trainer.errors import ConfigError

SECRETS = [
    "slack://xoxb-1234/5678/abc",
    "https://hooks.slack.com/services/T0/B0/x",
    "https://discord.com/api/webhooks/123/abc",
    "json://me:hunter2@127.0.0.1/",
    "json://127.0.0.1/?token=hunter2",
    "json://127.0.0.1/hook/a1",
    "mailto://me:hunter2@example.org?to=${WHO}",
    "slack://1234567890abcdef/${B}/${C}",
    "ntfy://my-topic",
    "tgram://bot",
    "hunter2",
    "",
]
GOOD = [
    "${HOOK}",
    "json://localhost:8080/hook",
    "https://ci.example.org/notices/of-runs/",
    "http://[::1]:9/",
    "mailtos://me:${MAIL_PASSWORD}@smtp.example.org?to=you@example.org",
    "slack://${A}/${B}/${C}/#training",
    "ntfy://${TOPIC}",
]


def written(folder: Path, notices: str) -> Path:
    path = folder / "run.yml"
    path.write_text(f"data: {{train_path: x}}\nnotices: {notices}\n")
    return path


@pytest.mark.parametrize("address", SECRETS)
def test_an_address_with_a_secret_in_clear_is_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"{{urls: ['${{FINE}}', '{address}']}}")

    with pytest.raises(UsageError) as caught:
        load_run_file(path)

    shown = f"{caught.value.message}{caught.value.resolution}{caught.value.details}{caught.value.__context__!r}"
    assert f"{path} notices.urls[1]" in caught.value.message
    assert "export DOUSE_HOOK=" in caught.value.resolution
    assert not any(word in shown for word in ("hunter2", "xoxb", "services", "webhooks", "1234567890abcdef", "a1"))


@pytest.mark.parametrize("address", GOOD)
def test_an_address_without_one_is_taken_as_it_is(address: str, tmp_path: Path) -> None:
    run_file = load_run_file(written(tmp_path, f"{{urls: ['{address}']}}"))

    assert run_file.notices.urls == [address]
    assert run_file_mapping(run_file)["notices"]["urls"] == [address]


@pytest.mark.parametrize("urls", ["slack://hunter2", "{a: slack://hunter2}", "[{a: hunter2}]", "[[hunter2]]"])
def test_a_list_that_is_none_shows_no_secret_either(urls: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_run_file(written(tmp_path, f"{{urls: {urls}}}"))

    assert "hunter2" not in f"{caught.value.message}{caught.value.resolution}{caught.value.details}"


def test_a_single_address_needs_no_list(tmp_path: Path) -> None:
    assert load_run_file(written(tmp_path, "{urls: '${HOOK}'}")).notices.urls == ["${HOOK}"]
    assert load_run_file(written(tmp_path, "{urls: null}")).notices.urls == []


def test_the_command_line_is_held_to_the_same(tmp_path: Path) -> None:
    run_file = load_run_file(written(tmp_path, "{}"))

    with pytest.raises(UsageError):
        with_settings(run_file, overrides=["notices.urls=[slack://a/b/c]"], settings={}, folder=tmp_path)

    changed = with_settings(run_file, overrides=["notices.urls=['${HOOK}']"], settings={}, folder=tmp_path)
    assert changed.notices.urls == ["${HOOK}"]


@pytest.mark.parametrize(
    ("notices", "words"),
    [
        ("{events: [bored]}", "notices.events.0 is 'bored'"),
        ("{command: notify-send}", "notices.command is 'notify-send'"),
        ("{url: x}", "notices.url is not a known key"),
    ],
)
def test_what_there_is_not_is_refused(notices: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_run_file(written(tmp_path, notices))

    assert words in caught.value.message


def test_all_events_are_sent_where_none_are_named() -> None:
    assert NoticesSection().events == list(EVENT_NAMES)


def test_variables_are_put_in_and_missing_ones_named() -> None:
    assert filled_in("a${X}b${Y}", {"X": "1", "Y": "2"}) == ("a1b2", [])
    assert filled_in("${X}${Y}${Z}", {"X": "1", "Y": ""})[1] == ["Y", "Z"]
    assert filled_in("$X {Y}", {}) == ("$X {Y}", [])


def test_a_password_that_is_only_partly_a_variable_is_one_in_clear() -> None:
    assert not may_stand_in_a_file("json://me:hunter2${X}@host/")
    assert may_stand_in_a_file("json://me:${X}@host/")
