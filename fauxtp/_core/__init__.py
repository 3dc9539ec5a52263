"""Messages, mailboxes and processes: what is in one, how it comes, and how a process dies."""
