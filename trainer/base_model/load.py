"""The base model and its adapter: where it lies, how it is loaded, what it is."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from trainer.base_model.hub_snapshot import fetch_snapshot
from trainer.config.recipe import Recipe
from trainer.config.sections import AdapterSection, ModelSection, RunSection
from trainer.errors import BaseModelError, ConfigError
from trainer.files import cache_folder, sha256_of_file

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from trainer.base_model.tokenization import BaseModelFacts

BaseKind = Literal["4bit", "quantised", "unquantised"]
ADAPTER_PARAMETER = "lora_"
BASE_LAYERS = re.compile(r"(\.base_layer)+(?=\.)")
"""What PEFT puts between a layer's name and its weight; a layer of the base model's own may be called so too."""
CONVERTED_MARK = "converted.sha256"
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def resolve_device(run: RunSection) -> torch.device:
    """Return the device to compute on.

    Raises:
        ConfigError: If the run asks for a device that is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if run.device == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[run.device]:
        raise ConfigError(
            f"config: run.device is {run.device}, which PyTorch does not see on this machine",
            resolution="set `device: auto`, or mend the driver",
        )
    return torch.device(run.device)


def resolve_dtype(model: ModelSection, device: torch.device) -> torch.dtype:
    """Return the number format of the computation.

    ``auto`` is float32 on the CPU: without AMX or AVX512-BF16 a bfloat16 matrix product there is 7 (forward) to 130
    (backward) times slower. A GPU before Ampere computes float16 eight times as fast as float32, and has no bfloat16.

    Raises:
        ConfigError: If the recipe asks for a format that this device does not compute.
    """
    on_cuda = device.type == "cuda"
    has_bf16 = on_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    if model.dtype == "auto":
        return torch.bfloat16 if has_bf16 else torch.float16 if on_cuda else torch.float32
    if model.dtype == "float16" and not on_cuda:
        raise ConfigError(
            f"config: model.dtype is float16, which is trained on CUDA only, and this run computes on {device.type}",
            resolution="set `dtype: auto`",
        )
    if model.dtype == "bfloat16" and on_cuda and not has_bf16:
        raise ConfigError(
            f"config: model.dtype is bfloat16, which {torch.cuda.get_device_name(device)} does not compute",
            resolution="set `dtype: auto`, which takes float16 there",
        )
    return DTYPES[model.dtype]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return the context in which a model computes as in training: adapters are float32, their products ``dtype``."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def fit_to_device(recipe: Recipe) -> tuple[Recipe, str | None]:
    """Return the recipe as this device can do it, and what had to be changed, in words.

    Only Apple MPS may lack 4-bit kernels; there the base model is held in full and plain LoRA is trained.

    Raises:
        ConfigError: If the recipe asks for a device or a number format that is not there.
    """
    device = resolve_device(recipe.run)
    resolve_dtype(recipe.model, device)
    if not recipe.model.load_in_4bit or device.type != "mps" or _has_4bit_kernels(device):
        return recipe, None
    model = recipe.model.model_copy(update={"load_in_4bit": False})
    return recipe.model_copy(update={"model": model}), (
        "bitsandbytes has no 4-bit kernels for this device: the base model is not quantised (load_in_4bit: false)"
    )


def _has_4bit_kernels(device: torch.device) -> bool:
    from bitsandbytes import functional

    try:
        packed, state = functional.quantize_4bit(torch.ones(64, 64, device=device), quant_type="nf4")
        functional.dequantize_4bit(packed, state)
    except (RuntimeError, NotImplementedError):
        return False
    return True


def prepare_base_model(model: ModelSection) -> str:
    """Return a folder that transformers can load: a GGUF file is converted once and cached, a Hub model is fetched.

    Raises:
        BaseModelError: If a local file or folder is missing or cannot be converted, or the Hub does not give the model.
    """
    source = model.base_model
    if source.endswith(".gguf"):
        return str(_converted_gguf(Path(source)))
    if not source.startswith("/"):
        return str(fetch_snapshot(source, model.revision, with_code=model.trust_remote_code))
    if not (Path(source) / "config.json").is_file():
        raise BaseModelError(
            f"base model: {source} holds no config.json",
            resolution="set model.base_model to a folder saved by save_pretrained, a .gguf file or a Hub id",
        )
    return source


def _converted_gguf(path: Path) -> Path:
    if not path.is_file():
        raise BaseModelError(f"base model: {path} is missing", resolution="set model.base_model to an existing file")
    digest = sha256_of_file(path)
    target = cache_folder() / "models" / digest[:16]
    if (target / CONVERTED_MARK).is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="converting-", dir=target.parent) as scratch:
        converted = Path(scratch) / "model"
        _convert_gguf(path, converted)
        (converted / CONVERTED_MARK).write_text(f"{digest}  {path.name}\n")
        shutil.rmtree(target, ignore_errors=True)  # the remains of a conversion that was cut off
        try:
            converted.rename(target)
        except OSError:
            if not (target / CONVERTED_MARK).is_file():  # another process may have been faster
                raise
    return target


def _convert_gguf(path: Path, target: Path) -> None:
    """Write a GGUF file as safetensors in bfloat16, tokenizer and chat template beside it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        # Without `dequantize` the blocks stay packed, and a packed model cannot be saved.
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
    except (ValueError, KeyError, NotImplementedError, OSError) as err:
        raise BaseModelError(
            f"base model: {path.name} cannot be converted: {err}",
            resolution="use the model's original weights from the Hub instead of the GGUF file",
        ) from err
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def load_base(recipe: Recipe, location: str, *, quantised: bool) -> PreTrainedModel:
    """Load the base model onto the run's device.

    Args:
        recipe: The recipe.
        location: The folder that ``prepare_base_model`` returned.
        quantised: Hold the linear layers in 4 bits as the recipe says.

    Raises:
        BaseModelError: If it cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    device = resolve_device(recipe.run)
    dtype = resolve_dtype(recipe.model, device)
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": recipe.model.trust_remote_code}
    if recipe.model.attn_implementation != "auto":
        options["attn_implementation"] = recipe.model.attn_implementation
    if device.type == "cuda":
        options["device_map"] = {"": device.index or 0}
    if quantised:
        options["quantization_config"] = quantisation_config(recipe.model, dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(location, **options)
    except (OSError, ValueError, ImportError) as err:
        if getattr(err, "errno", None) == errno.ENOMEM:
            raise  # nothing is wrong with the model
        raise BaseModelError(
            f"base model: {recipe.model.base_model} cannot be loaded: {str(err).splitlines()[0]}",
            details=str(err),
            resolution="check model.base_model and model.revision; a gated model needs HF_TOKEN",
        ) from err
    if device.type == "mps":
        model = model.to(device)
    if device.type == "cpu":
        _keep_4bit_weights_as_they_are(model)
    return model.eval()


def _keep_4bit_weights_as_they_are(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking the weights in the first evaluation.

    On a CPU with AVX512-BF16 it does so for its inference kernel, rounds the scales to bfloat16 on the way, and from
    then on passes no gradient through the layer: the base is another one, and training is cut short in silence.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def base_kind(model: torch.nn.Module) -> BaseKind:
    """Return how a base model is held: some come in 4 bits, or quantised in another way, whatever the recipe says."""
    from bitsandbytes.nn import Linear4bit

    if any(isinstance(module, Linear4bit) for module in model.modules()):
        return "4bit"
    return "quantised" if getattr(model, "is_quantized", False) else "unquantised"


def quantisation_config(model: ModelSection, dtype: torch.dtype) -> Any:
    """Return the bitsandbytes configuration of the recipe."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=model.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=dtype,
    )


def load_tokenizer(location: str, facts: BaseModelFacts, model: ModelSection) -> PreTrainedTokenizerFast:
    """Load the tokenizer as transformers has it, with the chat template that the samples were rendered with.

    Raises:
        BaseModelError: If transformers makes none of the base model's files.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, ImportError) as err:
        said = (str(err).splitlines() or [type(err).__name__])[0]
        raise BaseModelError(
            f"base model: transformers makes no tokenizer of {model.base_model}: {said}",
            details=str(err),
            resolution="correct `tokenizer_class` and the tokens in the base model's tokenizer_config.json, "
            "or take another copy of the base model",
        ) from err
    tokenizer.chat_template = facts.chat_template
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def lora_config(adapter: AdapterSection) -> Any:
    """Return PEFT's configuration of the adapter."""
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.lora_r,
        lora_alpha=adapter.lora_alpha,
        lora_dropout=adapter.lora_dropout,
        target_modules=adapter.lora_target_modules,
        use_rslora=adapter.use_rslora,
        bias="none",
        task_type="CAUSAL_LM",
    )


def keep_adapter_in_fp32(model: PeftModel) -> None:
    """Hold the adapter's weights in float32.

    TRL casts the adapter of a quantised model to bfloat16, where an update below 1/256 of its weight rounds to
    nothing: at a learning rate of 2e-5 most weights never move. PEFT reloads an adapter as float32, so a resumed run
    would change its arithmetic as well.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def base_fingerprint(model: torch.nn.Module) -> str:
    """Return a SHA-256 over every weight of the base model, 4-bit blocks and their scales included.

    It shows that training has not changed them. Another kind of device makes other blocks of the same weights: which
    base model it is, ``origin.find_origin`` says.

    Names are taken without PEFT's prefixes, so that a model has the same fingerprint with and without an adapter.
    """
    digest = hashlib.sha256()
    named = [(_base_name(name), value) for name, value in model.named_parameters() if not _is_adapter(name)]
    for name, parameter in sorted(named, key=lambda pair: pair[0]):
        digest.update(name.encode())
        _update_with_tensor(digest, parameter.data)
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            for key, value in sorted(state.as_dict(packed=True).items()):
                digest.update(key.encode())
                _update_with_tensor(digest, value)
    return digest.hexdigest()


def _is_adapter(name: str) -> bool:
    return ADAPTER_PARAMETER in name


def _base_name(name: str) -> str:
    return BASE_LAYERS.sub("", name.removeprefix("base_model.model."))


def _update_with_tensor(digest: Any, tensor: torch.Tensor) -> None:
    flat = tensor.detach().cpu().contiguous().flatten()
    digest.update(flat.view(torch.uint8).numpy().tobytes())
