"""A dense model that can compute its head at every Nth row alone, for references.

The head is a fifth of the network's work, and a reference keeps every Nth row only. The model is exported
with two outputs: the head at every row and at every Nth row. onnxruntime would always compute both, so each
moves into a branch of an ``If`` node on an optional input. The input's default is false: a caller that does
not set it gets all rows. Both branches share the weights.
"""

from typing import Protocol, runtime_checkable

import onnx
from onnx import TensorProto, helper
from torch import Tensor, nn


@runtime_checkable
class HasStridedHead(Protocol):
    """A dense network whose head can skip rows, such as `earprint.training.networks.DenseNetwork`."""

    def steps(self, x: Tensor) -> Tensor:
        """Map (batch, T, 64) frames to the head's input."""
        ...

    def head(self, x: Tensor, every: int = 1) -> Tensor:
        """Map it to (batch, ceil(rows / every), dim) unit vectors."""
        ...


class BothGrids(nn.Module):
    """A dense network with two outputs: all rows, and every Nth.

    Parameters
    ----------
    network : HasStridedHead
    every : int
    """

    def __init__(self, network: HasStridedHead, every: int) -> None:
        super().__init__()
        self.network, self.every = network, every

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Fingerprint (batch, T, 64) frames: (batch, rows, dim) and (batch, ceil(rows / every), dim)."""
        steps = self.network.steps(x)
        return self.network.head(steps), self.network.head(steps, self.every)


def make_switch(model: onnx.ModelProto, name: str) -> None:
    """Turn a model with two outputs into one with a single output and a switch between them, in place.

    Parameters
    ----------
    model : onnx.ModelProto
        Nodes that both outputs need stay in place; those that only one needs move into its branch.
    name : str
        Name of the new input, a scalar bool: true gives the second output, false (the default) the first.
    """
    graph = model.graph
    first, second = graph.output
    for_first, for_second = _needed(graph, first.name), _needed(graph, second.name)

    def branch(output: onnx.ValueInfoProto, numbers: set[int]) -> onnx.GraphProto:
        nodes = [graph.node[number] for number in sorted(numbers)]
        plain = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None)
        return helper.make_graph(nodes, output.name, [], [plain])

    switch = helper.make_node(
        "If",
        [name],
        ["rows"],
        then_branch=branch(second, for_second - for_first),
        else_branch=branch(first, for_first - for_second),
    )
    nodes = [graph.node[number] for number in sorted(for_first & for_second)]
    dim = first.type.tensor_type.shape.dim[-1].dim_value
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, "rows", dim])
    del graph.node[:], graph.output[:], graph.value_info[:]
    graph.node.extend([*nodes, switch])
    graph.output.append(rows)
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))
    graph.initializer.append(helper.make_tensor(name, TensorProto.BOOL, [], [False]))


def _needed(graph: onnx.GraphProto, output: str) -> set[int]:
    """Return the numbers of the nodes that compute an output."""
    makers = {made: number for number, node in enumerate(graph.node) for made in node.output}
    needed: set[int] = set()
    wanted = [output]
    while wanted:
        number = makers.get(wanted.pop())
        if number is not None and number not in needed:
            needed.add(number)
            wanted.extend(graph.node[number].input)
    return needed
