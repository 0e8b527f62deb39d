# The venue structs as Python dicts and back: for tests and tools, never on the order path.
from ext.venue cimport VenueCancel, VenueOrder, VenueReport

cdef VenueOrder order_from(dict fields) except *
cdef VenueCancel cancel_from(dict fields) except *
cdef VenueReport report_from(dict fields) except *
cdef dict order_fields(const VenueOrder *order)
cdef dict cancel_fields(const VenueCancel *cancel)
cdef dict report_fields(const VenueReport *report)
