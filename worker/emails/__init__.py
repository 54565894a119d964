"""E-mails to customers: how they are delivered."""
