"""What every cloud's client uses: the protocol, HTTP with its pace, answers, general refusals, labels."""
