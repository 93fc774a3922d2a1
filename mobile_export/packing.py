"""From an object tree back to the bytes of a ``.tflite`` file."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_export.flatbuffer import IDENTIFIER

ALIGNMENT = 16
"""Bytes to which stored weights are aligned, as the schema asks."""


def pack(tree: Any) -> bytes:
    """Returns a file's bytes, with its stored tensors aligned behind the flatbuffer.

    The Python flatbuffer builder aligns them to one byte only; their place is therefore written
    as an offset, which the schema allows and the quantizer uses too.

    Args:
        tree: The file's object tree (``ModelT``); its buffers are emptied.
    """
    import flatbuffers

    contents = {}
    for buffer in tree.buffers:
        if buffer.data is not None and np.size(buffer.data):
            contents[id(buffer)] = bytes(buffer.data)
            buffer.data = None
    used = {id(tree.buffers[tensor.buffer]) for part in tree.subgraphs for tensor in part.tensors}
    used |= {id(tree.buffers[entry.buffer]) for entry in tree.metadata or ()}

    def build(start: int) -> tuple[bytes, bytes]:
        tail = b""
        for buffer in tree.buffers:
            content = contents.get(id(buffer)) if id(buffer) in used else None
            if content is not None:
                tail += b"\0" * (-len(tail) % ALIGNMENT)
                buffer.offset, buffer.size = start + len(tail), len(content)
                tail += content
        builder = flatbuffers.Builder(1024)
        builder.Finish(tree.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output()), tail

    # Offsets have a fixed width, so that the second pass is as long as the first.
    head, _ = build(2**32)
    padding = -len(head) % ALIGNMENT
    again, tail = build(len(head) + padding)
    if len(again) != len(head):
        raise RuntimeError(f"The flatbuffer's length changed: {len(head)} to {len(again)} bytes.")
    return again + b"\0" * padding + tail
