"""What a machine says: paths, names, text and data of it, each with what it must not hold."""

from __future__ import annotations

from typing import Any

import pytest

from runner.errors import HostWordsError
from runner.run.host_words import checked_path, is_plain_name, one_line, plain_data, printable


@pytest.mark.parametrize(
    "path", ["/root", "/home/Jörg Müller", "/home/田中/a-b_c.d", "/mnt/u+1@host,x=1", "/home/हिन्दी", "/"]
)
def test_a_plain_path_of_any_script_is_taken(path: str) -> None:
    assert checked_path(path, "home folder") == path


@pytest.mark.parametrize(
    "path",
    [
        "/home/{{ lookup('pipe', 'id') }}", "/home/{% if 1 %}", "/home/{# x #}", "/home/$(id)", "/home/`id`", "/a;b",
        "/a|b", "/a&b", "/a>b", "/a<b", "/a'b", '/a"b', "/a\\b", "/a*", "/a?", "/a%h", "/a:b", "/a!b", "/a#b", "/~a",
        "/a\nb", "/a\tb", "/a\x1b[31m", "/a\u202eb", "/a\x00b", "/a/../b", "/..", "home", "", "~", "/" + "a" * 1024,
    ],
)  # fmt: skip
def test_a_path_that_means_something_to_a_program_is_refused(path: str) -> None:
    with pytest.raises(HostWordsError, match="the home folder that it gives is no plain absolute path") as caught:
        checked_path(path, "home folder")

    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["a", ".hidden", "a b", "ü", "adapter_model.safetensors", "...", "👩‍💻"])
def test_a_name_of_one_entry_is_plain(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "/etc", "a/b", "../x", "a\\b", "a\x00", "a\nb", "a\x1b[2J", "a" * 256])
def test_a_name_that_leads_elsewhere_is_not(name: str) -> None:
    assert not is_plain_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 👩‍💻\tand\nlines", "plain ü 👩‍💻\tand\nlines"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
        ("\x1b]52;c;unended\nthe next line", "\nthe next line"),
        ("\x1bPq\x1b\\a\x1b7b\x1b(Bc", "abc"),
        ("a\x9b31mb\x07\x08\x7f", "a31mb"),
        ("good\rbad", "good\nbad"),
        ("win\r\n", "win\n"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("a\u2028b\ud800", "ab"),
        ("ends in \x1b", "ends in "),
    ],
)
def test_what_steers_a_terminal_is_taken_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_is_one_line() -> None:
    assert one_line("a\r\x1b[2Kb\n error: c") == "a b error: c"


def test_all_text_of_data_is_printable_keys_too() -> None:
    data = {"a\x1b[1m": ["\x07b", {"c": "d\re"}], "n": 1, "f": 0.5, "t": True, "none": None}

    assert plain_data(data) == {"a": ["b", {"c": "d\ne"}], "n": 1, "f": 0.5, "t": True, "none": None}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [1e16, -(10**400), float("nan"), float("inf"), {"a": [1e300]}, nested(17)])
def test_absurd_data_is_refused(value: Any) -> None:
    with pytest.raises(HostWordsError):
        plain_data(value)
