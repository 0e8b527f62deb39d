"""Venue structs as dicts of int and str, for tests and tools; never on the order path. Invents nothing but padding."""

from libc.string cimport memcpy, memset


cdef int put_text(char *dst, size_t width, str field, str value) except -1:
    cdef bytes octets = value.encode("latin-1")
    cdef size_t size = len(octets)
    if size > width:
        raise ValueError(f"{field}: {value!r}, expected at most {width} octets")
    memset(dst, 32, width)
    memcpy(dst, <const char *>octets, size)
    return 1


cdef str text(const char *src, size_t width):
    return src[:width].decode("latin-1").rstrip(" ")


cdef VenueOrder order_from(dict fields) except *:
    cdef VenueOrder order
    put_text(order.cl_ord_id, sizeof(order.cl_ord_id), "cl_ord_id", fields["cl_ord_id"])
    put_text(order.account, sizeof(order.account), "account", fields["account"])
    order.symbol = fields["symbol"]
    order.side = fields["side"]
    order.ord_type = fields["ord_type"]
    order.owner_type = fields["owner_type"]
    order.order_qty_shares = fields["order_qty_shares"]
    order.price_e4 = fields["price_e4"]
    order.time_ns = fields["time_ns"]
    return order


cdef VenueCancel cancel_from(dict fields) except *:
    cdef VenueCancel cancel
    put_text(cancel.cl_ord_id, sizeof(cancel.cl_ord_id), "cl_ord_id", fields["cl_ord_id"])
    put_text(cancel.orig_cl_ord_id, sizeof(cancel.orig_cl_ord_id), "orig_cl_ord_id", fields["orig_cl_ord_id"])
    put_text(cancel.account, sizeof(cancel.account), "account", fields["account"])
    put_text(cancel.venue_order_id, sizeof(cancel.venue_order_id), "venue_order_id", fields["venue_order_id"])
    cancel.symbol = fields["symbol"]
    cancel.side = fields["side"]
    cancel.owner_type = fields["owner_type"]
    cancel.order_qty_shares = fields["order_qty_shares"]
    cancel.time_ns = fields["time_ns"]
    return cancel


cdef VenueReport report_from(dict fields) except *:
    cdef VenueReport report
    put_text(report.cl_ord_id, sizeof(report.cl_ord_id), "cl_ord_id", fields["cl_ord_id"])
    put_text(report.orig_cl_ord_id, sizeof(report.orig_cl_ord_id), "orig_cl_ord_id", fields["orig_cl_ord_id"])
    put_text(report.venue_order_id, sizeof(report.venue_order_id), "venue_order_id", fields["venue_order_id"])
    put_text(report.exec_id, sizeof(report.exec_id), "exec_id", fields["exec_id"])
    put_text(report.account, sizeof(report.account), "account", fields["account"])
    report.kind = fields["kind"]
    report.side = fields["side"]
    report.ord_type = fields["ord_type"]
    report.ord_status = fields["ord_status"]
    report.symbol = fields["symbol"]
    report.partition = fields["partition"]
    report.report_index = fields["report_index"]
    report.order_qty_shares = fields["order_qty_shares"]
    report.price_e4 = fields["price_e4"]
    report.last_qty_shares = fields["last_qty_shares"]
    report.last_px_e4 = fields["last_px_e4"]
    report.leaves_qty_shares = fields["leaves_qty_shares"]
    report.canceled_qty_shares = fields["canceled_qty_shares"]
    report.reason = fields["reason"]
    report.time_ns = fields["time_ns"]
    return report


cdef dict order_fields(const VenueOrder *order):
    return {
        "cl_ord_id": text(order.cl_ord_id, sizeof(order.cl_ord_id)),
        "account": text(order.account, sizeof(order.account)),
        "symbol": order.symbol, "side": order.side, "ord_type": order.ord_type, "owner_type": order.owner_type,
        "order_qty_shares": order.order_qty_shares, "price_e4": order.price_e4, "time_ns": order.time_ns,
    }


cdef dict cancel_fields(const VenueCancel *cancel):
    return {
        "cl_ord_id": text(cancel.cl_ord_id, sizeof(cancel.cl_ord_id)),
        "orig_cl_ord_id": text(cancel.orig_cl_ord_id, sizeof(cancel.orig_cl_ord_id)),
        "account": text(cancel.account, sizeof(cancel.account)),
        "venue_order_id": text(cancel.venue_order_id, sizeof(cancel.venue_order_id)),
        "symbol": cancel.symbol, "side": cancel.side, "owner_type": cancel.owner_type,
        "order_qty_shares": cancel.order_qty_shares, "time_ns": cancel.time_ns,
    }


cdef dict report_fields(const VenueReport *report):
    return {
        "kind": report.kind, "side": report.side, "ord_type": report.ord_type, "ord_status": report.ord_status,
        "symbol": report.symbol, "partition": report.partition, "report_index": report.report_index,
        "cl_ord_id": text(report.cl_ord_id, sizeof(report.cl_ord_id)),
        "orig_cl_ord_id": text(report.orig_cl_ord_id, sizeof(report.orig_cl_ord_id)),
        "venue_order_id": text(report.venue_order_id, sizeof(report.venue_order_id)),
        "exec_id": text(report.exec_id, sizeof(report.exec_id)),
        "account": text(report.account, sizeof(report.account)),
        "order_qty_shares": report.order_qty_shares, "price_e4": report.price_e4,
        "last_qty_shares": report.last_qty_shares, "last_px_e4": report.last_px_e4,
        "leaves_qty_shares": report.leaves_qty_shares, "canceled_qty_shares": report.canceled_qty_shares,
        "reason": report.reason, "time_ns": report.time_ns,
    }
