"""ONNX Runtime's sessions: graphs made ready to run on the processor."""

from __future__ import annotations

import numpy as np

from tinct.graphs.writer import Graph
from tinct.inference.threads import thread_count
from tinct.io.optional import import_optional


class Session:
    """A graph that runs.

    Args:
        graph: Written by `tinct.graphs`.
    """

    def __init__(self, graph: Graph) -> None:
        runtime = import_optional("onnxruntime", "onnx", "The backend onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.log_severity_level = 3
        # Threads that wait for work would keep other cores from theirs; and what a large frame took is not
        # held for the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False
        self._session = runtime.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs, in the graph's order."""
        contiguous = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        outputs: list[np.ndarray] = self._session.run(None, contiguous)
        return outputs
