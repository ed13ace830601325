"""What keeps the demo safe: allowed hosts and origins, quotas, upload folders, time limits, saved decisions."""
