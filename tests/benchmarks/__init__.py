"""The figures the README claims: each bench_*.py measures some of them, beside an empty baseline in the same run."""
