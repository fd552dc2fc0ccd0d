"""The compiler of kernels: numba turns a module's kernels into LLVM's language, LLVM turns that into machine code.

It runs in processes of its own, which `messages.machine_code` starts: no other process ever imports numba. Modules and
the names of the files that will hold their code are read from the standard input, a pair a line; the code is written to
the standard output, after its length in 8 bytes.

numba would optimise every function and make machine code of it, and do so again in each function that it becomes a
part of. Here all that belongs to a module is optimised once, together (and `messages.sparing` spares numba more).
"""

# mypy: disable-error-code="no-untyped-call"

import gc
import sys
from importlib import import_module
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

# numba looks for BLAS in scipy, which takes a second to import; kernels know no linear algebra.
sys.modules.setdefault("scipy", None)  # type: ignore[arg-type]

import numba  # noqa: E402
from numba import types  # noqa: E402
from numba.core import typed_passes, untyped_passes  # noqa: E402
from numba.core.cgutils import normalize_ir_text  # noqa: E402
from numba.core.codegen import CPUCodeLibrary  # noqa: E402
from numba.core.compiler import CompilerBase  # noqa: E402
from numba.core.registry import CPUDispatcher, cpu_target  # noqa: E402
from numba.core.targetconfig import ConfigStack  # noqa: E402
from numba.extending import intrinsic  # noqa: E402
from numba.np.arrayobj import make_array, populate_array  # noqa: E402

from messages.compiled import ARRAY_DATA, ARRAY_LENGTHS, DECLARED, Joint, Part, Row, Rows  # noqa: E402
from messages.machine_code import name  # noqa: E402
from messages.sparing import spare_numba  # noqa: E402

#: Parts of more instructions than this are called, not inlined, which halves LLVM's work and costs nothing to speak of.
_INLINED = 300
_OPTIONS: dict[str, Any] = {"nopython": True, "error_model": "numpy", "_nrt": False}
#: What numba has to do to functions that have no closures, no context managers and no array expressions.
_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


class _Library(CPUCodeLibrary):
    """The code of one function, kept as it is until all that it calls is there."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._texts: list[str] = []

    def add_ir_module(self, ir_module: Any) -> None:
        """Keep it as text. Of what others call there may be copies."""
        for function in ir_module.functions:
            if function.blocks and not function.linkage:
                function.linkage = "linkonce_odr"
            size = sum(len(block.instructions) + 2 for block in function.blocks)
            if size > _INLINED and "alwaysinline" not in function.attributes:
                function.attributes.add("noinline")
        self._texts.append(normalize_ir_text(str(ir_module)))

    def finalize(self) -> None:
        """There is nothing to do yet."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """No function can be run in this process."""
        return 0

    def link_into(self, module: Any, linked: "set[_Library]", entry: str = "") -> None:
        """Add this and all that it calls to `module`, but for what is `linked` already; keep `entry` in any case."""
        linked.add(self)
        for text in reversed(self._texts):  # callers first: what nobody has called is left out
            own = llvm.parse_assembly(text)
            for function in own.functions if entry else ():
                if function.name == entry:
                    function.linkage = "external"
            module.link_in(own)
        for library in self._linking_libraries:
            if library not in linked and isinstance(library, _Library):
                library.link_into(module, linked)


class _Passes(CompilerBase):
    """numba's passes one after the other: without looking at the function again in between, and at the clock."""

    def _compile_core(self) -> Any:
        with ConfigStack().enter(self.state.flags.copy()):
            for one in _PASSES:
                one().run_pass(self.state)
        self.state.pipeline = None
        return self.state.cr


class _Dispatcher(CPUDispatcher):
    """A part: one version serves every integer, constants do not get one of their own."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return super().get_call_template([types.unliteral(argument) for argument in args], kws)


class _Compiler:
    """numba's code generator, told to generate nothing but LLVM's language."""

    def __init__(self) -> None:
        self.module = ""
        self._dispatchers: dict[Part, _Dispatcher] = {}
        context = cpu_target.target_context
        context.refresh()
        self._codegen = context.codegen()
        self._codegen._library_class = _Library
        self._codegen.set_env = lambda name, environment: None  # of functions that could raise

    def numba_type(self, function: Part) -> Any:
        """A part is compiled where it is met; joints of other modules are met again when the code is loaded."""
        if isinstance(function, Joint) and function.module != self.module:
            return types.ExternalFunction(function.symbol, _signature(function))
        if function not in self._dispatchers:
            options = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": function.inlined}
            self._dispatchers[function] = _Dispatcher(function.function, {}, options, pipeline_class=_Passes)
        return types.Dispatcher(self._dispatchers[function])

    def compile(self, module: str) -> bytes:
        """A line with the modules whose joints the code of `module` jumps to, and an object file.

        Raises ValueError where it needs more than libm besides.
        """
        self.module = module
        import_module(module)
        code = llvm.parse_assembly("")
        code.triple, code.data_layout = llvm.get_process_triple(), self._codegen._data_layout
        linked: set[_Library] = set()
        for symbol, function in DECLARED[module].items():
            entry: Any = numba.cfunc(_signature(function), pipeline_class=_Passes, **_OPTIONS)(_entry(function))
            entry._library.link_into(code, linked, entry.native_name)
            code.get_function(entry.native_name).name = symbol
        _close(code, set(DECLARED[module]))
        code.verify()
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_vectorization = True
        machine = self._codegen._tm
        passes = llvm.create_pass_builder(machine, tuning)
        passes.getModulePassManager().run(code, passes)
        return " ".join(_needed(module, code)).encode() + b"\n" + bytes(machine.emit_object(code))


def _close(code: Any, entries: set[str]) -> None:
    """Let nothing but the entries be seen from outside, so that LLVM may treat the rest as it likes."""
    for function in code.functions:
        if not function.is_declaration and function.name not in entries:
            function.linkage = "internal"


def _needed(module: str, code: Any) -> list[str]:
    """The modules of the joints that are called. Refuses what needs Python or numba when it runs: there is none."""
    wanted = {function.name for function in code.functions if function.is_declaration}
    foreign = sorted(symbol for symbol in wanted if symbol.startswith(("Py", "numba", "NRT")))
    if foreign:
        raise ValueError(f"{module}: kernels neither raise nor allocate, but these need {', '.join(foreign)}")
    return sorted(other for other, functions in DECLARED.items() if wanted & functions.keys())


def _signature(function: Joint) -> Any:
    """What machine code is called with: a word for everything."""
    records = (numba.from_dtype(it.dtype) if isinstance(it, Row) else types.int64 for it in function.parameters)
    return types.int64(*records)


def _entry(function: Joint) -> Any:
    """A function that takes what `_signature` says and calls `function` with arrays."""
    space: dict[str, Any] = {"function": function}
    names = [f"word{number}" for number in range(len(function.parameters))]
    arguments = list(names)
    for number, parameter in enumerate(function.parameters):
        if isinstance(parameter, Rows):
            space[f"rows{number}"] = _rows(parameter)
            arguments[number] = f"rows{number}(word{number})"
    call = f"function({', '.join(arguments)})"
    body = f"return {call}" if function.gives else f"{call}; return 0"
    exec(f"def entry({', '.join(names)}): {body}", space)  # noqa: S102 - numba wants a function with these parameters
    return space["entry"]


def _rows(parameter: Rows) -> Any:
    """A function of the address of a numpy array that gives the array as kernels know it; nobody owns that."""
    array = types.Array(numba.from_dtype(parameter.dtype), parameter.axes, "C")

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def word(address: Any, offset: int) -> Any:
            place = builder.add(address, context.get_constant(types.int64, offset))
            return builder.load(builder.inttoptr(place, ir.IntType(64).as_pointer()))

        made = make_array(array)(context, builder)
        lengths = word(arguments[0], ARRAY_LENGTHS)
        shape = [word(lengths, 8 * axis) for axis in range(parameter.axes)]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        strides = [size]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(word(arguments[0], ARRAY_DATA), made.data.type)
        populate_array(made, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return made._getvalue()

    def rows(_context: Any, _address: Any) -> Any:
        return array(types.int64), generate

    return intrinsic(rows)


spare_numba()
_compiler = _Compiler()
numba_type = _compiler.numba_type
compile_module = _compiler.compile


def main() -> None:
    """Compile modules until there are no more to do."""
    gc.disable()  # a few seconds, and then the process is gone
    out = sys.stdout.buffer
    sys.stdout = sys.stderr
    for line in sys.stdin:
        module, wanted = line.split()
        code = compile_module(module)
        if name(module) != wanted:
            raise RuntimeError(f"{module}: its sources or layouts are not those of the process that wants its code")
        out.write(len(code).to_bytes(8, "little") + code)
        out.flush()


if __name__ == "__main__":
    # Parts ask `messages.compiling` for their types, which this module is not while it is the main one.
    import_module("messages.compiling").main()
