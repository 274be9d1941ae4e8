"""Numbers in words, the same in the page, the terminal and the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.errors import counted

UNKNOWN = "–"


def count(value: float | None) -> str:
    """Return a count in a few characters: ``812``, ``14.2 k``, ``3.1 M``."""
    if value is None:
        return UNKNOWN
    if value < 1e4:
        return f"{value:,.0f}"
    for unit in ("k", "M"):
        value /= 1000
        if value < 999.5:
            return f"{value:.3g} {unit}"
    return f"{value / 1000:.3g} G"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with ``digits`` after the point."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def compact(value: float | None) -> str:
    """Return a number with three or four figures, without an exponent where it can be helped."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Return ``0.8 s``, ``42 s``, ``3 min 07 s`` or ``2 h 05 min``."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def dollars(value: float | None) -> str:
    """Return ``$0.00``."""
    return UNKNOWN if value is None else f"${value:,.2f}"


def dollar_range(range_usd: Sequence[float | None]) -> str:
    """Return ``$0.41 to $0.42``, ``$0.41`` where both ends read the same, ``at least $0.41`` where none is known."""
    low, high = range_usd
    if high is None:
        return f"at least {dollars(low)}"
    return dollars(low) if dollars(low) == dollars(high) else f"{dollars(low)} to {dollars(high)}"


def machine_words(line: Mapping[str, Any]) -> str:
    """Return a machine of a run in a line: its id, cloud and price, what it cost, and whether it may still bill."""
    price = line["price_usd_per_h"]
    known = line["machine_id"] or "a request without an answer"
    rate = "" if price is None else f" at {dollars(price)}/h"
    end = "may still bill" if line["gone_at"] is None else "no longer there"
    why = line.get("why_useless")  # receipts of older versions have none
    never = "" if why is None else f"; it never trained: {why}"
    return f"{known} on {line['cloud']}{rate}: {dollar_range(line['cost_range_usd'])}, {end}{never}"


def wasted_words(lines: Iterable[Mapping[str, Any]]) -> str | None:
    """Return what the machines cost that never trained, of those of one run or of many; ``None`` if there are none."""
    ranges = [line["cost_range_usd"] for line in lines if line.get("why_useless") is not None]
    if not ranges:
        return None
    low, high = sum(one[0] for one in ranges), [one[1] for one in ranges]
    spent = dollar_range([low, None if None in high else sum(high)])
    return f"{spent} for {counted(len(ranges), 'machine')} that never trained"


def gib(value: float | None) -> str:
    """Return gibibytes with two figures after the point."""
    return UNKNOWN if value is None else f"{value:.2f} GiB"


def size(value: float | None) -> str:
    """Return bytes as ``12.3 MiB``."""
    if value is None:
        return UNKNOWN
    amount, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def improvement(percent: float | None) -> str:
    """Return ``41.2 % lower`` or ``3.0 % higher`` (of a loss)."""
    if percent is None:
        return UNKNOWN
    return f"{abs(percent):.1f} % {'lower' if percent >= 0 else 'higher'}"


def off(error: float | None) -> str:
    """Return how far an estimate was off: ``12 % too high``, ``3 % too low``, ``right``."""
    if error is None:
        return UNKNOWN
    percent = round(100 * error)
    return "right" if percent == 0 else f"{abs(percent)} % too {'high' if percent > 0 else 'low'}"


def words(name: str) -> str:
    """Return a key as words: ``base_4bit`` → ``base, 4-bit``; ``load_model`` → ``load model``."""
    known = {
        "base_4bit": "base, 4-bit",
        "adapter_4bit": "adapter on 4-bit base",
        "base_unquantised": "base, unquantised",
        "base_quantised": "base, quantised",
        "adapter_quantised": "adapter on quantised base",
        "adapter_unquantised": "adapter on unquantised base",
        "merged": "merged model",
        "json_valid": "valid JSON",
        "json_keys": "right keys",
        "field_accuracy": "right fields",
        "exact_match": "exact match",
        "loss": "eval loss",
    }
    return known.get(name, name.replace("_", " "))


def value_text(value: Any) -> str:
    """Return a JSON value in words for a table cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return str(value) if abs(value) < 10_000 else f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')}: {value_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(value_text(item) for item in value) or "none"
    return str(value)


def money(usd: float) -> str:
    """Return dollars; of amounts below ten cents, tenths of a cent as well."""
    if 0 < usd < 0.0005:
        return "<$0.001"
    return f"${usd:.3f}" if 0 < usd < 0.1 else dollars(usd)


def time_words(seconds: float | None) -> str:
    """Return an estimated duration, no finer than an estimate is."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
