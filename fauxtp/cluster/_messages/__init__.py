"""Messages: what nodes tell each other, and what is made of it."""
