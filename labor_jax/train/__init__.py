"""Train steps, losses, optimisers, state, and how they are mapped over devices."""
