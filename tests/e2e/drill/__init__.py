"""The spot drill: tasks that lose their pods, nodes, workers and servers at random moments."""
