"""How much of the machine a run used, and how much others used meanwhile. Reads /proc; changes nothing."""

import os
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = (3, 4)  # idle, iowait
STEAL_FIELD = 7


@dataclass(frozen=True, slots=True)
class CpuUse:
    """CPU seconds since the machine started: per named process, all processes together, and taken by the hypervisor."""

    processes: dict[str, float]
    busy_s: float
    stolen_s: float

    @classmethod
    def read(cls, pids: dict[str, int]) -> "CpuUse":
        """Now; a process that has ended counts 0."""
        fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        stolen = fields[STEAL_FIELD]
        busy = sum(fields[:8]) - sum(fields[at] for at in IDLE_FIELDS) - stolen
        return cls({name: process_s(pid) for name, pid in pids.items()}, busy * TICK_S, stolen * TICK_S)

    def since(self, before: "CpuUse") -> str:
        """One line: what each process used between the two, and what everything else on the machine did."""
        own = {name: used - before.processes[name] for name, used in self.processes.items()}
        others = max(self.busy_s - before.busy_s - sum(own.values()), 0.0)
        parts = [f"{name} {used:.2f} s" for name, used in own.items()]
        return (f"CPU used: {', '.join(parts)}; other processes {others:.2f} s, "
                f"taken by the hypervisor {self.stolen_s - before.stolen_s:.2f} s")


def process_s(pid: int) -> float:
    """CPU seconds of one process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK_S
