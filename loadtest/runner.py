"""One load run from start to verdict: inputs, processes, the drive, the measures beside it, the report files."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from loadtest import sources
from loadtest.alerts import Scene as SceneReport
from loadtest.alerts import Seen, Surveillance, alerts_of, read_alerts, watched
from loadtest.cpu_use import CpuUse
from loadtest.drive import Drive, Endpoint, Progress, Sessions
from loadtest.hiccup import HiccupMeter
from loadtest.measure import CANCEL_ORDER, WINDOW_NS, Outcome
from loadtest.page import write_page, write_svg
from loadtest.plan import Plan, make_plan
from loadtest.processes import SHIPPED_RULES, Plant, read_metrics, stages_of
from loadtest.report import RULE_CODES, Objectives, Report, RunFacts, build_report, hiccups_of, write_json
from loadtest.scenario import TOKEN, Scenario, write_scenario
from loadtest.scene import SCENE_ACCOUNT, SCENE_NS, STOPPED_CODE, add_scene
from loadtest.schedule import Pace, planned_times_ns
from loadtest.universe import Instrument, generate_universe, read_universe

MARKET_FOLDER = Path("..") / "shared" / "data"
MEMORY_FOLDER = "/dev/shm"
SCENE_START_NS = 2_000_000_000
SETTLE_S = 1.0  # quotes reach the gateway before the first order does


@dataclass(frozen=True, slots=True)
class Options:
    """What one run was asked for; see `tidegate load run --help`."""

    pace: Pace
    arrivals: str = "poisson"
    flow: Path | None = None
    mix: str | None = None
    bad_share: float = 0.02
    accounts: int = 4_000
    sessions: int = 4
    lanes: int = 8
    seed: int = 1
    target: Endpoint | None = None
    token: str = TOKEN
    market_data: tuple[Endpoint, ...] = ()
    metrics: Endpoint | None = None
    instruments: Path | None = None
    background_per_s: float = 200.0
    transport: str = "native"
    drain_s: float = 5.0
    burst_ns: int = 50_000
    objectives: Objectives = field(default_factory=Objectives)
    out: Path | None = Path("out")
    svg: Path | None = None
    keep: Path | None = None  # where scenario and logs stay; None: a temporary directory, in memory if possible
    realtime: bool = False  # the load's own process goes before every other on its core
    rules: Path | None = SHIPPED_RULES  # in force in the gateway that the run starts; None: no rules, no control port
    scene: bool = False  # one account trades abnormally, and must be stopped by the shipped rules
    gateway_flags: tuple[str, ...] = ()  # more flags for the gateway that the run starts
    beside: Callable[[Plant], AbstractContextManager[Any]] = nullcontext  # what goes on while the load runs


def run_load(
    options: Options,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run, judge, write the files.

    Raises ScheduleError, SourceError, FlowError, UniverseError for what cannot be run, StartError and OSError for what
    does not come up.
    """
    universe, source, plan = prepare(options)
    say(f"flow: {source.description}; {len(plan.planned_ns):,} requests planned")
    folder: AbstractContextManager[Any] = (
        nullcontext(options.keep)
        if options.keep
        else tempfile.TemporaryDirectory(prefix="tidegate-load-", dir=memory_folder())
    )
    affinity = os.sched_getaffinity(0)
    with folder as path, going_first(options.realtime):
        say(f"inputs, journal and logs in {path}")
        try:
            report = run_plan(options, universe, source.description, plan, Path(path), on_progress, say)
        finally:
            os.sched_setaffinity(0, affinity)
    if options.out is not None:
        write_json(report, options.out / "report.json")
        write_page(report, options.out / "report.html")
    if options.svg is not None:
        write_svg(report, options.svg)
    return report


def memory_folder() -> str | None:
    """Where a file is the kernel's memory: a journal there outlives its process, as it must, and waits for no disk."""
    return MEMORY_FOLDER if os.path.isdir(MEMORY_FOLDER) and os.access(MEMORY_FOLDER, os.W_OK) else None


@contextmanager
def going_first(wanted: bool) -> Iterator[None]:
    """Real-time priority for this process alone, so that what it measures is not its own wait for the core.

    Its children do not inherit it. Where it is not permitted the run goes on without.
    """
    if not wanted:
        yield
        return
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def prepare(options: Options) -> tuple[list[Instrument], sources.Source, Plan]:
    """The market, the flow and the plan of a run; the same options give the same plan."""
    universe = read_universe(options.instruments) if options.instruments else generate_universe(options.seed)
    path = options.flow or (MARKET_FOLDER / sources.RECORDED if (MARKET_FOLDER / sources.RECORDED).exists() else None)
    arrivals_us = None
    if options.arrivals == "flow":
        if path is None or options.mix:
            raise sources.SourceError("arrivals", "flow", "poisson or even, or a recorded flow to follow")
        arrivals_us = np.sort(sources.load_flow(path).rows["ts_us"])
    times = planned_times_ns(options.pace, options.arrivals, options.seed, arrivals_us)
    source = choose_source(options, universe, path, len(times))
    plan = make_plan(source, times, options.accounts, options.lanes, options.bad_share, options.seed)
    if options.scene and options.pace.duration_ns < SCENE_START_NS + SCENE_NS:
        raise ValueError(f"duration: {options.pace.duration_ns / 1e9:g}s, expected at least "
                         f"{-(-(SCENE_START_NS + SCENE_NS) // 10**9)}s with the demonstration's trader in it")
    return universe, source, add_scene(plan, SCENE_START_NS) if options.scene else plan


def choose_source(options: Options, universe: list[Instrument], path: Path | None, count: int) -> sources.Source:
    """A mix when one was named, recorded flow when there is some, the calibrated generator otherwise."""
    if options.mix is not None:
        return sources.mixed(universe, count, options.lanes, options.seed, sources.parse_mix(options.mix))
    if path is not None:
        return sources.recorded(path, universe, count, options.lanes)
    return sources.generated(universe, count, options.lanes, options.seed)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is loaded: where it listens, and which processes belong to it."""

    target: Endpoint
    market_data: tuple[Endpoint, ...]
    metrics: Endpoint | None
    pids: dict[str, int]


@dataclass(frozen=True, slots=True)
class Watch:
    """Where the alerts of a run are told, and the rule set it began with; empty: without rules."""

    scenario: Scenario
    rule_set: str

    def over(self, plan: Plan, outcome: Outcome, start_ns: int) -> Surveillance | None:
        """What the rules did to this plan."""
        if not self.rule_set:
            return None
        alerts = read_alerts(self.scenario.alerts)
        scene = scene_of(plan, outcome, alerts, start_ns) if SCENE_ACCOUNT in plan.accounts else None
        stopped = outcome.orders & np.isin(outcome.reject_code, RULE_CODES)
        benign = stopped & (outcome.expected_code == 0)
        return watched(alerts, self.rule_set, start_ns, int(stopped.sum()), int(benign.sum()), scene)


def scene_of(plan: Plan, outcome: Outcome, alerts: Sequence[Seen], start_ns: int) -> SceneReport:
    """What became of the demonstration's trader. All that he sends after he was caught must be refused."""
    mine = plan.account == plan.accounts.index(SCENE_ACCOUNT)
    late = mine & (plan.expected_code == STOPPED_CODE)
    outcome.expected_code[mine & outcome.orders & (outcome.reject_code == STOPPED_CODE)] = STOPPED_CODE
    return SceneReport(
        account=SCENE_ACCOUNT,
        flash_cancels=int((mine & (plan.kind == CANCEL_ORDER) & (outcome.acked_ns >= 0)).sum()),
        refused=int((late & (outcome.reject_code == STOPPED_CODE)).sum()),
        late_orders=int(late.sum()),
        alerts=alerts_of(alerts, SCENE_ACCOUNT, start_ns),
    )


def run_plan(
    options: Options,
    universe: list[Instrument],
    flow: str,
    plan: Plan,
    folder: Path,
    on_progress: Callable[[Progress], None],
    say: Callable[[str], None],
) -> Report:
    """Against the target, or against exchanges and a gateway of this run's own."""
    if options.target is not None:
        subject = Subject(options.target, options.market_data, options.metrics, {})
        return measured(options, subject, flow, plan, on_progress)
    say("starting two exchanges and the gateway")
    scenario = write_scenario(folder, universe, plan, options.accounts, options.lanes)
    cores = sorted(os.sched_getaffinity(0))
    with Plant(
        scenario, options.background_per_s, options.transport, options.gateway_flags, options.rules
    ) as plant:
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores[:-1]))
        say(f"gateway on {plant.target}" + (f", core {cores[-1]} its own" if len(cores) > 1 else ""))
        metrics = Endpoint(plant.target.host, plant.metrics_port) if plant.metrics_port else None
        subject = Subject(plant.target, tuple(plant.market_data), metrics, plant.pids)
        with options.beside(plant):
            report = measured(options, subject, flow, plan, on_progress, Watch(scenario, plant.rule_set))
        fallen = plant.fallen()
    if fallen:
        report.reasons += fallen
        report.verdict = "FAIL"
    return report


def measured(
    options: Options,
    subject: Subject,
    flow: str,
    plan: Plan,
    on_progress: Callable[[Progress], None],
    watch: Watch | None = None,
) -> Report:
    """Drive the plan with a hiccup meter on every core, then judge."""
    started_at = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    pids = subject.pids | {"load": os.getpid()}
    sessions = Sessions(subject.target, options.token, options.sessions, subject.market_data)
    drive = Drive(plan, sessions, options.drain_s, options.burst_ns, SETTLE_S, on_progress)
    meters = [HiccupMeter(core) for core in range(os.cpu_count() or 1)]
    for meter in meters:
        meter.start()
    before = CpuUse.read(pids)
    try:
        outcome, start_ns = uvloop.run(drive.run())
    finally:
        samples = [(meter, *meter.stop()) for meter in meters]
    cpu_use = CpuUse.read(pids).since(before)
    windows = -(-options.pace.duration_ns // WINDOW_NS)
    hiccups = [
        hiccups_of(meter.core, woke, late, start_ns, windows) for meter, woke, late in samples if not meter.error
    ]
    stages = stages_of(read_metrics(subject.metrics.port, subject.metrics.host)) if subject.metrics else []
    target = str(options.target or "exchanges and gateway started by this run")
    facts = RunFacts(
        started_at, target, flow, options.arrivals, options.accounts, options.sessions, options.pace, (cpu_use,)
    )
    surveillance = watch.over(plan, outcome, start_ns) if watch else None
    return build_report(facts, outcome, options.objectives, hiccups, stages, surveillance)
