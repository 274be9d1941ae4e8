"""The model card: the adapter's README.md, written from the run's facts and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trainer.base_model.origin import FROM_GGUF, FROM_HUB, Origin
from trainer.config.recipe import Recipe
from trainer.files import read_json, write_atomically

TEMPLATE = "model_card.md.jinja"
MODEL_NAMES = {
    "base_4bit": "base, 4-bit",
    "adapter_4bit": "**adapter, 4-bit**",
    "base_unquantised": "base, unquantised",
    "base_quantised": "base, quantised",
    "adapter_quantised": "adapter, quantised",
    "adapter_unquantised": "adapter, unquantised",
    "merged": "merged model",
}
MAX_SAMPLES = 4
MAX_PROMPT_CHARACTERS = 300


def write_model_card(recipe: Recipe, folder: Path) -> None:
    """Write ``README.md`` from the manifest, metrics and acceptance.json in ``folder``."""
    manifest, metrics, acceptance = (
        read_json(folder / f"{name}.json") or {} for name in ("manifest", "metrics", "acceptance")
    )
    text = render_model_card(recipe, manifest, metrics, acceptance)
    write_atomically(folder / "README.md", text.encode())


def render_model_card(
    recipe: Recipe, manifest: Mapping[str, Any], metrics: Mapping[str, Any], acceptance: Mapping[str, Any]
) -> str:
    """Return the card: YAML front matter as the Hub reads it, then Markdown."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 (Markdown, not HTML)
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters.update(fenced=_fenced, cell=_cell)
    origin = Origin.from_mapping(manifest)
    facts = {
        **_introduction(recipe, manifest, origin),
        **_results(metrics),
        **_training(recipe, manifest, metrics),
        **_checks(acceptance),
        "snippet": _snippet(recipe, metrics, origin),
    }
    body = environment.get_template(TEMPLATE).render(facts)
    matter = yaml.safe_dump(_front_matter(recipe, origin), sort_keys=False, allow_unicode=True)
    return f"---\n{matter}---\n\n{body}"


def _front_matter(recipe: Recipe, origin: Origin) -> dict[str, Any]:
    publishing = recipe.publishing
    matter = {
        "base_model": origin.name if origin.loads_by_name else None,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": publishing.license,
        "language": publishing.language,
        "tags": list(dict.fromkeys([*(["qlora"] if recipe.model.load_in_4bit else []), "lora", *publishing.tags])),
    }
    return {key: value for key, value in matter.items() if value}


def _introduction(recipe: Recipe, manifest: Mapping[str, Any], origin: Origin) -> dict[str, Any]:
    quantisation = recipe.model.bnb_4bit_quant_type.upper()
    on_4bit = recipe.model.load_in_4bit
    return {
        "title": recipe.publishing.title or manifest.get("run_name", recipe.run.name),
        "description": recipe.publishing.description,
        "base_name": _base_name(origin),
        "base_remark": _base_remark(recipe, origin),
        "method": f"with 4-bit QLoRA ({quantisation})" if on_4bit else "with LoRA",
        "proved_on": f"the 4-bit ({quantisation}) base" if on_4bit else "the unquantised base",
    }


def _base_name(origin: Origin) -> str:
    """Return the base model's name, with a link where it is on the Hub."""
    return f"[{origin.name}](https://huggingface.co/{origin.name})" if origin.loads_by_name else f"`{origin.name}`"


def _base_remark(recipe: Recipe, origin: Origin) -> str:
    """Return which copy of the base model was trained on, and what that means for who loads the adapter."""
    if origin.kind == FROM_HUB:
        return f"The base model's commit was `{origin.revision}`." if origin.revision else ""
    by_hand = "" if origin.loads_by_name else " It has no name on the Hub: pass your copy of it by hand, as below."
    if origin.kind != FROM_GGUF:
        return f"The base model was a local folder; the SHA-256 of its files are at the end.{by_hand}"
    held = f", held in 4 bits ({recipe.model.bnb_4bit_quant_type.upper()})" if recipe.model.load_in_4bit else ""
    ((name, sha256),) = origin.files.items()
    original = ", not on the original ones" if origin.loads_by_name else ""
    return (
        f"The base model was read from the GGUF file `{name}` (SHA-256 `{sha256}`): the adapter was trained on that "
        f"file's weights{held}{original}.{by_hand}"
    )


def _results(metrics: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: values for name, values in (metrics.get("eval") or {}).items() if values}
    columns = list(dict.fromkeys(key for values in found.values() for key in values))
    ordered = [name for name in MODEL_NAMES if name in found]
    rows = [(MODEL_NAMES[name], [_score(key, found[name].get(key)) for key in columns]) for name in ordered]
    samples = list(metrics.get("samples") or [])
    return {"score_names": columns, "results": rows, "samples": samples[:MAX_SAMPLES], "prompts": len(samples)}


def _score(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if name == "loss" else f"{value:.0%}"


def _training(recipe: Recipe, manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    train, data = metrics.get("train") or {}, manifest.get("data") or {}
    environment = manifest.get("environment") or {}
    duration_s = train.get("duration_s")
    return {
        "train_samples": data.get("train_samples", "?"),
        "eval_samples": data.get("eval_samples", "?"),
        "tokens": f"{train['tokens']:,}" if train.get("tokens") else "?",
        "steps": train.get("steps", "?"),
        "epochs": train.get("epochs", "?"),
        "device_name": environment.get("device_name", "an unknown device"),
        "duration": f"{duration_s / 60:.1f} minutes" if duration_s else "an unknown time",
        "settings": _settings(recipe),
        "origins": _origins(manifest),
    }


def _settings(recipe: Recipe) -> list[tuple[str, object]]:
    adapter, training = recipe.adapter, recipe.training
    return [
        ("LoRA rank, alpha, dropout", f"{adapter.lora_r}, {adapter.lora_alpha}, {adapter.lora_dropout}"),
        ("target modules", adapter.lora_target_modules),
        ("learning rate", f"{training.learning_rate:g}, {training.lr_scheduler_type}"),
        *([("rsLoRA", "on")] if adapter.use_rslora else []),
        *([("NEFTune noise", training.neftune_noise_alpha)] if training.neftune_noise_alpha is not None else []),
        ("effective batch", f"{recipe.effective_batch_rows} rows of up to {recipe.data.max_length} tokens"),
        ("packing", "on" if recipe.data.packing else "off"),
        ("loss on", "the assistant's tokens" if recipe.data.assistant_only_loss else "all tokens"),
        ("seed", recipe.run.seed),
    ]


def _origins(manifest: Mapping[str, Any]) -> list[tuple[str, object]]:
    data, environment = manifest.get("data") or {}, manifest.get("environment") or {}
    origin = Origin.from_mapping(manifest)
    rows = [
        ("base model's commit", origin.revision),
        *((f"base model's {name}", sha256) for name, sha256 in sorted(origin.files.items())),
        ("training data", data.get("train_sha256")),
        ("eval data", data.get("eval_sha256")),
        ("python", environment.get("python")),
        *sorted((environment.get("packages") or {}).items()),
        ("platform", environment.get("platform")),
    ]
    return [(name, value) for name, value in rows if value]


def _checks(acceptance: Mapping[str, Any]) -> dict[str, Any]:
    checks = list(acceptance.get("checks") or [])
    kept = next((check for check in checks if check["name"] == "keeps_on_unquantised_base"), None)
    return {
        "checks": checks,
        "kept": None if kept is None else kept["passed"],
        "kept_value": "" if kept is None else kept["value"],
    }


def _snippet(recipe: Recipe, metrics: Mapping[str, Any], origin: Origin) -> str:
    """Return a program that needs transformers, peft and (for a 4-bit base) bitsandbytes, and nothing of ours."""
    model, samples = recipe.model, list(metrics.get("samples") or [])
    prompt = samples[0]["prompt"] if samples and len(samples[0]["prompt"]) <= MAX_PROMPT_CHARACTERS else "Hello!"
    options = ["dtype=dtype"]
    if origin.revision is not None:
        options.append(f"revision={origin.revision!r}")
    if model.trust_remote_code:
        options.append("trust_remote_code=True")
    lines = [
        "import torch",
        "from peft import PeftModel",
        f"from transformers import AutoModelForCausalLM, AutoTokenizer{', BitsAndBytesConfig' * model.load_in_4bit}",
        "",
        'adapter = "."  # this folder',
        f"base = {origin.name!r}  # {'or ' * origin.loads_by_name}where your copy of the base model is",
        "dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32",
    ]
    if model.load_in_4bit:
        options.append("quantization_config=quantization")
        lines += [
            "quantization = BitsAndBytesConfig(",
            "    load_in_4bit=True,",
            f"    bnb_4bit_quant_type={model.bnb_4bit_quant_type!r},",
            f"    bnb_4bit_use_double_quant={model.bnb_4bit_use_double_quant},",
            "    bnb_4bit_compute_dtype=dtype,",
            ")",
        ]
    return "\n".join([*lines, *_generation_lines(options, prompt)])


def _generation_lines(options: list[str], prompt: str) -> list[str]:
    return [
        f"model = AutoModelForCausalLM.from_pretrained(base, {', '.join(options)})",
        "model = PeftModel.from_pretrained(model, adapter).eval()",
        "tokenizer = AutoTokenizer.from_pretrained(adapter)",
        f'messages = [{{"role": "user", "content": {prompt!r}}}]',
        "inputs = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ").to(model.device)",
        "output = model.generate(**inputs, max_new_tokens=128, do_sample=False)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def _fenced(text: str) -> str:
    """Return ``text`` as a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text or '(nothing)'}\n{fence}"


def _cell(text: str) -> str:
    """Return ``text`` fit for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
