"""The data sets: each module registers one, with all that is known of it."""
