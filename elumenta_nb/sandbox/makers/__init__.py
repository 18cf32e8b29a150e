"""The sandbox's makers: real files and texts that say SANDBOX, the same again from the same seed."""
