"""What leaderboard.html is made of: its data (`payload`), its scripts and styles (`assets`), its markup (`template.html`)."""
