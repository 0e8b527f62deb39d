"""The engine's side of a venue link: what it may ask of one. Does nothing itself."""

from libc.stdint cimport int64_t


cdef class VenueOutlet(Outlet):
    """One exchange's order entry, as the engine sees it; each protocol's link implements it."""

    cdef void send_new_order(self, const VenueOrder *order) noexcept:
        pass

    cdef void send_cancel(self, const VenueCancel *cancel) noexcept:
        pass

    cdef int64_t silent_ns(self, int64_t now_ns) noexcept:
        return 0


cdef class ReportSink:
    """Receives what an exchange says, each report once and in order; the engine implements it."""

    cdef int on_report(self, int venue, const VenueReport *report, int64_t now_ns) noexcept:
        return REPORT_FAILED

    cdef void on_link_down(self, int venue) noexcept:
        pass
