"""How a child comes to be: one file for each start method."""
