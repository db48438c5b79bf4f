"""Finds what is wrong with the files of a model, without the library that loads them.

`modelctl validate` and `modelctl import` refuse such a model before anything is uploaded; the function reports the same
about one that it cannot load.
"""

import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from inference import protobuf
from inference.protobuf import Message

#: Pointers to files that are stored elsewhere: their first bytes, the tool that writes them, and what fetches the file.
_POINTERS = (
    # https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    # https://git-annex.branchable.com/internals/pointer_file/
    (b"/annex/objects/", "git-annex", "git annex get"),
)

#: The ops that other libraries add to TensorFlow.
_LIBRARIES = {
    "tensorflow_text": re.compile(
        r"TFText>.+|CaseFoldUTF8|ConstrainedSequence|Fast(BertNormalize|WordpieceTokenizeWithOffsets)|FindSourceOffsets"
        r"|MaxSpanningTree|NormalizeUTF8(WithOffsetsMap)?|PhraseTokenize|RegexSplitWithOffsets|RougeL"
        r"|SentenceFragments(V2)?|Sentencepiece\w*Op|SplitMergeTokenizeWithOffsets|TokenizerFromLogits"
        r"|(UnicodeScript|Whitespace|Wordpiece)TokenizeWithOffsets"
    ),
    "tensorflow_addons": re.compile(r"Addons>.+"),
    "tensorflow_decision_forests": re.compile(r"SimpleML.+"),
    "tensorflow_io": re.compile(r"IO>.+"),
    "TensorRT": re.compile(r".*TRTEngine.*"),
}

#: The domains whose ops ONNX Runtime has.
_ONNX_DOMAINS = re.compile(r"(ai\.onnx(\.ml|\.training|\.preview\.training)?)?|com\.(microsoft|ms)(\..+)?")

#: The most names in a message.
_MOST_NAMES = 5


def problems(files: Mapping[str, Path], model: str | None) -> Iterator[str]:
    """What is wrong with the files of an artifact.

    Args:
        files: where each file is, by its path in the artifact.
        model: the path of the model file, if there is one.
    """
    absent: dict[tuple[str, str], list[str]] = {}
    for name, file in files.items():
        for sign, kept_by, command in _POINTERS:
            if _begins_with(file, sign):
                absent.setdefault((kept_by, command), []).append(name)
    for (kept_by, command), names in absent.items():
        are = f"is a {kept_by} pointer" if len(names) == 1 else f"are {kept_by} pointers"
        yield f"{listed(names)} {are}, not the content: fetch the content with `{command}`"
    if model is not None and model in files and not absent:
        try:
            yield from _of_model(files, model)
        except (OSError, ValueError, RecursionError):
            return  # It has another format, or is cut off: its library says so.


def lacking(ops: Sequence[str], runtime: str, origin: str = "") -> str:
    """The message for ops that a model has and its runtime lacks.

    Args:
        ops: their names.
        runtime: the model's runtime.
        origin: the library that adds them, if it is known.
    """
    what, of = ("the op", "is") if len(ops) == 1 else ("the ops", "are")
    whose = f" of {origin}" if origin else ""
    return (
        f"the model has {what} {listed(ops)}{whose}, which {of} not part of the runtime {runtime}: perform that "
        "step before the upload, and export the model without it"
    )


def origin_of(op: str) -> str:
    """The library that adds an op to TensorFlow; "" if it is not known."""
    return next((library for library, ops in _LIBRARIES.items() if ops.fullmatch(op)), "")


def listed(names: Sequence[str]) -> str:
    """Names for a message, shortened if there are many."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def external_data(model: Path) -> list[str]:
    """The other files in which an ONNX file keeps weights, by their paths relative to its folder.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not an ONNX file.
    """
    return list(dict.fromkeys(map(posixpath.normpath, _locations(_onnx_graphs(protobuf.read(model))))))


def _begins_with(file: Path, sign: bytes) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(sign)) == sign
    except OSError:
        return False


def _of_model(files: Mapping[str, Path], model: str) -> Iterator[str]:
    read = {".onnx": _of_onnx, ".pb": _of_saved_model}.get(Path(model).suffix)
    if read is None:
        return
    if read is _of_onnx and (missing := [name for name in external_data(files[model]) if name not in files]):
        which, them = ("which is", "it") if len(missing) == 1 else ("which are", "them")
        yield f"{model} stores weights in {listed(missing)}, {which} missing: put {them} in the model's folder"
    yield from read(protobuf.read(files[model]))


def _of_saved_model(message: Message) -> Iterator[str]:
    """https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/meta_graph.proto."""
    graphs = list(message.messages(2))
    if len(graphs) > 1:  # only the one with this tag is loaded: meta_info_def, tags
        graphs = [graph for graph in graphs if [str(tag) for tag in graph.messages(1, 4)] == ["serve"]]
    by_library: dict[str, list[str]] = {}
    # Each lists its ops: meta_info_def, stripped_op_list, op, name.
    for op in sorted({str(op) for graph in graphs for op in graph.messages(1, 2, 1, 1)}):
        if library := origin_of(op):
            by_library.setdefault(library, []).append(op)
    for library, ops in by_library.items():
        yield lacking(ops, "tensorflow", library)


def _of_onnx(message: Message) -> Iterator[str]:
    """https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""
    graphs = _onnx_graphs(message)
    # A model may contain its own functions, by domain and name.
    own = {(function.text(10), function.text(1)) for function in message.messages(25)}
    by_domain: dict[str, list[str]] = {}
    for domain, op in sorted({(node.text(7), node.text(4)) for graph in graphs for node in graph.messages(1)} - own):
        if not _ONNX_DOMAINS.fullmatch(domain):
            by_domain.setdefault(domain, []).append(op)
    for domain, ops in by_domain.items():
        yield lacking(ops, "onnx", "onnxruntime_extensions" if domain == "ai.onnx.contrib" else domain)


def _onnx_graphs(message: Message) -> list[Message]:
    return [inner for graph in message.messages(7) for inner in _graphs(graph)]


def _graphs(graph: Message) -> Iterator[Message]:
    """A graph and the graphs in the attributes of its nodes: loops and branches."""
    yield graph
    for inner in itertools.chain(graph.messages(1, 5, 6), graph.messages(1, 5, 11)):
        yield from _graphs(inner)


def _locations(graphs: Sequence[Message]) -> Iterator[str]:
    """The files that hold the data of tensors that do not hold it themselves."""
    # initializer; sparse_initializer: values and indices; node, attribute: t and tensors
    paths = ((5,), (15, 1), (15, 2), (1, 5, 5), (1, 5, 10))
    for tensor in itertools.chain.from_iterable(graph.messages(*path) for graph in graphs for path in paths):
        for entry in tensor.messages(13):
            if entry.text(1) == "location":
                yield entry.text(2)
