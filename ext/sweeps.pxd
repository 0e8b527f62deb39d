# Lists of live orders, for whoever sweeps them.
from libc.stdint cimport int64_t, uint32_t
from ext.engine cimport Engine

cdef list live_orders(Engine engine, uint32_t account)
cdef tuple cancel_all(Engine engine, list order_numbers, uint32_t port, int64_t now_ns)
cdef void copy_name(char *to, str name, size_t size)
