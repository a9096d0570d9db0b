"""Labelled sets themselves: are they right, how they are split, how far annotators agree, what in them is noise."""
