"""What an event loop is to fauxtp: asyncio and trio, and how somebody waits in them."""
