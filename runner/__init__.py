"""Douse's runner: the control side, which rents, prepares, trains, collects and puts the machine out."""
