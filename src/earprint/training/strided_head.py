"""A dense model that can compute the head at every Nth row alone, as references need it.

The head is a fifth of the network's work, and a reference keeps only some of its rows. The model is exported
with the head twice, at every row and at every Nth, as two outputs. onnxruntime would always compute both; so
each moves into a branch of an ``If`` on a further input, which is false where it is not given: whoever does
not know it gets all rows. The weights lie outside the branches, once.
"""

import onnx
from onnx import TensorProto, helper
from torch import Tensor, nn

from earprint.training.networks import DenseNetwork


class BothGrids(nn.Module):
    """A dense network that gives all rows, and every Nth.

    Parameters
    ----------
    network : DenseNetwork
    every : int
    """

    def __init__(self, network: DenseNetwork, every: int) -> None:
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
        What both outputs need stays as it is; what only one needs becomes a branch.
    name : str
        Of the new input, a scalar truth value: the second output if true, the first if false or not given.
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
    """Numbers of the nodes that an output is made by."""
    makers = {made: number for number, node in enumerate(graph.node) for made in node.output}
    needed: set[int] = set()
    wanted = [output]
    while wanted:
        number = makers.get(wanted.pop())
        if number is not None and number not in needed:
            needed.add(number)
            wanted.extend(graph.node[number].input)
    return needed
