"""The engine's side of a venue link: what it may ask of one. Does nothing itself."""


cdef class VenueOutlet(Outlet):
    """One exchange's order entry, as the engine sees it; each protocol's link implements it."""

    cdef void send_new_order(self, const VenueOrder *order) noexcept:
        pass

    cdef void send_cancel(self, const VenueCancel *cancel) noexcept:
        pass
