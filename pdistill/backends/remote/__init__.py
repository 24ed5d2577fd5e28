"""What every backend behind a network needs: a window of requests in flight, patience with faults, and quiet logs."""
