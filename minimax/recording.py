"""A pure function of tensors as the list of its operators, which runs again without vmap, autograd and Python of ours.

Written down below autograd, where torch's dispatcher arrives, so that gradients are operators like others.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
SAME = {aten.detach.default, aten.alias.default}  # the same numbers under another name, which no gradient needs here
READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class ReadsNumbers(RuntimeError):
    """A function that goes one way or another by the numbers it is given."""


class Recorder(TorchDispatchMode):
    """Writes down what runs inside.

    Args:
        leaves: what it begins with; what else comes in unmade is a constant.
    """

    def __init__(self, leaves: Sequence[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.constants = fx.Graph(), dict[str, Tensor]()
        self.nodes = WeakTensorKeyDictionary()  # strong ones would keep all that a step computes
        for k, leaf in enumerate(leaves):
            node = self.graph.placeholder(f"leaf_{k}")
            if isinstance(leaf, Tensor):
                self.nodes[leaf] = node

    def node(self, value: Any) -> Any:
        """What stands for the value in the graph."""
        if not isinstance(value, Tensor):
            return value
        if value not in self.nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name], self.nodes[value] = value, self.graph.get_attr(name)
        return self.nodes[value]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if READS & {*func.tags}:
            raise ReadsNumbers(
                f"a recorded step cannot read numbers off a tensor (by {func}), as float(), .item() and if do: they "
                "are others the next time. Keep them tensors, say with torch.where."
            )
        kwargs = kwargs or {}
        if func is aten.lift_fresh.default:  # a constant, made afresh every time, that may be written to
            func = aten.clone.default
        out = func(*args, **kwargs)
        if func in SAME:
            self.nodes[out] = self.node(args[0])
            return out
        node = self.graph.call_function(func, *pytree.tree_map(self.node, (args, kwargs)))
        if isinstance(out, Tensor):
            self.nodes[out] = node
        for k, part in enumerate(out if isinstance(out, tuple | list) else ()):
            if isinstance(part, Tensor):
                self.nodes[part] = self.graph.call_function(operator.getitem, (node, k))
        return out


class Recording:
    """A pure function of tensors, recorded on some arguments: for others of their structure, shapes and dtypes.

    Args:
        function: of pytrees, as is what it returns.
        args: what to record it on.

    Raises:
        ReadsNumbers: a function that reads numbers to go on from them.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        leaves, spec = pytree.tree_flatten(args)
        # Inputs are told apart by object, and a state may hold a player itself.
        distinct = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        with Recorder(distinct) as recorder:
            values, self.out = pytree.tree_flatten(function(*pytree.tree_unflatten(distinct, spec)))
        recorder.graph.output([recorder.node(value) for value in values])
        recorder.graph.eliminate_dead_code()
        self.graph = fx.GraphModule(recorder.constants, recorder.graph)

    @torch.no_grad()  # its gradients are operators: a constant that asks for one would chain a graph from call to call
    def __call__(self, *args: Any) -> Any:
        return pytree.tree_unflatten(self.graph(*pytree.tree_leaves(args)), self.out)


class Traced:
    """A pure function of tensors, recorded once per structure and shape."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.recordings: dict[Any, Recording] = {}

    def __call__(self, *args: Any) -> Any:
        leaves, spec = pytree.tree_flatten(args)
        key = (spec, tuple((leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves))
        if key not in self.recordings:
            self.recordings[key] = Recording(self.function, *args)
        return self.recordings[key](*args)
