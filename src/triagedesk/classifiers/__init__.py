"""Classifiers: anything that turns a ticket into a classification."""
