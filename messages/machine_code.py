"""The machine code of kernels: kept on disk, made by compilers in processes of their own, loaded into this one.

Code on disk is named by all that it depends on: sources, layouts, the version of the compiler and the processor. So
stale code is never found, and versions and machines can share a directory. It is written in one step and carries a
checksum: whoever else starts, writes or dies meanwhile does no harm. Where nothing can be written, every process makes
its own.
"""

import ctypes
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import llvmlite.binding as llvm
import numpy as np

from messages.compiled import ARRAY_DATA, ARRAY_LENGTHS, DECLARED, Joint

_ROOT = Path(__file__).resolve().parents[1]
_CHECKSUM = 16
#: What a source imports: the first word of the name.
_IMPORTED = re.compile(rb"^(?:from|import) (\w+)", re.MULTILINE)


class NotCompiled(RuntimeError):
    """A compiler failed; the message holds what it said."""


def begin(module: str) -> Future[bytes]:
    """Have the code of `module`, which is imported, made where it is not on disk; does not wait for it."""
    return _code.obtain(module)


def finish(modules: Iterable[str]) -> None:
    """Wait for that code and load it. Raises NotCompiled."""
    for module in modules:
        _code.load(module)


def address_of(function: Joint) -> int:
    """Where the code of `function` begins; waits for it. Raises NotCompiled."""
    return _code.load(function.module)[function.symbol]


class _Code:
    """What this process has of it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._code: dict[str, Future[bytes]] = {}
        self._addresses: dict[str, dict[str, int]] = {}
        self._engines: list[Any] = []  # which hold the code
        self._wanted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._compilers = 0

    def obtain(self, module: str) -> Future[bytes]:
        """The code of `module`, found or in the making: a line with the modules it jumps to, and an object file."""
        with self._lock:
            if module not in self._code:
                future = self._code[module] = Future()
                future.set_running_or_notify_cancel()  # so that nobody's cancelled waiting cancels it
                found = _read(module)
                if found is not None:
                    future.set_result(found)
                else:
                    self._wanted.put(module)
                    if self._compilers < (os.cpu_count() or 1):
                        self._compilers += 1
                        threading.Thread(target=self._compile, name="compiler", daemon=True).start()
            return self._code[module]

    def load(self, module: str) -> dict[str, int]:
        """Addresses by symbol."""
        if module not in self._addresses:
            others, _, code = self.obtain(module).result().partition(b"\n")
            for other in others.decode().split():
                self.load(other)  # the linker must find what the code jumps to
            with self._lock:
                if module not in self._addresses:
                    self._addresses[module] = self._link(code, list(DECLARED[module]))
        return self._addresses[module]

    def _link(self, code: bytes, symbols: list[str]) -> dict[str, int]:
        _check_heads()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self._engines.append(engine)
        addresses = {symbol: engine.get_function_address(symbol) for symbol in symbols}
        for symbol, address in addresses.items():
            llvm.add_symbol(symbol, address)
        return addresses

    def _compile(self) -> None:
        """Keep one compiler busy until nothing is wanted."""
        # What was written to a compiler that has ended is left over, and cannot be written when the pipe is closed.
        with tempfile.TemporaryFile() as said, suppress(BrokenPipeError), _compiler(said) as compiler:
            while (module := self._next()) is not None:
                try:
                    code = _compiled_by(compiler, module)
                except OSError:
                    said.seek(0)
                    text = said.read()[-2_000:].decode(errors="replace")
                    self._code[module].set_exception(NotCompiled(f"{module}: the compiler failed; it printed:\n{text}"))
                    continue
                keep(module, code)
                self._code[module].set_result(code)

    def _next(self) -> str | None:
        with self._lock, suppress(queue.Empty):
            return self._wanted.get_nowait()
        with self._lock:
            self._compilers -= 1
        return None


_code = _Code()


@cache
def _check_heads() -> None:
    """Hold what compiled code takes for the head of an array against an array."""
    array = np.zeros((2, 3))
    word = ctypes.c_ssize_t.from_address
    lengths = word(id(array) + ARRAY_LENGTHS).value
    if (word(id(array) + ARRAY_DATA).value, word(lengths).value, word(lengths + 8).value) != (array.ctypes.data, 2, 3):
        raise NotCompiled("arrays of this numpy are laid out in another way than compiled code takes them to be")


def _compiler(said: IO[bytes]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "messages.compiling"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, stderr=said)  # noqa: S603 - our own program


def _compiled_by(compiler: "subprocess.Popen[bytes]", module: str) -> bytes:
    """Have one module compiled. Raises OSError where the compiler has ended."""
    asking, answering = compiler.stdin, compiler.stdout
    if asking is None or answering is None:
        raise ValueError("a compiler is spoken to through pipes")
    asking.write(f"{module} {name(module)}\n".encode())
    asking.flush()
    size = int.from_bytes(answering.read(8), "little")
    code = answering.read(size)
    if not size or len(code) < size:
        raise BrokenPipeError
    return code


def _read(module: str) -> bytes | None:
    """The code that was kept, None where there is none or where it is damaged."""
    for place in _places():
        with suppress(OSError):
            kept = (place / name(module)).read_bytes()
            if _checksum(kept[_CHECKSUM:]) == kept[:_CHECKSUM]:
                return kept[_CHECKSUM:]
    return None


def keep(module: str, code: bytes) -> None:
    """Write the code of `module` to where it is found again, if there is such a place."""
    for place in _places():
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            unfinished = place / f"{name(module)}.{os.getpid()}"
            unfinished.write_bytes(_checksum(code) + code)
            unfinished.replace(place / name(module))
            return


def _checksum(code: bytes) -> bytes:
    return blake2b(code, digest_size=_CHECKSUM).digest()


def _places() -> Iterator[Path]:
    """Where code is kept, the best place first."""
    named = os.path.expandvars("$NUMBA_CACHE_DIR")
    yield Path(__file__).parent / "__pycache__" if named.startswith("$") else Path(named)
    with suppress(RuntimeError):  # no home directory
        yield Path.home() / ".cache" / "duewatch"


def name(module: str) -> str:
    """The name of the file with the module's code, which depends on all that the code depends on."""
    layouts = [
        (symbol, [parameter.dtype for parameter in function.parameters if not isinstance(parameter, type)])
        for symbol, function in DECLARED[module].items()
    ]
    package = Path(sys.modules[module].__file__ or "").parent
    features = sorted(llvm.get_host_cpu_features().items())
    parts = (version("numba"), llvm.get_host_cpu_name(), features, _sources(package), layouts)
    return f"{module}-{blake2b(repr(parts).encode(), digest_size=8).hexdigest()}.o"


@cache
def _sources(package: Path) -> str:
    """Hash of the package's sources, and of those of the packages below it, whose constants kernels take up."""
    digest, packages = blake2b(digest_size=8), [*dict.fromkeys((Path(__file__).parent, package))]
    for one in packages:  # which grows meanwhile
        for source in sorted(one.glob("*.py")):
            text = source.read_bytes()
            digest.update(f"{one.name}/{source.name}".encode())
            digest.update(text)
            imported = {_ROOT / name.decode() for name in _IMPORTED.findall(text)}
            packages += sorted(other for other in imported - {*packages} if other.is_dir())
    return digest.hexdigest()
