"""Tensors in plain containers as bytes: a safetensors file, which names them and holds the containers as JSON.

Reading one executes nothing, whoever wrote it, and `safetensors.torch.load_file` reads it without this code.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.record import DamagedError

CONTENT = "content"  # the metadata's key


def dumped(value: Any) -> bytes:
    """Tensors, numbers, words, None, and dicts, lists and tuples of them, as bytes.

    >>> loaded(dumped({"a": (torch.ones(2), [0.1, None])}))
    {'a': (tensor([1., 1.]), [0.1, None])}

    Raises:
        TypeError: something else is among them.
    """
    tensors: dict[str, Tensor] = {}
    content = json.dumps(_told(value, "", tensors))
    return bytes(save(tensors, {CONTENT: content}))


def loaded(data: bytes, device: str | torch.device = "cpu") -> Any:
    """What `dumped` was given.

    Args:
        data: the bytes.
        device: where to put the tensors that were on another device than the CPU.

    Raises:
        DamagedError: they are no such bytes.
    """
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return _made(json.loads(header["__metadata__"][CONTENT]), tensors, device)
    except Exception as error:  # safetensors has errors of its own, and what is read may be anything
        raise DamagedError(f"these are no tensors of ours ({type(error).__name__}: {error})") from error


def _told(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON tells of it; its tensors go into `tensors`, by the path that leads to them."""
    kind = type(value)
    if isinstance(value, Tensor):
        while name in tensors:  # {"a.b": x, "a": {"b": y}}
            name += "_"
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"tensor": name, "cpu": value.device.type == "cpu"}
    if value is None or kind in (bool, int, float, str):
        return value
    at = f"{name}." if name else ""
    if kind is dict and all(type(key) in (str, int) for key in value):
        return {"dict": [[key, _told(item, f"{at}{key}", tensors)] for key, item in value.items()]}
    if kind in (list, tuple):
        return {kind.__name__: [_told(item, f"{at}{k}", tensors) for k, item in enumerate(value)]}
    raise TypeError(
        f"{name or 'this'} is a {kind.__name__}: only tensors, numbers, words, None, and dicts, lists and tuples of "
        "them can be saved."
    )


def _made(told: Any, tensors: dict[str, Tensor], device: str | torch.device) -> Any:
    """The value that `_told` has told of."""
    if not isinstance(told, dict):
        return told
    if "tensor" in told:
        tensor = tensors[told["tensor"]]
        return tensor if told["cpu"] else tensor.to(device)
    ((kind, items),) = told.items()
    if kind == "dict":
        return {key: _made(item, tensors, device) for key, item in items}
    return {"list": list, "tuple": tuple}[kind](_made(item, tensors, device) for item in items)
