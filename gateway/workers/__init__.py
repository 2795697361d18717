"""What runs beside the calls: flushing, supervising."""
