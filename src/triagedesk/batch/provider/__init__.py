"""A batch's questions answered beforehand by OpenAI's Batch API, at half the price and within 24 hours.

`conduct.prepay` is the way in; nothing is imported here, for the vendor's library is behind it.
"""
