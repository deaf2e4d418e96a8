"""Running methods over videos and scoring them."""
