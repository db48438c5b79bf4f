"""Real ONNX models, small ones: graphs in ONNX's own notation, and what skl2onnx makes of scikit-learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
from onnx import numpy_helper

#: float32 is `float`; a dimension is a length or a name, as N is for the batch.
GRAPHS = {
    "kinds": """
        (string[N] text, float16[N] half, bool[N] flag, uint8[N] small, int64[N] large, double[N] exact)
        => (string[N] said, float16[N] halves, bool[N] turned, uint8[N] kept, int64[N] twice, double[N] same)
        {
            said = Identity(text)
            halves = Add(half, half)
            turned = Not(flag)
            kept = Identity(small)
            twice = Add(large, large)
            same = Identity(exact)
        }
    """,
    "double": "(float[1, 3] x) => (float[1, 3] doubled) { doubled = Add(x, x) }",
    "look_up": """
        (int64[N] index) => (float[N] value) <float[3] table = {10, 20, 30}> { value = Gather(table, index) }
    """,
    "divide": "(int32[N] a, int32[N] b) => (int32[N] quotient) { quotient = Div(a, b) }",
    "fill": "(int64[2] shape) => (float[A, B] y) { y = ConstantOfShape(shape) }",
    "images": "(float[N, 64, 64, 3] x) => (float[N, 64, 64, 3] y) { y = Identity(x) }",
    "sentences": "(int64[N, L] x) => (int64[N, L] y) { y = Identity(x) }",
    "scaled": "(float[N, 3] x, float scale) => (float[N, 3] y) { y = Mul(x, scale) }",
    "nothing": "() => (float[2] y) <float[2] both = {1, 2}> { y = Identity(both) }",
    "whole": "(float[3] x) => (float[1] sum) { sum = ReduceSum <keepdims = 1> (x) }",
    "unlike": "(float[N] x) => (float[N] same, int64[D, K] places) { same = Identity(x) places = NonZero(x) }",
    "sequence": "(float[N] x) => (seq(float[N]) y) { y = SequenceConstruct(x) }",
    "bfloat16": "(bfloat16[N] x) => (bfloat16[N] y) { y = Identity(x) }",
    "locale": """
        (string[N] x) => (string[N] y) { y = StringNormalizer <case_change_action = "LOWER", locale = "xx_XX"> (x) }
    """,
    # ONNX Runtime warns of the initializer that nothing uses.
    "untidy": "(float[N, 3] x) => (float[N, 3] y) <float[1] unused = {1}> { y = Identity(x) }",
    "unknown_op": "(float[N] x) => (float[N] y) { y = Fold(x) }",
}


def build_onnx(root: Path, scans: Any, two: Any) -> None:
    """Make a folder `<name>.onnx` for each, among them the Keras models `scans` and `two` with their weights."""

    def save(name: str, model: Any, **options: Any) -> None:
        (root / f"{name}.onnx").mkdir()
        onnx.save_model(model, root / f"{name}.onnx" / "model.onnx", **options)

    for name, text in GRAPHS.items():
        save(name, graph(text))
    kernel, bias, weights, offset = scans.get_weights()
    save(
        "scans",
        graph(
            """
            (float[N, 8, 8, 1] scan) => (float[N, 10] scores) {
                first = Transpose <perm = [0, 3, 1, 2]> (scan)
                edges = Conv (first, kernel, bias)
                lines = Relu (edges)
                last = Transpose <perm = [0, 2, 3, 1]> (lines)
                flat = Flatten (last)
                logits = Gemm (flat, weights, offset)
                scores = Softmax (logits)
            }
            """,
            {"kernel": kernel.transpose(3, 2, 0, 1), "bias": bias, "weights": weights, "offset": offset},
        ),
        # The weights are in a file next to the model, as required for a model beyond 2 GB.
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    names = ("p_weights", "p_offset", "q_weights", "q_offset")
    save(
        "two",
        graph(
            """
            (float[N, 3] a, float[N, 2] b) => (float[N, 2] p, float[N, 1] q) {
                joined = Concat <axis = 1> (a, b)
                p = Gemm (joined, p_weights, p_offset)
                q = Gemm (joined, q_weights, q_offset)
            }
            """,
            dict(zip(names, (*two.get_layer("p").get_weights(), *two.get_layer("q").get_weights()), strict=True)),
        ),
    )
    # Imported here: what needs one model of Keras does not wait for scikit-learn.
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    inputs = np.eye(3, dtype=np.float32)
    classifier = LogisticRegression(C=100).fit(inputs, [0, 1, 1])
    save("classifier", to_onnx(classifier, inputs, options={"zipmap": False}))
    save("zipmap", to_onnx(classifier, inputs))
    save(
        "odds",
        graph(
            "(float[N, 3] x) => (float[N, 1] p) { s = ReduceSum (x, axis) p = Sigmoid (s) }", {"axis": np.array([1])}
        ),
    )


def graph(text: str, weights: Mapping[str, Any] | None = None) -> Any:
    """A model of a graph in ONNX's notation, with its weights."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> test {text}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in (weights or {}).items())
    return model
