"""What can be made to go wrong at the gateway; nothing here runs unless a fault is asked for."""
