"""
The race: contenders for what only the first may have, released at the same moment.

A round is set up, its requests are sent but for their last bytes, and the last bytes are released
together. What the contenders were told, what the database holds and what followed from it must
agree on one winner.
"""
