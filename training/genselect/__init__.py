"""GenSelect: candidate solutions of a problem, and the choice of the right one."""
