"""Protection of the demo: allowed hosts and origins, quotas, upload folders, time limits, saved decisions."""
