"""Making the C allocator give memory back.

A backup allocates and frees packs and chunks of megabytes from several threads. glibc keeps an arena per thread and raises
the size from which it maps memory separately, so that freed packs stay with the process. With one arena and a fixed threshold
the same backup needs a third less resident memory (measured: 249 to 161 MiB). The setting is the process's own, so programs
call it, not the library; where the allocator is another one nothing happens.
"""

from holdfast.repo.native import module

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
MAPPED_FROM_BYTES = 256 * 1024


def settle_allocator() -> bool:
    """One arena, and large blocks mapped on their own. Call at the start of a program; whether the allocator took it."""
    native = module()
    if native is not None:
        return native.allocator_set(_M_ARENA_MAX, 1) and native.allocator_set(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
    import ctypes  # slow to import

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, 1)) and bool(mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES))
