"""What commands write to standard output."""
