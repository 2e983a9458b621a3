"""Streams in the LZ4 frame format, through the system's liblz4 where it is installed."""

import ctypes
from collections.abc import Iterable, Iterator

from holdfast.movers.datasafed.faults import DatasafedError
from holdfast.movers.datasafed.places import BLOCK

_VERSION = 100
_HEADER = 19


def compress(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Compress into one frame with the library's defaults."""
    library, context = _library(), ctypes.c_void_p()
    _check(library, library.LZ4F_createCompressionContext(ctypes.byref(context), _VERSION))
    try:
        out = ctypes.create_string_buffer(_HEADER)
        made = _check(library, library.LZ4F_compressBegin(context, out, _HEADER, None))
        yield out.raw[:made]
        for block in blocks:
            room = library.LZ4F_compressBound(len(block), None)
            out = ctypes.create_string_buffer(room)
            made = _check(library, library.LZ4F_compressUpdate(context, out, room, block, len(block), None))
            yield out.raw[:made]
        room = library.LZ4F_compressBound(0, None)
        out = ctypes.create_string_buffer(room)
        made = _check(library, library.LZ4F_compressEnd(context, out, room, None))
        yield out.raw[:made]
    finally:
        library.LZ4F_freeCompressionContext(context)


def decompress(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress frames. Raises DatasafedError for anything else, and for a frame that was cut."""
    library, context = _library(), ctypes.c_void_p()
    _check(library, library.LZ4F_createDecompressionContext(ctypes.byref(context), _VERSION))
    out, hint = ctypes.create_string_buffer(BLOCK), 0
    try:
        for block in blocks:
            source, at = ctypes.create_string_buffer(block, len(block)), 0
            while at < len(block):
                made, taken = ctypes.c_size_t(BLOCK), ctypes.c_size_t(len(block) - at)
                rest = ctypes.byref(source, at)
                hint = library.LZ4F_decompress(context, out, ctypes.byref(made), rest, ctypes.byref(taken), None)
                _check(library, hint)
                at += taken.value
                yield out.raw[: made.value]
    finally:
        library.LZ4F_freeDecompressionContext(context)
    if hint:
        raise DatasafedError("the lz4 file ends in the middle: it was cut")


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("liblz4.so.1")
    except OSError as error:
        raise DatasafedError("compression lz4 needs liblz4 (Debian: liblz4-1): install it, or use zstd") from error
    for name in ("compressBegin", "compressUpdate", "compressEnd", "compressBound", "decompress", "isError"):
        getattr(library, f"LZ4F_{name}").restype = ctypes.c_size_t
    library.LZ4F_compressBound.argtypes = [ctypes.c_size_t, ctypes.c_void_p]
    library.LZ4F_isError.argtypes = library.LZ4F_getErrorName.argtypes = [ctypes.c_size_t]
    library.LZ4F_getErrorName.restype = ctypes.c_char_p
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.LZ4F_compressBegin.argtypes = [pointer, pointer, size, pointer]
    library.LZ4F_compressUpdate.argtypes = [pointer, pointer, size, ctypes.c_char_p, size, pointer]
    library.LZ4F_compressEnd.argtypes = [pointer, pointer, size, pointer]
    library.LZ4F_decompress.argtypes = [pointer] * 6
    for name in ("createCompressionContext", "createDecompressionContext"):
        getattr(library, f"LZ4F_{name}").argtypes = [pointer, ctypes.c_uint]
        getattr(library, f"LZ4F_{name}").restype = size
    library.LZ4F_freeCompressionContext.argtypes = library.LZ4F_freeDecompressionContext.argtypes = [pointer]
    return library


def _check(library: ctypes.CDLL, result: int) -> int:
    if library.LZ4F_isError(result):
        said = library.LZ4F_getErrorName(result).decode()
        raise DatasafedError(f"the file is not lz4, or damaged: {said}")
    return result
