"""A notice to try out: who got it, who did not and why, and what the exit status says of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli.notify import send_test
from runner.cli.parser import main
from runner.errors import UsageError
from runner.run.notices_section import NoticesSection
from runner.world import RealWorld
from tests.unit.runner.adapters.notices.receivers import WebServer, refused_port, serving


def test_each_receiver_has_a_line_and_the_status_says_whether_all_got_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    web, refused = WebServer(), refused_port()
    config = tmp_path / "run.yml"
    config.write_text(
        f"data: {{train_path: x}}\nnotices: {{urls: ['json://{web.place}/ok', 'json://127.0.0.1:{refused}/']}}\n"
    )
    words = ["notify-test", "--config", str(config), "--runs-dir", str(tmp_path / "runs")]

    with serving(web):
        some = main(words)
        shown = capsys.readouterr().out
        all_of_them = main([*words, "--set", f"notices.urls=['json://{web.place}/ok']"])

    assert (some, all_of_them) == (1, 0)
    assert f"sent         notices.urls[0] (json://{web.place}/ok)\n" in shown
    assert f"not sent     notices.urls[1] (json://127.0.0.1:{refused}/): it refuses the connection\n" in shown
    assert [body["title"] for _, body in web.got] == ["Douse: a test"] * 2
    assert not (tmp_path / "runs").exists()


def test_nobody_to_send_to_is_an_error_of_the_user() -> None:
    with pytest.raises(UsageError) as caught:
        send_test(NoticesSection(), RealWorld({}))

    assert "nobody gets notices" in caught.value.message
    assert caught.value.resolution.startswith("export DOUSE_NOTICE_URLS=")
