"""What one machine carries: many connections, busy or idle, large messages, several processes."""
