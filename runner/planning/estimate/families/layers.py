"""Linear layers, and the groups of them that families share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.planning.estimate.families.numbers import Numbers


@dataclass(frozen=True)
class Linear:
    """A linear layer that every block has.

    Attributes:
        name: Its path in the block, as ``self_attn.q_proj``.
        inputs: Width of what goes in.
        outputs: Width of what comes out.
        has_bias: Whether it adds a vector, which is never quantised.
        is_quantised: Whether bitsandbytes takes it: layers of a class of their own it leaves alone.
    """

    name: str
    inputs: int
    outputs: int
    has_bias: bool = False
    is_quantised: bool = True

    @property
    def parameters(self) -> int:
        """Weights, the bias apart."""
        return self.inputs * self.outputs

    @property
    def bias_parameters(self) -> int:
        """Weights of the bias."""
        return self.outputs if self.has_bias else 0

    @property
    def last_name(self) -> str:
        """The end of its path, as most lists of ``lora_target_modules`` have it."""
        return self.name.rpartition(".")[2]

    def lora_parameters(self, rank: int) -> int:
        """Return the weights that an adapter adds: rank × (inputs + outputs)."""
        return rank * (self.inputs + self.outputs)


@dataclass(frozen=True)
class Layers:
    """How a family is built.

    Attributes:
        block: The linear layers of a block; the last one leads out of its MLP.
        kept: Weights of a block that are in no linear layer: norms, sinks, scales.
        once: Weights outside of the blocks, beside embedding and output head: the last norm, positions, biases.
        outer: Linear layers outside of the blocks, beside the output head.
        is_gated: Whether the MLP has a gate beside its way up.
        normed: Numbers of a token that go through the norms of a block, where these are not two as wide as the stream.
        queries: Width of queries, where they are not as wide as heads and ``head_dim`` say.
        keys: The same of keys.
        embedding: Width of the embedding, where that is not the stream's.
        is_tied: Whether the head is the embedding, where the configuration of the text does not say.
        ends_in_linear: Whether a linear layer is the last that transformers lists, the output head apart: it takes what
            is last for the head, and leaves it in 16 bits (``get_keys_to_not_convert``).
    """

    block: tuple[Linear, ...]
    kept: int = 0
    once: int = 0
    outer: tuple[Linear, ...] = ()
    is_gated: bool = True
    normed: int | None = None
    queries: int | None = None
    keys: int | None = None
    embedding: int | None = None
    is_tied: bool | None = None
    ends_in_linear: bool = False


Build = Callable[[Numbers], Layers]


def attention(
    n: Numbers, *, bias: bool = False, out_bias: bool | None = None, at: str = "self_attn", out: str = "o_proj"
) -> tuple[Linear, ...]:
    """Return attention's layers where queries, keys and values have one each.

    Args:
        n: The configuration.
        bias: Whether these three have a bias.
        out_bias: The same of the layer that leads out; as they have by default.
        at: Path of attention in the block.
        out: Name of the layer that leads out.
    """
    return (
        Linear(f"{at}.q_proj", n.hidden, n.queries, bias),
        Linear(f"{at}.k_proj", n.hidden, n.keys, bias),
        Linear(f"{at}.v_proj", n.hidden, n.keys, bias),
        Linear(f"{at}.{out}", n.queries, n.hidden, bias if out_bias is None else out_bias),
    )


def gated(n: Numbers, *, bias: bool = False) -> tuple[Linear, ...]:
    """Return the layers of an MLP with a gate beside its way up."""
    return (Linear("mlp.gate_proj", n.hidden, n.inner, bias), *up_down(n, bias=bias))


def up_down(
    n: Numbers,
    names: tuple[str, str] = ("mlp.up_proj", "mlp.down_proj"),
    *,
    bias: bool = False,
    inner: int | None = None,
) -> tuple[Linear, ...]:
    """Return the layers of an MLP without a gate.

    Args:
        n: The configuration.
        names: Paths of the way up and the way down in the block.
        bias: Whether they have a bias.
        inner: Width between them, where it is not ``intermediate_size``.
    """
    width = n.inner if inner is None else inner
    return (Linear(names[0], n.hidden, width, bias), Linear(names[1], width, n.hidden, bias))


def square(n: Numbers, *names: str, bias: bool = False) -> tuple[Linear, ...]:
    """Return layers as wide as the stream on both sides."""
    return tuple(Linear(name, n.hidden, n.hidden, bias) for name in names)


def joined(n: Numbers, name: str, out: str, *, bias: bool = False, out_bias: bool | None = None) -> tuple[Linear, ...]:
    """Return attention's layers where queries, keys and values, all as wide as the stream, come from one layer."""
    return (Linear(name, n.hidden, 3 * n.hidden, bias), *square(n, out, bias=bias if out_bias is None else out_bias))


def latent_attention(n: Numbers) -> tuple[Linear, ...]:
    """Return the layers of attention that goes through a narrow space: DeepSeek's, as MiniCPM3 and Youtu have it."""
    bias, rank, narrow = n.on("attention_bias"), n.given("q_lora_rank"), n["kv_lora_rank"]
    plain, turned, values = n["qk_nope_head_dim"], n["qk_rope_head_dim"], n["v_head_dim"]
    queries = n.heads * (plain + turned)
    first: tuple[Linear, ...] = (Linear("self_attn.q_proj", n.hidden, queries),)
    if rank is not None:
        first = (Linear("self_attn.q_a_proj", n.hidden, rank, bias), Linear("self_attn.q_b_proj", rank, queries))
    return (
        *first,
        Linear("self_attn.kv_a_proj_with_mqa", n.hidden, narrow + turned, bias),
        Linear("self_attn.kv_b_proj", narrow, n.heads * (plain + values)),
        Linear("self_attn.o_proj", n.heads * values, n.hidden, bias),
    )
