"""All that is known before paying: checks, estimates, available machines, the choice among them. Numbers, no words."""
