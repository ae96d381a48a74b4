"""The command line: arguments to service calls, and answers as text. Nothing else happens here."""
