"""Seeded mutations that know what they change: values of documents, lines of texts, chunks of pictures, fields."""

from __future__ import annotations

import copy
import json
import random
import struct
import zlib
from typing import Any
from xml.etree import ElementTree

import numpy as np

DEEP = 3_000  # beyond Python's recursion limit
LONG = 70_000  # beyond what a file name, a terminal or a 16-bit length holds
STRINGS = ["", "x", "person", "\0", "../../etc/passwd", "/dev/zero", "\ud800", "é" * 300, "9" * 5000, "a" * LONG, "NaN"]
NUMBERS = [0, -1, 1, 2**31, -(2**63), 10**30, 0.5, -0.0, 1e308, -1e308, float("nan"), float("inf")]
ODD: list[Any] = [None, True, False, [], {}, [[]], [None], {"id": 1}, *NUMBERS, *STRINGS]
INTEGERS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, item in inner for deeper in places(item, (*place, key)))]


def mutate_document(document: Any, rng: random.Random) -> Any:
    """One to three values changed, removed, doubled, exchanged or nested; half of the time near the top."""
    result = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways = sorted(places(result), key=len)[1:]
        if not ways:
            return rng.choice(ODD)
        place = rng.choice(ways[: len(ways) // 20 + 5] if rng.random() < 0.5 else ways)
        parent = result
        for key in place[:-1]:
            parent = parent[key]
        _change(parent, place[-1], rng)
    return rng.choice(ODD) if rng.random() < 0.01 else result


def _change(parent: Any, key: Any, rng: random.Random) -> None:
    value = parent[key]
    what = rng.randrange(9)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(value))
    elif what == 1:
        parent[f"{key}_"] = parent.pop(key)
    elif what == 2:
        parent[key] = [value] if rng.random() < 0.5 else {"x": value}
    elif what == 3 and isinstance(value, list) and value:
        parent[key] = value * rng.choice((0, 2, 100)) if rng.random() < 0.5 else value[: len(value) // 2]
    elif what == 4:
        other = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        parent[key], parent[other] = parent[other], value
    elif what == 5 and isinstance(value, (int, float)) and not isinstance(value, bool):
        parent[key] = rng.choice((-value, value + 1, value * 1e6, str(value), rng.uniform(-1e4, 1e4)))
    else:
        parent[key] = rng.choice(ODD)


def document_bytes(document: Any, rng: random.Random) -> bytes:
    """As JSON; now and then nested too deeply, or damaged as bytes."""
    content = json.dumps(document).encode()
    kind = rng.random()
    if kind < 0.03:
        at = content.find(b":") + 1
        return content[:at] + b"[" * DEEP + content[at:] + b"]" * DEEP
    return mutate_bytes(content, rng) if kind < 0.2 else content


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, parts removed, doubled or filled, numbers set; anywhere, more often in the head."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        end = min(len(data), 256) if rng.random() < 0.4 else len(data)
        at = rng.randrange(end) if end else 0
        length = rng.choice((1, 4, 64, 1000))
        what = rng.randrange(7)
        if what == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[at:]
        elif what == 2:
            del data[at : at + length]
        elif what == 3:
            data[at:at] = data[at : at + length]
        elif what == 4:
            data[at:at] = rng.randbytes(length)
        elif what == 5:
            data[at : at + length] = bytes(length)
        else:
            data[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(INTEGERS))
    return bytes(data)


def mutate_text(text: str, rng: random.Random) -> bytes:
    """Lines of YAML, TOML or labels removed, doubled or exchanged, and values behind `=`, `:` or a blank replaced."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines)) if lines else 0
        what = rng.randrange(6)
        line = lines[at] if lines else ""
        mark = next((m for m in (" = ", ": ", " ") if m in line), " ")
        if what == 0 and lines:
            del lines[at]
        elif what == 1:
            lines.insert(at, line)
        elif what == 2 and lines:
            lines[at] = line.partition(mark)[0] + mark + rng.choice("[{") * DEEP
        elif lines:
            odd = (
                json.dumps(rng.choice(ODD)) if rng.random() < 0.7 else rng.choice(("2024-99-99", "!!bool x", "&a [*a]"))
            )
            words = line.split(mark)
            words[rng.randrange(len(words))] = odd
            lines[at] = mark.join(words)
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return mutate_bytes(content, rng) if rng.random() < 0.2 else content


def mutate_xml(text: str, rng: random.Random) -> bytes:
    """Elements removed, doubled, renamed or emptied, attributes and texts exchanged; now and then damaged as bytes."""
    root = ElementTree.fromstring(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        parents = [element for element in root.iter() if len(element)]
        if not parents:
            break
        parent = rng.choice(parents)
        element = rng.choice(list(parent))
        what = rng.randrange(6)
        if what == 0:
            parent.remove(element)
        elif what == 1:
            parent.append(copy.deepcopy(element))
        elif what == 2:
            element.tag = rng.choice(("x", parent.tag, root.tag))
        elif what == 3 and element.attrib:
            del element.attrib[rng.choice(list(element.attrib))]
        elif what == 4 and element.attrib:
            element.set(rng.choice(list(element.attrib)), _xml_value(rng))
        else:
            element.text = _xml_value(rng)
    content = ElementTree.tostring(root)
    kind = rng.random()
    if kind < 0.03:
        at = content.find(b">", 1) + 1
        return content[:at] + b"<x>" * DEEP + b"</x>" * DEEP + content[at:]
    return mutate_bytes(content, rng) if kind < 0.2 else content


def _xml_value(rng: random.Random) -> str:
    """A number or a text that XML can hold, or keypoints as CVAT writes them that are none."""
    odd = rng.choice((*STRINGS, *map(str, NUMBERS), "1,2;3", ";;;", "nan,inf", "1,2,3"))
    return odd.replace("\0", "").encode("utf-8", "ignore").decode()


def mutate_png(content: bytes, rng: random.Random) -> bytes:
    """A chunk changed, removed or doubled, its checksum right again: what lies behind the checksum is reached."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    index = rng.randrange(len(chunks))
    name, data = chunks[index]
    what = rng.randrange(4)
    if what == 0:
        del chunks[index]
    elif what == 1:
        chunks.insert(index, (name, data))
    elif what == 2 and name == b"IHDR":
        chunks[index] = (name, struct.pack(">II", rng.choice(INTEGERS), rng.choice((1, 64, 20_000))) + data[8:])
    else:
        chunks[index] = (name, mutate_bytes(data, rng))
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return content[:8] + b"".join(packed)


def mutate_structs(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """MATLAB's structs and cells: one value somewhere exchanged for another kind, or a field dropped."""
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: mutate_structs(value[key], rng, depth + 1)}
    stop = rng.random() < 0.15 * depth
    if stop or not isinstance(value, np.ndarray) or value.size == 0 or value.dtype.kind not in "OV":
        odd = [np.zeros((0, 0)), np.array([["x"]]), np.array([[np.nan]]), np.zeros((3, 0, 2)), np.array([[1e30]])]
        more = [
            np.array([[-1]]),
            np.empty((1, 1), object),
            np.ones((200, 3)),
            np.array([["a" * 500]]),
            np.array([[1j]]),
        ]
        return rng.choice(odd + more)
    if value.dtype.names and rng.random() < 0.15:
        kept = [name for name in value.dtype.names if name != rng.choice(value.dtype.names)]
        return value[kept].copy() if kept else np.zeros((0, 0))
    result = value.copy()
    at = np.unravel_index(rng.randrange(value.size), value.shape)
    if value.dtype.names:
        name = rng.choice(value.dtype.names)
        result[at][name] = mutate_structs(value[at][name], rng, depth + 1)
    else:
        result[at] = mutate_structs(value[at], rng, depth + 1)
    return result


def mutate_network(model: Any, rng: random.Random) -> bytes:
    """An onnx.ModelProto with a node, a weight, a shape or an attribute changed."""
    result = type(model)()
    result.CopyFrom(model)
    graph = result.graph
    what = rng.randrange(6)
    if what == 0 and graph.initializer:
        tensor = rng.choice(list(graph.initializer))
        tensor.dims[:] = [rng.choice((0, -1, 1, 10**9, 2**62)) for _ in tensor.dims]
    elif what == 1 and graph.initializer:
        tensor = rng.choice(list(graph.initializer))
        tensor.raw_data = mutate_bytes(tensor.raw_data, rng)
    elif what == 2:
        node = rng.choice(list(graph.node))
        node.op_type = rng.choice(("Loop", "Nothing", "Relu", "Reshape", ""))
    elif what == 3:
        node = rng.choice(list(graph.node))
        del node.input[:1]
    elif what == 4:
        port = rng.choice([*graph.input, *graph.output])
        port.name = rng.choice(("", "x", port.name))
        for dim in port.type.tensor_type.shape.dim:
            if rng.random() < 0.5:
                dim.dim_value = rng.choice((0, 1, 7, 10**9))
    else:
        return mutate_bytes(result.SerializeToString(), rng)
    return bytes(result.SerializeToString())
