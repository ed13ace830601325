"""The root command line. Nothing imports this room."""
