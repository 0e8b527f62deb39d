# The words of gRPC's header blocks: name-value pairs for nghttp2, timeouts, status messages, metadata.
from libc.stdint cimport int64_t, uint8_t
from ext.nghttp2 cimport nghttp2_nv

cdef nghttp2_nv pair(bytes name, bytes value) noexcept        # copied by nghttp2 when submitted
cdef nghttp2_nv constant(bytes name, bytes value) noexcept    # never copied: both must live as long as the module
cdef bint is_word(const uint8_t *at, size_t size, const char *word, size_t word_size) noexcept nogil
cdef int64_t timeout_ns(const uint8_t *value, size_t size) noexcept nogil   # grpc-timeout; -1: malformed
cdef bint is_grpc(const uint8_t *value, size_t size) noexcept nogil         # a content-type of gRPC
cdef bytes encode_text(str text)                              # status text -> grpc-message
cdef void add_metadata(dict metadata, const uint8_t *name, size_t name_size, const uint8_t *value, size_t value_size)
