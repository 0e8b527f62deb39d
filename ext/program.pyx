"""The compiled rule set: assembled from the compiler's plain values, and its names read back. Runs nothing."""
