"""The self-contained page leaderboard.html: its data, scripts, styles and template."""
