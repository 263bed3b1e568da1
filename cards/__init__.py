"""Room 3: how it is told. Cards of every repository, and the leaderboard."""
