"""Kernels in CUDA C++, compiled when they are first used by NVRTC, which PyTorch's packages for CUDA bring."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MOST_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

Argument = Tensor | int | float  # a tensor goes as its address, an int as 32 bits, a float as float32


def compiled(source: str, architecture: str, **defined: int) -> bytes:
    """Machine code for ``architecture`` (``sm_90``), with macros ``defined``.

    Raises RuntimeError with what NVRTC says of the source, and OSError where there is no NVRTC.
    """
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    _nvrtc_did(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None))
    try:
        options = [f"--gpu-architecture={architecture}", "--std=c++17"]
        options += [f"--define-macro={name}={value}" for name, value in defined.items()]
        given = (ctypes.c_char_p * len(options))(*map(str.encode, options))
        if nvrtc.nvrtcCompileProgram(program, len(options), given):
            log = _output(nvrtc, "ProgramLog", program).rstrip(b"\0").decode(errors="replace")
            raise RuntimeError(f"a kernel does not compile for {architecture}: {log.strip()}")
        return _output(nvrtc, "CUBIN", program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


class Kernel:
    """A kernel on the thread's current device, which has to be the same whenever it is launched."""

    def __init__(self, code: bytes, name: str, *, shared_bytes: int) -> None:
        torch.cuda.current_stream()  # makes sure that the device's context is there
        self._driver, self._module, self._function = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_void_p()
        self._shared_bytes = shared_bytes
        self._did(self._driver.cuModuleLoadData(ctypes.byref(self._module), code))
        self._did(self._driver.cuModuleGetFunction(ctypes.byref(self._function), self._module, name.encode()))
        self._did(self._driver.cuFuncSetAttribute(self._function, MOST_SHARED, shared_bytes))

    def launch_together(self, blocks: int, threads: int, *arguments: Argument) -> None:
        """Launch it on the current stream, all blocks at once or not yet: they may wait for each other."""
        values = [_passed(argument) for argument in arguments]
        places = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        self._did(
            self._driver.cuLaunchCooperativeKernel(
                self._function, blocks, 1, 1, threads, 1, 1, self._shared_bytes, stream, places
            )
        )

    def _did(self, code: int) -> None:
        if code:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise RuntimeError(f"CUDA error: {(text.value or b'unknown').decode()} ({code})")


def _passed(argument: Argument) -> ctypes.c_void_p | ctypes.c_int32 | ctypes.c_float:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_int32(argument) if isinstance(argument, int) else ctypes.c_float(argument)


def _nvrtc() -> Any:
    version = (torch.version.cuda or "").split(".")[0]
    name = f"libnvrtc.so.{version or '*'}"
    try:
        return ctypes.CDLL(name)
    except OSError:  # it is not where the system looks, but in a package of NVIDIA's, as PyTorch's own libraries are
        packages = find_spec("nvidia")
        folders = packages.submodule_search_locations if packages is not None else None
        for library in sorted(path for folder in folders or () for path in Path(folder).rglob(name)):
            for part in library.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(part))  # it would not look for that beside itself
            return ctypes.CDLL(str(library))
        raise


def _nvrtc_did(nvrtc: Any, code: int) -> None:
    if code:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise RuntimeError(f"NVRTC: {nvrtc.nvrtcGetErrorString(code).decode()}")


def _output(nvrtc: Any, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _nvrtc_did(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    room = ctypes.create_string_buffer(size.value)
    _nvrtc_did(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, room))
    return room.raw
