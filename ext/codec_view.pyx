"""The hot messages as Python values, for tests and tools: the codec itself knows only structs. Adds no rule of its own."""

from libc.string cimport memset

from ext.codec cimport (
    MOST_REPORT_SIZE, NO_SYMBOL, CancelOrder, CancelReject, ExecutionReport, NewOrder, Text, decode_cancel_order,
    decode_client_message, decode_new_order, encode_cancel_reject, encode_execution_report,
)

KINDS = {0: "malformed", 2: "new_order", 3: "cancel_order", 100: "cold"}
REPORT_NUMBERS = (
    "event_seq", "order_id", "exec_id", "exec_type", "ord_status", "security_exchange", "side", "ord_type", "order_qty_shares",
    "price_e4", "last_qty_shares", "last_px_e4", "leaves_qty_shares", "cum_qty_shares", "cum_notional_e4", "ord_rej_reason",
    "time_ns", "planned_ns",
)


cdef bytes octets_of(Text text):
    return (<const char *>text.at)[:text.size] if text.size else b""


cdef Text text_of(bytes octets):
    cdef Text text = Text(<const unsigned char *>octets, <unsigned int>len(octets))
    return text


def client_message(bytes octets) -> tuple[str, bytes]:
    """(kind, inner message) as the session dispatches it: malformed, new_order, cancel_order or cold."""
    cdef Text body
    memset(&body, 0, sizeof(Text))
    kind = decode_client_message(octets, len(octets), &body)
    return KINDS[kind], octets_of(body)


def new_order(bytes octets) -> dict | None:
    """A NewOrder's fields, None when it is not one."""
    cdef NewOrder order
    if not decode_new_order(octets, len(octets), &order):
        return None
    return {
        "cl_ord_id": octets_of(order.cl_ord_id).decode(), "account": octets_of(order.account).decode(),
        "symbol": octets_of(order.symbol).decode(), "security_exchange": order.security_exchange, "side": order.side,
        "ord_type": order.ord_type, "order_qty_shares": order.order_qty_shares, "price_e4": order.price_e4,
        "time_in_force": order.time_in_force, "planned_ns": order.planned_ns, "strategy": octets_of(order.strategy).decode(),
        "parent_id": octets_of(order.parent_id).decode(), "parent_qty_shares": order.parent_qty_shares,
        "short_sale": bool(order.short_sale),
    }


def cancel_order(bytes octets) -> dict | None:
    """A CancelOrder's fields, None when it is not one."""
    cdef CancelOrder cancel
    if not decode_cancel_order(octets, len(octets), &cancel):
        return None
    return {
        "cl_ord_id": octets_of(cancel.cl_ord_id).decode(), "account": octets_of(cancel.account).decode(),
        "orig_cl_ord_id": octets_of(cancel.orig_cl_ord_id).decode(), "order_id": cancel.order_id, "planned_ns": cancel.planned_ns,
    }


def execution_report(dict fields, int wrap_field=0) -> bytes:
    """An ExecutionReport of these fields (numbers; account, cl_ord_id, venue_order_id, text and redirect as str; symbol and
    reject_code as int), bare or as a member of an outer message."""
    cdef ExecutionReport report
    cdef unsigned char encoded[MOST_REPORT_SIZE]
    cdef bytes account = fields.get("account", "").encode()
    cdef bytes cl_ord_id = fields.get("cl_ord_id", "").encode()
    cdef bytes venue_order_id = fields.get("venue_order_id", "").encode()
    cdef bytes text = fields.get("text", "").encode()
    cdef bytes redirect = fields.get("redirect", "").encode()
    memset(&report, 0, sizeof(ExecutionReport))
    numbers = {name: fields.get(name, 0) for name in REPORT_NUMBERS}
    report.event_seq, report.order_id, report.exec_id = numbers["event_seq"], numbers["order_id"], numbers["exec_id"]
    report.exec_type, report.ord_status = numbers["exec_type"], numbers["ord_status"]
    report.security_exchange, report.side, report.ord_type = numbers["security_exchange"], numbers["side"], numbers["ord_type"]
    report.order_qty_shares, report.price_e4 = numbers["order_qty_shares"], numbers["price_e4"]
    report.last_qty_shares, report.last_px_e4 = numbers["last_qty_shares"], numbers["last_px_e4"]
    report.leaves_qty_shares, report.cum_qty_shares = numbers["leaves_qty_shares"], numbers["cum_qty_shares"]
    report.cum_notional_e4, report.ord_rej_reason = numbers["cum_notional_e4"], numbers["ord_rej_reason"]
    report.time_ns, report.planned_ns = numbers["time_ns"], numbers["planned_ns"]
    report.symbol = fields.get("symbol", NO_SYMBOL)
    report.reject_code = fields.get("reject_code", 0)
    report.possible_duplicate = fields.get("possible_duplicate", False)
    report.confirm_by_ns = fields.get("confirm_by_ns", 0)
    report.account, report.cl_ord_id = text_of(account), text_of(cl_ord_id)
    report.venue_order_id, report.text, report.redirect = text_of(venue_order_id), text_of(text), text_of(redirect)
    return (<const char *>encoded)[:encode_execution_report(encoded, &report, wrap_field)]


def cancel_reject(dict fields, int wrap_field=0) -> bytes:
    """A CancelReject of these fields, bare or as a member of an outer message."""
    cdef CancelReject reject
    cdef unsigned char encoded[MOST_REPORT_SIZE]
    cdef bytes account = fields.get("account", "").encode()
    cdef bytes cl_ord_id = fields.get("cl_ord_id", "").encode()
    cdef bytes orig_cl_ord_id = fields.get("orig_cl_ord_id", "").encode()
    cdef bytes text = fields.get("text", "").encode()
    cdef bytes redirect = fields.get("redirect", "").encode()
    memset(&reject, 0, sizeof(CancelReject))
    reject.event_seq, reject.order_id = fields.get("event_seq", 0), fields.get("order_id", 0)
    reject.ord_status, reject.reject_code = fields.get("ord_status", 0), fields.get("reject_code", 0)
    reject.cxl_rej_reason = fields.get("cxl_rej_reason", 0)
    reject.time_ns, reject.planned_ns = fields.get("time_ns", 0), fields.get("planned_ns", 0)
    reject.account, reject.cl_ord_id = text_of(account), text_of(cl_ord_id)
    reject.orig_cl_ord_id, reject.text, reject.redirect = text_of(orig_cl_ord_id), text_of(text), text_of(redirect)
    return (<const char *>encoded)[:encode_cancel_reject(encoded, &reject, wrap_field)]
