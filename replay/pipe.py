"""What two of our own processes tell each other through a pipe: arrays go as they lie in memory, without a copy.

What is sent is pickled, so nothing may be received here from anybody but a process that this one has started, or that
has started this one.
"""

import pickle
import struct
from typing import IO, Any

_COUNT = struct.Struct("<Q")


class Cut(EOFError):
    """The other end was closed before all of a message was there."""


def send(file: IO[bytes], message: object) -> None:
    """Write one message. Raises BrokenPipeError where nobody reads."""
    arrays = list[pickle.PickleBuffer]()
    pickled = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    parts = [memoryview(pickled), *(array.raw() for array in arrays)]
    file.write(_COUNT.pack(len(parts)) + struct.pack(f"<{len(parts)}Q", *map(len, parts)))
    for part in parts:
        file.write(part)
    file.flush()


def receive(file: IO[bytes]) -> Any:
    """Read one message. Raises Cut."""
    (count,) = _COUNT.unpack(_exactly(file, _COUNT.size))
    lengths = struct.unpack(f"<{count}Q", _exactly(file, count * _COUNT.size))
    message, *arrays = [_exactly(file, length) for length in lengths]
    return pickle.loads(message, buffers=arrays)  # noqa: S301 - from a process of our own


def _exactly(file: IO[bytes], length: int) -> bytearray:
    """So many bytes, which an array may lie in and be changed."""
    data = bytearray(length)
    if file.readinto(data) < length:  # type: ignore[attr-defined] # every binary file has it
        raise Cut
    return data
