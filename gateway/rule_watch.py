"""Watches a folder of rule files: what changes is pushed like any change, by "watch". It approves nothing."""

import asyncio
from pathlib import Path
from typing import Any

from watchfiles import awatch

from gateway.control_file import WATCH
from gateway.desk import Desk
from gateway.engine_link import ControlError
from gateway.pb import control_pb2 as api
from gateway.rule_compiler import sources_in
from gateway.rule_store import StoreError

DEBOUNCE_MS = 200
AGAIN_S = 5.0


async def watch_rules(folder: Path, desk: Desk, log: Any) -> None:
    """For as long as the process lives; a folder that goes away is looked for again."""
    while True:
        try:
            async for changed in awatch(folder, debounce=DEBOUNCE_MS, recursive=False):
                names = sorted({Path(path).name for _, path in changed if path.endswith(".yaml")})
                if names:
                    await push_folder(folder, names, desk, log)
        except OSError as error:
            log.warning("rules_not_watched", folder=str(folder), reason=error.strerror or str(error))
        await asyncio.sleep(AGAIN_S)


async def push_folder(folder: Path, names: list[str], desk: Desk, log: Any) -> None:
    """The folder as it is now, as one push; whatever is wrong with it changes nothing, and is logged and alerted."""
    try:
        proposal = await desk.push(WATCH, sources_in(folder), f"changed on disk: {', '.join(names)}"[:90])
    except (ControlError, StoreError) as error:
        log.error("watched_rules_refused", files=names, reason=str(error))
        await desk.record_refusal(WATCH, str(error))
        return
    if proposal.state == api.FAULTY:
        log.error("watched_rules_faulty", files=names, errors=list(proposal.errors))
    else:
        log.info(
            "watched_rules_pushed", files=names, proposal=proposal.id, state=api.ProposalState.Name(proposal.state)
        )
