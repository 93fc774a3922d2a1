"""Reading, running and describing ``.tflite`` files: the one place that opens them.

    graph = Graph.read("build/model.tflite")      # operators, tensors, who feeds whom
    runner = Runner(graph)                        # pixels in, landmarks out, as on a phone
    about = Metadata.read("build")                # crop, box, scheme: what an app must know

Needs tfalign's extra ``mobile``; importing this room does not.
"""

from tfalign.tflite.graph import IDENTIFIER, Graph, Operator, Tensor, pack
from tfalign.tflite.metadata import Metadata
from tfalign.tflite.optional import require
from tfalign.tflite.runner import INPUT, OUTPUT, Runner

__all__ = [
    "IDENTIFIER",
    "INPUT",
    "OUTPUT",
    "Graph",
    "Metadata",
    "Operator",
    "Runner",
    "Tensor",
    "pack",
    "require",
]
