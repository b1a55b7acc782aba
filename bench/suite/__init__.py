"""The measurements behind tools/bench: machine, servers, workloads, report."""
