"""From a graph to a plan: forms of the steps, windows of every block, costs. Pure, numpy only."""
