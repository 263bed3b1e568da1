"""Room 3: dataset cards, model cards and leaderboards; imports ``hub_builders`` and ``trainers``, but no torch."""
