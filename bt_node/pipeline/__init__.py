"""What happens, in order: the trip of one study."""
