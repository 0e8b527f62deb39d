# The one clock of the shell: UTC nanoseconds that never step, because they run on CLOCK_MONOTONIC from one offset taken
# when the module is loaded. The core itself never calls it: time reaches it as an argument.
from libc.stdint cimport int64_t

cdef int64_t now_ns() noexcept nogil
